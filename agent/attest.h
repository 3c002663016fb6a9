/* SPDX-License-Identifier: Apache-2.0 */
/* Members' questions whether this is the sandbox that they think: answered beside the runs, by a
 * thread of their own, for as long as the VM lives. */
#ifndef STRONGROOM_AGENT_ATTEST_H
#define STRONGROOM_AGENT_ATTEST_H

#include "agent/machine.h"

/* From now on the machine's TPM is that thread's. */
int attest_start(const struct machine *machine, struct err *err);

#endif
