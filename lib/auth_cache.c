/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims whose signature was verified already: a signature costs more than everything else about a
 * small request. Found by the token's digest, so the token itself is not kept. A row counts only
 * with the very set of issuer keys that it was verified with; times and revocations are not its
 * business.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/auth_inner.h"
#include "lib/digest.h"
#include "lib/mem.h"

#define ROWS 1024u /* each digest has one place */

struct auth_claims {
	atomic_uint refs;
	json_t *json;
};

struct row {
	unsigned char digest[DIGEST_SIZE]; /* of type and token */
	unsigned long long keys;
	struct auth_claims *claims; /* NULL: free */
};

struct auth_cache {
	pthread_mutex_t lock;
	struct row rows[ROWS];
};

struct auth_claims *auth_claims_new(json_t *json)
{
	struct auth_claims *claims = mem_alloc(sizeof(*claims));

	atomic_init(&claims->refs, 1);
	claims->json = json;
	return claims;
}

const json_t *auth_claims_json(const struct auth_claims *claims)
{
	return claims->json;
}

void auth_claims_release(void *arg)
{
	struct auth_claims *claims = arg;

	if (!claims || atomic_fetch_sub(&claims->refs, 1) > 1)
		return;
	json_decref(claims->json);
	free(claims);
}

struct auth_cache *auth_cache_new(void)
{
	struct auth_cache *cache = mem_alloc(sizeof(*cache));

	pthread_mutex_init(&cache->lock, NULL);
	return cache;
}

void auth_cache_free(struct auth_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < ROWS; i++)
		auth_claims_release(cache->rows[i].claims);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

void auth_cache_mark(const char *typ, const char *token, unsigned char ret_mark[DIGEST_SIZE])
{
	digest_hmac_sha256(typ, strlen(typ), token, strlen(token), ret_mark);
}

static struct row *row_of(struct auth_cache *cache, const unsigned char mark[DIGEST_SIZE])
{
	return &cache->rows[(mark[0] << 8 | mark[1]) % ROWS];
}

struct auth_claims *auth_cache_get(
	struct auth_cache *cache, const unsigned char mark[DIGEST_SIZE], unsigned long long keys)
{
	struct row *row = row_of(cache, mark);
	struct auth_claims *claims = NULL;

	pthread_mutex_lock(&cache->lock);
	if (row->claims && row->keys == keys && digest_equal(row->digest, mark, DIGEST_SIZE)) {
		claims = row->claims;
		atomic_fetch_add(&claims->refs, 1);
	}
	pthread_mutex_unlock(&cache->lock);
	return claims;
}

void auth_cache_put(struct auth_cache *cache, const unsigned char mark[DIGEST_SIZE],
	unsigned long long keys, struct auth_claims *claims)
{
	struct row *row = row_of(cache, mark);
	struct auth_claims *before;

	atomic_fetch_add(&claims->refs, 1);
	pthread_mutex_lock(&cache->lock);
	before = row->claims;
	memcpy(row->digest, mark, DIGEST_SIZE);
	row->keys = keys;
	row->claims = claims;
	pthread_mutex_unlock(&cache->lock);
	auth_claims_release(before);
}
