/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wake-ups. One thread does all that wake.h promises: it takes rings from a queue, gives them to
 * this process, adds them to Redis, and waits there for those of others. Senders only queue, so
 * they never wait.
 */
#include "lib/wake.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/redis_address.h"
#include "lib/wake_redis.h"

#define QUEUE_MAX 4096u

struct wake {
	struct wake_redis *redis;
	void (*on_ring)(void *arg, const char *topic, const char *key);
	void *arg;
	pthread_mutex_t mutex; /* of the queue and is_stopping */
	struct wake_ring *first, **end;
	size_t n_queued;
	bool is_stopping;
	int event_fd;
	pthread_t thread;
};

/* --- the queue --- */

static void free_rings(struct wake_ring *rings)
{
	while (rings) {
		struct wake_ring *ring = rings;

		rings = ring->next;
		free(ring->topic);
		free(ring->key);
		free(ring);
	}
}

static void notify(const struct wake *wake)
{
	uint64_t one = 1;

	while (write(wake->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void wake_ring(struct wake *wake, const char *topic, const char *key)
{
	struct wake_ring *ring = mem_alloc(sizeof(*ring));

	ring->topic = mem_strdup(topic);
	ring->key = mem_strdup(key);
	pthread_mutex_lock(&wake->mutex);
	if (wake->n_queued < QUEUE_MAX) {
		*wake->end = ring;
		wake->end = &ring->next;
		wake->n_queued++;
		ring = NULL;
	}
	pthread_mutex_unlock(&wake->mutex);
	notify(wake);
	free_rings(ring); /* too many: the readers' beat finds the work */
}

static struct wake_ring *take_all(struct wake *wake, bool *ret_is_stopping)
{
	struct wake_ring *rings;

	pthread_mutex_lock(&wake->mutex);
	rings = take_ptr(wake->first);
	wake->end = &wake->first;
	wake->n_queued = 0;
	*ret_is_stopping = wake->is_stopping;
	pthread_mutex_unlock(&wake->mutex);
	return rings;
}

/* --- the thread --- */

/* False: it is time to stop; what was queued has been sent. */
static bool take_rings(struct wake *wake)
{
	bool is_stopping;
	struct wake_ring *rings = take_all(wake, &is_stopping);

	for (const struct wake_ring *ring = rings; ring && !is_stopping; ring = ring->next) {
		if (wake_redis_listens(wake->redis, ring->topic))
			wake->on_ring(wake->arg, ring->topic, ring->key);
	}
	wake_redis_add(wake->redis, rings);
	free_rings(rings);
	return !is_stopping;
}

static void *work(void *arg)
{
	struct wake *wake = arg;
	uint64_t count;

	while (take_rings(wake)) {
		int pause_ms = wake_redis_look_after(wake->redis);
		struct pollfd fds[2] = {
			{ .fd = wake->event_fd, .events = POLLIN },
			{ .fd = wake_redis_fd(wake->redis), .events = POLLIN },
		};

		if (poll(fds, 2, pause_ms) <= 0)
			continue;
		if (fds[0].revents && read(wake->event_fd, &count, sizeof(count)) < 0)
			continue;
		if (fds[1].revents)
			wake_redis_read(wake->redis);
	}
	return NULL;
}

static void start(struct wake *wake)
{
	sigset_t all, old;
	int failed;

	sigfillset(&all); /* also SIGPIPE, which hiredis' writes may raise */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	failed = pthread_create(&wake->thread, NULL, work, wake);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (wake->event_fd < 0 || failed) {
		log_error("cannot start the thread of wake-ups", NULL);
		abort();
	}
}

/* Whether there is a Redis to go to. */
static bool is_usable(const struct redis_conf *conf)
{
	struct redis_address address;
	struct err err = { .kind = ERR_NONE };
	int rc;

	if (!conf || !*conf->address)
		return false;
	rc = redis_address_parse(conf->address, &address, &err);
	redis_address_release(&address);
	if (rc < 0)
		log_failure("going without Redis", &err);
	return rc == 0;
}

struct wake *wake_new(const struct redis_conf *conf, const char *const *topics, size_t n_topics,
	void (*on_ring)(void *arg, const char *topic, const char *key), void *arg)
{
	struct wake *wake = mem_alloc(sizeof(*wake));

	wake->redis = wake_redis_new(is_usable(conf) ? conf : NULL, topics, n_topics, on_ring, arg);
	wake->on_ring = on_ring;
	wake->arg = arg;
	wake->end = &wake->first;
	pthread_mutex_init(&wake->mutex, NULL);
	wake->event_fd = eventfd(0, EFD_CLOEXEC);
	start(wake);
	return wake;
}

void wake_free(struct wake *wake)
{
	if (!wake)
		return;
	pthread_mutex_lock(&wake->mutex);
	wake->is_stopping = true;
	pthread_mutex_unlock(&wake->mutex);
	notify(wake);
	pthread_join(wake->thread, NULL);
	wake_redis_free(wake->redis);
	close(wake->event_fd);
	pthread_mutex_destroy(&wake->mutex);
	free(wake);
}

int wake_ok(struct wake *wake)
{
	return wake_redis_is_ok(wake->redis);
}
