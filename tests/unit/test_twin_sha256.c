/* SPDX-License-Identifier: Apache-2.0 */
/* Digest and HMAC at once against OpenSSL's, one by one: every length around blocks, every split.
 */
#include "lib/digest.h"
#include "lib/id.h"
#include "lib/mem.h"
#include "lib/twin_sha256.h"
#include "tests/unit/check.h"

#define MOST 3000u

static void compare(struct twin_sha256 *twin, const unsigned char *key, size_t key_len,
	const unsigned char *data, size_t len)
{
	unsigned char digest[DIGEST_SIZE], mac[DIGEST_SIZE], expected[DIGEST_SIZE];

	twin_sha256_finish(twin, digest, mac);
	twin_sha256_free(twin);
	digest_sha256(data, len, expected);
	CHECK(memcmp(digest, expected, DIGEST_SIZE) == 0);
	digest_hmac_sha256(key, key_len, data, len, expected);
	CHECK(memcmp(mac, expected, DIGEST_SIZE) == 0);
}

static void test(struct twin_sha256 *(*new)(const void *key, size_t len))
{
	unsigned char key[64], data[MOST];

	rand_bytes(key, sizeof(key));
	rand_bytes(data, sizeof(data));
	for (size_t len = 0; len < 300; len++) {
		struct twin_sha256 *whole = new (key, 32), *parts = new (key, 64);

		twin_sha256_add(whole, data, len);
		compare(whole, key, 32, data, len);
		for (size_t at = 0, piece; at < len; at += piece) {
			piece = at % 7 * 13 + 1 < len - at ? at % 7 * 13 + 1 : len - at;
			twin_sha256_add(parts, data + at, piece);
		}
		compare(parts, key, 64, data, len);
	}
	for (size_t piece = 1; piece < 300; piece++) {
		struct twin_sha256 *twin = new (key, 1);

		for (size_t at = 0; at < MOST; at += piece)
			twin_sha256_add(twin, data + at, piece < MOST - at ? piece : MOST - at);
		compare(twin, key, 1, data, MOST);
	}
}

int main(void)
{
	test(twin_sha256_new);
	test(twin_sha256_new_plain);
	CHECK_DONE();
}
