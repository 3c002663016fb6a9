/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table whose entries stand in one queue, the last used ones at its end, behind a mutex that
 * is held for pointers only: bytes are counted references. */
#include "services/registry-gw/cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/digest.h"
#include "lib/id.h"
#include "lib/mem.h"

#define BUCKETS 4096u

struct cache_bytes {
	atomic_uint refs;
	size_t len;
	char data[];
};

struct entry {
	LIST_ENTRY(entry) bucket;
	TAILQ_ENTRY(entry) age;
	char tenant[ID_SIZE], digest[DIGEST_TEXT_SIZE];
	struct cache_bytes *bytes;
};

struct cache {
	pthread_mutex_t lock;
	size_t max_bytes, n_bytes;
	LIST_HEAD(, entry) buckets[BUCKETS];
	TAILQ_HEAD(, entry) ages;
};

struct cache *cache_new(size_t max_bytes)
{
	struct cache *cache = mem_alloc(sizeof(*cache));

	pthread_mutex_init(&cache->lock, NULL);
	cache->max_bytes = max_bytes;
	TAILQ_INIT(&cache->ages);
	return cache;
}

void cache_release(void *arg)
{
	struct cache_bytes *bytes = arg;

	if (atomic_fetch_sub(&bytes->refs, 1) == 1)
		free(bytes);
}

const char *cache_data(const struct cache_bytes *bytes, size_t *ret_len)
{
	*ret_len = bytes->len;
	return bytes->data;
}

static size_t size_of(const struct cache_bytes *bytes)
{
	return sizeof(struct entry) + sizeof(*bytes) + bytes->len;
}

static void drop(struct cache *cache, struct entry *entry)
{
	LIST_REMOVE(entry, bucket);
	TAILQ_REMOVE(&cache->ages, entry, age);
	cache->n_bytes -= size_of(entry->bytes);
	cache_release(entry->bytes);
	free(entry);
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	while (!TAILQ_EMPTY(&cache->ages))
		drop(cache, TAILQ_FIRST(&cache->ages));
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

/* A digest's hex digits are as good as random. */
static unsigned place_of(const char *digest)
{
	uint32_t hash = 0;

	for (const char *at = digest; *at; at++)
		hash = hash * 31 + (unsigned char)*at;
	return hash % BUCKETS;
}

static struct entry *find(struct cache *cache, const char *tenant, const char *digest)
{
	struct entry *entry;

	LIST_FOREACH(entry, &cache->buckets[place_of(digest)], bucket)
	{
		if (strcmp(entry->digest, digest) == 0 && strcmp(entry->tenant, tenant) == 0)
			return entry;
	}
	return NULL;
}

struct cache_bytes *cache_get(struct cache *cache, const char *tenant, const char *digest)
{
	struct cache_bytes *bytes = NULL;
	struct entry *entry;

	pthread_mutex_lock(&cache->lock);
	entry = find(cache, tenant, digest);
	if (entry) {
		TAILQ_REMOVE(&cache->ages, entry, age);
		TAILQ_INSERT_TAIL(&cache->ages, entry, age);
		bytes = entry->bytes;
		atomic_fetch_add(&bytes->refs, 1);
	}
	pthread_mutex_unlock(&cache->lock);
	return bytes;
}

static void insert(
	struct cache *cache, const char *tenant, const char *digest, struct cache_bytes *bytes)
{
	struct entry *entry = mem_alloc(sizeof(*entry));

	memcpy(entry->tenant, tenant, strlen(tenant) + 1);
	memcpy(entry->digest, digest, strlen(digest) + 1);
	entry->bytes = bytes;
	atomic_fetch_add(&bytes->refs, 1);
	LIST_INSERT_HEAD(&cache->buckets[place_of(digest)], entry, bucket);
	TAILQ_INSERT_TAIL(&cache->ages, entry, age);
	cache->n_bytes += size_of(bytes);
	while (cache->n_bytes > cache->max_bytes)
		drop(cache, TAILQ_FIRST(&cache->ages));
}

struct cache_bytes *cache_put(
	struct cache *cache, const char *tenant, const char *digest, const void *data, size_t len)
{
	struct cache_bytes *bytes = mem_alloc(sizeof(*bytes) + len);

	atomic_init(&bytes->refs, 1);
	bytes->len = len;
	memcpy(bytes->data, data, len);
	if (strlen(tenant) >= ID_SIZE || strlen(digest) >= DIGEST_TEXT_SIZE)
		return bytes;
	pthread_mutex_lock(&cache->lock);
	if (!find(cache, tenant, digest))
		insert(cache, tenant, digest, bytes);
	pthread_mutex_unlock(&cache->lock);
	return bytes;
}
