/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 and HMAC-SHA-256 of the same bytes at once. HMAC's inner hash sees the same 64-byte
 * blocks behind one of its own, so that both need one message schedule, and a core that waits for
 * one state's rounds does the other's: with the processor's SHA instructions both cost little more
 * than one of them. Without those both hashes are OpenSSL's.
 */
#ifndef STRONGROOM_TWIN_SHA256_H
#define STRONGROOM_TWIN_SHA256_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/digest.h"

struct twin_sha256;

/* A key of at most 64 bytes. */
struct twin_sha256 *twin_sha256_new(const void *key, size_t key_len);
/* The same without the instructions, for tests. */
struct twin_sha256 *twin_sha256_new_plain(const void *key, size_t key_len);
void twin_sha256_add(struct twin_sha256 *twin, const void *data, size_t len);
/* Once; spent afterwards. */
void twin_sha256_finish(struct twin_sha256 *twin, unsigned char ret_digest[DIGEST_SIZE],
	unsigned char ret_mac[DIGEST_SIZE]);
void twin_sha256_free(struct twin_sha256 *twin); /* wipes */

#endif
