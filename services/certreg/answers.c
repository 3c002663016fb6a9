/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include "services/certreg/answers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/id.h"
#include "lib/mem.h"

#define AGE_MS (ANSWERS_LIFE_SECONDS * 1000LL / 2)

struct place {
	unsigned char key[DIGEST_SIZE];
	long long made_ms;
	void *der; /* NULL: free */
	size_t len;
};

struct answers {
	pthread_mutex_t lock;
	size_t n_places, max_bytes;
	struct place places[];
};

struct answers *answers_new(size_t places, size_t max_bytes)
{
	struct answers *answers = mem_alloc(sizeof(*answers) + places * sizeof(struct place));

	pthread_mutex_init(&answers->lock, NULL);
	answers->n_places = places;
	answers->max_bytes = max_bytes;
	return answers;
}

void answers_free(struct answers *answers)
{
	if (!answers)
		return;
	for (size_t i = 0; i < answers->n_places; i++)
		free(answers->places[i].der);
	pthread_mutex_destroy(&answers->lock);
	free(answers);
}

static struct place *place_of(struct answers *answers, const unsigned char *key)
{
	return &answers->places[(size_t)(key[0] << 8 | key[1]) % answers->n_places];
}

const char *answers_get(struct answers *answers, const unsigned char key[DIGEST_SIZE],
	struct arena *arena, size_t *ret_len)
{
	struct place *place = place_of(answers, key);
	const char *copy = NULL;

	pthread_mutex_lock(&answers->lock);
	if (place->der && memcmp(place->key, key, DIGEST_SIZE) == 0 &&
		clock_monotonic_ms() - place->made_ms < AGE_MS) {
		copy = arena_dup(arena, place->der, place->len);
		*ret_len = place->len;
	}
	pthread_mutex_unlock(&answers->lock);
	return copy;
}

void answers_put(
	struct answers *answers, const unsigned char key[DIGEST_SIZE], const void *der, size_t len)
{
	struct place *place = place_of(answers, key);
	void *before, *copy;

	if (len > answers->max_bytes)
		return;
	copy = mem_dup(der, len);
	pthread_mutex_lock(&answers->lock);
	before = place->der;
	memcpy(place->key, key, DIGEST_SIZE);
	place->made_ms = clock_monotonic_ms();
	place->der = copy;
	place->len = len;
	pthread_mutex_unlock(&answers->lock);
	free(before);
}
