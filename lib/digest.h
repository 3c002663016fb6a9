/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 in the two spellings we use: 32 bytes, and the text `sha256:<64 lower-case hex>`. */
#ifndef STRONGROOM_DIGEST_H
#define STRONGROOM_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define DIGEST_SIZE 32u
#define DIGEST_TEXT_SIZE 72u /* "sha256:" + 64 + NUL */

struct digest_stream; /* incremental SHA-256 */

void digest_sha256(const void *data, size_t len, unsigned char ret_digest[DIGEST_SIZE]);
void digest_text(const void *data, size_t len, char ret_text[DIGEST_TEXT_SIZE]);
void digest_format(const unsigned char digest[DIGEST_SIZE], char ret_text[DIGEST_TEXT_SIZE]);
/* -1 with code "digest.invalid" unless the text has exactly that form. */
int digest_parse(const char *text, unsigned char ret_digest[DIGEST_SIZE], struct err *err);
int digest_file(
	const char *path, char ret_text[DIGEST_TEXT_SIZE], long long *ret_size, struct err *err);

struct digest_stream *digest_stream_new(void);
void digest_stream_free(struct digest_stream *stream);
void digest_stream_add(struct digest_stream *stream, const void *data, size_t len);
/* May be called once; the stream is spent afterwards. */
void digest_stream_finish(struct digest_stream *stream, unsigned char ret_digest[DIGEST_SIZE]);
void digest_stream_finish_text(struct digest_stream *stream, char ret_text[DIGEST_TEXT_SIZE]);

/* SHA-256 stopped behind whole blocks, to go on from later with other bytes: what the long common
 * beginning of many inputs has to be hashed for once. */
struct digest_state {
	uint32_t words[8];
	uint64_t size; /* bytes taken in so far */
};
#define DIGEST_BLOCK 64u
void digest_state_make(
	const void *data, size_t len, struct digest_state *ret_state); /* whole blocks */
void digest_state_finish(const struct digest_state *state, const void *rest, size_t len,
	unsigned char ret_digest[DIGEST_SIZE]);

void digest_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
	unsigned char ret_mac[DIGEST_SIZE]);
bool digest_equal(const void *a, const void *b, size_t len); /* constant time */

#endif
