/* SPDX-License-Identifier: Apache-2.0 */
/* What twin_sha256.c has of the processor; nobody else includes this. */
#ifndef STRONGROOM_TWIN_SHA256_NATIVE_H
#define STRONGROOM_TWIN_SHA256_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TWIN_BLOCK 64u
#define TWIN_WORDS 8u

bool twin_sha256_is_native(void);
/* States in the order that the instructions want: F E B A, H G D C. */
void twin_sha256_blocks(uint32_t plain[TWIN_WORDS], uint32_t keyed[TWIN_WORDS],
	const unsigned char *data, size_t blocks);

#endif
