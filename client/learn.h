/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one reference value that cannot be computed: the firmware's PEI volume as it lies in memory
 * when it is measured. The firmware is started once in QEMU beside a TPM of its own, and its event
 * log is read out of the guest's memory. Nothing of a template runs for it but its kernel.
 */
#ifndef STRONGROOM_CLIENT_LEARN_H
#define STRONGROOM_CLIENT_LEARN_H

#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/reference.h"

/* learn.failed, client.timeout. Needs qemu-system-x86_64 and swtpm in PATH. */
int learn_pei(const struct reference_files *files, char ret_hex[CODEC_HEX_SIZE(DIGEST_SIZE)],
	struct err *err) __attribute__((warn_unused_result));

#endif
