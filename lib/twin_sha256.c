/* SPDX-License-Identifier: Apache-2.0 */
/* Around the compression function: what FIPS 180-4 says of the last block and FIPS 198-1 of keys.
 */
#include "lib/twin_sha256.h"

#include <string.h>

#include "lib/mem.h"
#include "lib/twin_sha256_native.h"

struct twin_sha256 {
	bool is_native;
	uint32_t plain[TWIN_WORDS], keyed[TWIN_WORDS];
	unsigned char partial[TWIN_BLOCK];
	size_t n_partial;
	unsigned long long len;
	struct digest_stream *digest, *inner; /* without the instructions */
	unsigned char outer_key[TWIN_BLOCK];
};

/* H(0) as F E B A, H G D C */
static const uint32_t start[TWIN_WORDS] = { 0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667,
	0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372 };
/* Where A to H are among them. */
static const unsigned char places[TWIN_WORDS] = { 3, 2, 7, 6, 1, 0, 5, 4 };

static struct twin_sha256 *make(const void *key, size_t key_len, bool is_native)
{
	struct twin_sha256 *twin = mem_alloc(sizeof(*twin));
	unsigned char inner_key[TWIN_BLOCK] = { 0 };
	uint32_t nobodys[TWIN_WORDS] = { 0 };

	memcpy(inner_key, key, key_len);
	for (size_t i = 0; i < TWIN_BLOCK; i++) {
		twin->outer_key[i] = inner_key[i] ^ 0x5c;
		inner_key[i] ^= 0x36;
	}
	twin->is_native = is_native;
	memcpy(twin->plain, start, sizeof(start));
	memcpy(twin->keyed, start, sizeof(start));
	if (is_native) {
		twin_sha256_blocks(nobodys, twin->keyed, inner_key, 1);
	} else {
		twin->digest = digest_stream_new();
		twin->inner = digest_stream_new();
		digest_stream_add(twin->inner, inner_key, TWIN_BLOCK);
	}
	explicit_bzero(inner_key, sizeof(inner_key));
	return twin;
}

struct twin_sha256 *twin_sha256_new(const void *key, size_t key_len)
{
	return make(key, key_len, twin_sha256_is_native());
}

struct twin_sha256 *twin_sha256_new_plain(const void *key, size_t key_len)
{
	return make(key, key_len, false);
}

static void add_native(struct twin_sha256 *twin, const unsigned char *data, size_t len)
{
	size_t missing = TWIN_BLOCK - twin->n_partial, blocks;

	twin->len += len;
	if (twin->n_partial > 0 && len >= missing) {
		memcpy(twin->partial + twin->n_partial, data, missing);
		twin_sha256_blocks(twin->plain, twin->keyed, twin->partial, 1);
		twin->n_partial = 0;
		data += missing;
		len -= missing;
	}
	if (twin->n_partial == 0) {
		blocks = len / TWIN_BLOCK;
		twin_sha256_blocks(twin->plain, twin->keyed, data, blocks);
		data += blocks * TWIN_BLOCK;
		len -= blocks * TWIN_BLOCK;
	}
	memcpy(twin->partial + twin->n_partial, data, len);
	twin->n_partial += len;
}

void twin_sha256_add(struct twin_sha256 *twin, const void *data, size_t len)
{
	if (twin->is_native) {
		add_native(twin, data, len);
		return;
	}
	digest_stream_add(twin->digest, data, len);
	digest_stream_add(twin->inner, data, len);
}

/* The rest, a one bit, zeros, and how many bits there were. */
static void finish_state(const struct twin_sha256 *twin, uint32_t state[TWIN_WORDS],
	unsigned long long len, unsigned char ret_digest[DIGEST_SIZE])
{
	unsigned char last[2 * TWIN_BLOCK] = { 0 };
	size_t blocks = twin->n_partial + 9 > TWIN_BLOCK ? 2 : 1;
	uint32_t nobodys[TWIN_WORDS] = { 0 };

	memcpy(last, twin->partial, twin->n_partial);
	last[twin->n_partial] = 0x80;
	for (size_t i = 0; i < 8; i++)
		last[blocks * TWIN_BLOCK - 1 - i] = (unsigned char)(len * 8 >> (8 * i));
	twin_sha256_blocks(state, nobodys, last, blocks);
	for (size_t i = 0; i < DIGEST_SIZE; i++)
		ret_digest[i] = (unsigned char)(state[places[i / 4]] >> (24 - 8 * (i % 4)));
	explicit_bzero(last, sizeof(last));
}

void twin_sha256_finish(struct twin_sha256 *twin, unsigned char ret_digest[DIGEST_SIZE],
	unsigned char ret_mac[DIGEST_SIZE])
{
	struct digest_stream *outer = digest_stream_new();
	unsigned char inner[DIGEST_SIZE];

	if (twin->is_native) {
		finish_state(twin, twin->plain, twin->len, ret_digest);
		finish_state(twin, twin->keyed, twin->len + TWIN_BLOCK, inner);
	} else {
		digest_stream_finish(twin->digest, ret_digest);
		digest_stream_finish(twin->inner, inner);
	}
	digest_stream_add(outer, twin->outer_key, TWIN_BLOCK);
	digest_stream_add(outer, inner, sizeof(inner));
	digest_stream_finish(outer, ret_mac);
	digest_stream_free(outer);
	explicit_bzero(inner, sizeof(inner));
}

void twin_sha256_free(struct twin_sha256 *twin)
{
	if (!twin)
		return;
	digest_stream_free(twin->digest);
	digest_stream_free(twin->inner);
	mem_wipe_free(twin, sizeof(*twin));
}
