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
#include "lib/mem.h"

#define ROWS 1024u /* each digest has one place */

struct auth_claims {
	atomic_uint refs;
	json_t *json;
};

struct row {
	struct auth_mark mark;
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

static struct row *row_of(struct auth_cache *cache, const struct auth_mark *mark)
{
	return &cache->rows[(mark->digest[0] << 8 | mark->digest[1]) % ROWS];
}

static bool is_same(const struct auth_mark *a, const struct auth_mark *b)
{
	return a->keys == b->keys && a->typ == b->typ &&
	       digest_equal(a->digest, b->digest, DIGEST_SIZE);
}

struct auth_claims *auth_cache_get(struct auth_cache *cache, const struct auth_mark *mark)
{
	struct row *row = row_of(cache, mark);
	struct auth_claims *claims = NULL;

	pthread_mutex_lock(&cache->lock);
	if (row->claims && is_same(&row->mark, mark)) {
		claims = row->claims;
		atomic_fetch_add(&claims->refs, 1);
	}
	pthread_mutex_unlock(&cache->lock);
	return claims;
}

void auth_cache_put(
	struct auth_cache *cache, const struct auth_mark *mark, struct auth_claims *claims)
{
	struct row *row = row_of(cache, mark);
	struct auth_claims *before;

	atomic_fetch_add(&claims->refs, 1);
	pthread_mutex_lock(&cache->lock);
	before = row->claims;
	row->mark = *mark;
	row->claims = claims;
	pthread_mutex_unlock(&cache->lock);
	auth_claims_release(before);
}
