/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets as one number each: the time at which the bucket will be full again (the generic
 * cell rate algorithm). A time that has passed is a full bucket, and as good as none. */
#include "lib/limit.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "lib/id.h"
#include "lib/mem.h"

#define PLACES 2048u
#define WAYS 4u
#define US_PER_S 1000000LL

struct bucket {
	uint64_t mark;
	long long full_at_us;
};

struct limit {
	long long interval_us; /* what one request takes */
	unsigned char key[DIGEST_SIZE];
	pthread_mutex_t lock;
	struct bucket buckets[PLACES][WAYS];
};

struct limit *limit_new(long per_second)
{
	struct limit *limit;

	if (per_second <= 0)
		return NULL;
	limit = mem_alloc(sizeof(*limit));
	limit->interval_us = per_second < US_PER_S ? US_PER_S / per_second : 1;
	rand_bytes(limit->key, sizeof(limit->key));
	pthread_mutex_init(&limit->lock, NULL);
	return limit;
}

void limit_free(struct limit *limit)
{
	if (!limit)
		return;
	pthread_mutex_destroy(&limit->lock);
	free(limit);
}

static uint64_t mark_of(const struct limit *limit, const char *name)
{
	size_t len = strlen(name) + 1;
	auto_free unsigned char *text = mem_alloc(sizeof(limit->key) + len);
	unsigned char digest[DIGEST_SIZE];
	uint64_t mark;

	memcpy(text, limit->key, sizeof(limit->key));
	memcpy(text + sizeof(limit->key), name, len);
	digest_sha256(text, sizeof(limit->key) + len, digest);
	memcpy(&mark, digest, sizeof(mark));
	return mark;
}

/* The name's own bucket, or the one of its place that lacks least. */
static struct bucket *find(struct limit *limit, uint64_t mark)
{
	struct bucket *place = limit->buckets[mark % PLACES], *least = &place[0];

	for (size_t i = 0; i < WAYS; i++) {
		if (place[i].mark == mark)
			return &place[i];
		if (place[i].full_at_us < least->full_at_us)
			least = &place[i];
	}
	*least = (struct bucket) { .mark = mark };
	return least;
}

/* Microseconds until there is enough in the bucket; 0: taken. */
static long long take(struct limit *limit, uint64_t mark)
{
	long long now = clock_monotonic_ms() * 1000, full_at, wait;
	struct bucket *bucket;

	pthread_mutex_lock(&limit->lock);
	bucket = find(limit, mark);
	full_at = (bucket->full_at_us > now ? bucket->full_at_us : now) + limit->interval_us;
	wait = full_at - now - LIMIT_BURST_S * US_PER_S;
	if (wait <= 0)
		bucket->full_at_us = full_at;
	pthread_mutex_unlock(&limit->lock);
	return wait > 0 ? wait : 0;
}

int limit_take(struct limit *limit, const char *name, struct err *err)
{
	long long wait = limit ? take(limit, mark_of(limit, name)) : 0;

	if (wait == 0)
		return 0;
	err_set(err, ERR_LIMITED, "limit.exceeded", "more than %lld requests in %d s",
		LIMIT_BURST_S * US_PER_S / limit->interval_us, LIMIT_BURST_S);
	if (err)
		err->retry_s = (unsigned)((wait + US_PER_S - 1) / US_PER_S);
	return -1;
}
