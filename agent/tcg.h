/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under QEMU's TCG the AVX and SHA-NI code paths that OpenSSL would choose are the slow ones: every
 * vector instruction is emulated. The choice is made when libcrypto is loaded, so the agent
 * executes itself once more with a mask of the CPU's features in its environment (SHA-256 28 -> 104
 * MB/s, ChaCha20 22 -> 215).
 */
#ifndef STRONGROOM_TCG_H
#define STRONGROOM_TCG_H

#include <stdbool.h>

bool tcg_is_emulated(void); /* CPUID's hypervisor leaf says TCGTCGTCGTCG */
/* Returns at once when there is nothing to do; otherwise only when exec failed. */
void tcg_reexec(char **argv);

#endif
