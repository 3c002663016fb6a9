/* SPDX-License-Identifier: Apache-2.0 */
/* EVP does not show the state of a hash: OpenSSL's older functions do. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <assert.h>
#include <openssl/sha.h>
#include <string.h>

#include "lib/digest.h"

void digest_state_make(const void *data, size_t len, struct digest_state *ret_state)
{
	SHA256_CTX ctx;

	assert(len % DIGEST_BLOCK == 0);
	SHA256_Init(&ctx);
	SHA256_Update(&ctx, data, len);
	memcpy(ret_state->words, ctx.h, sizeof(ret_state->words));
	ret_state->size = len;
}

void digest_state_finish(const struct digest_state *state, const void *rest, size_t len,
	unsigned char ret_digest[DIGEST_SIZE])
{
	uint64_t bits = state->size * 8;
	SHA256_CTX ctx;

	SHA256_Init(&ctx);
	memcpy(ctx.h, state->words, sizeof(state->words));
	ctx.Nl = (SHA_LONG)bits;
	ctx.Nh = (SHA_LONG)(bits >> 32);
	SHA256_Update(&ctx, rest, len);
	SHA256_Final(ret_digest, &ctx);
}
