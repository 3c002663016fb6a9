/* SPDX-License-Identifier: Apache-2.0 */
/* The second thread of ocicrypt: half of the hashing runs beside reading, ciphering and writing. */
#include "lib/mem.h"
#include "lib/ocicrypt_layer.h"

/* A ring that was full is filled again from here on: one wake-up for many buffers. */
#define REFILL (SIDE_BUFFERS / 2)

static void *run(void *arg)
{
	struct side *side = arg;

	pthread_mutex_lock(&side->lock);
	for (;;) {
		unsigned slot = side->taken % SIDE_BUFFERS;

		if (side->taken == side->given && side->ended)
			break;
		if (side->taken == side->given) {
			pthread_cond_wait(&side->changed, &side->lock);
			continue;
		}
		pthread_mutex_unlock(&side->lock);
		side->work(side->arg, side->buffers[slot], side->lens[slot]);
		pthread_mutex_lock(&side->lock);
		side->taken++;
		if (side->given - side->taken == REFILL)
			pthread_cond_signal(&side->changed);
	}
	pthread_mutex_unlock(&side->lock);
	return NULL;
}

void side_start(struct side *side, void (*work)(void *arg, const void *data, size_t len), void *arg)
{
	*side = (struct side) { .work = work, .arg = arg };
	pthread_mutex_init(&side->lock, NULL);
	pthread_cond_init(&side->changed, NULL);
	for (unsigned i = 0; i < SIDE_BUFFERS; i++)
		side->buffers[i] = mem_alloc(SIDE_BUFFER_SIZE);
	side->threaded = pthread_create(&side->thread, NULL, run, side) == 0;
}

unsigned char *side_take(struct side *side)
{
	pthread_mutex_lock(&side->lock);
	while (side->given - side->taken == SIDE_BUFFERS)
		pthread_cond_wait(&side->changed, &side->lock);
	pthread_mutex_unlock(&side->lock);
	return side->buffers[side->given % SIDE_BUFFERS];
}

void side_give(struct side *side, size_t len)
{
	unsigned slot = side->given % SIDE_BUFFERS;

	if (!side->threaded) { /* no thread to be had: in line */
		side->work(side->arg, side->buffers[slot], len);
		return;
	}
	pthread_mutex_lock(&side->lock);
	side->lens[slot] = len;
	side->given++;
	if (side->given - side->taken == 1) /* the other side waits at an empty ring only */
		pthread_cond_signal(&side->changed);
	pthread_mutex_unlock(&side->lock);
}

void side_finish(struct side *side)
{
	if (side->threaded) {
		pthread_mutex_lock(&side->lock);
		side->ended = true;
		pthread_cond_signal(&side->changed);
		pthread_mutex_unlock(&side->lock);
		pthread_join(side->thread, NULL);
	}
	for (unsigned i = 0; i < SIDE_BUFFERS; i++)
		mem_wipe_free(side->buffers[i], SIDE_BUFFER_SIZE);
	pthread_cond_destroy(&side->changed);
	pthread_mutex_destroy(&side->lock);
}
