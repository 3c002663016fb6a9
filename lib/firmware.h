/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What OVMF measures of itself into PCR 0, from its file (UEFI PI 1.7, volume 3): the file holds
 * two compressed volumes, and the second one (DXE) is measured as it was decompressed. The first
 * (PEI) has changed by then in a way that depends on memory and vCPUs: its digests are golden
 * values.
 */
#ifndef STRONGROOM_FIRMWARE_H
#define STRONGROOM_FIRMWARE_H

#include <stddef.h>

#include "lib/digest.h"
#include "lib/err.h"

#define FIRMWARE_MAX_BYTES (16u << 20)

/* Digest of the decompressed DXE volume. firmware.format */
int firmware_dxe_digest(
	const void *file, size_t len, unsigned char ret_digest[DIGEST_SIZE], struct err *err);

/* From the shipped table, by the digest of the file. firmware.no_golden */
int firmware_pei_digest(const unsigned char file_digest[DIGEST_SIZE], long long memory_mib,
	long long vcpus, unsigned char ret_digest[DIGEST_SIZE], struct err *err);

#endif
