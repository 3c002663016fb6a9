/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digest of a Linux kernel as OVMF measures it into PCR 4: Authenticode (PE, without checksum
 * and signature) over the file with the boot header that QEMU 7.2 wrote into it (x86_load_linux()).
 */
#ifndef STRONGROOM_KERNEL_IMAGE_H
#define STRONGROOM_KERNEL_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/digest.h"
#include "lib/err.h"

#define KERNEL_IMAGE_MAX_BYTES (128u << 20)

/* Changes the bytes to what the guest gets. kernel.format */
int kernel_image_digest(unsigned char *file, size_t len, uint64_t initrd_size, long long memory_mib,
	unsigned char ret_digest[DIGEST_SIZE], struct err *err);

#endif
