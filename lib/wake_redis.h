/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Redis side of wake.h; for lib/wake.c's thread only (wake_redis_is_ok(): any thread). Two
 * connections: one adds, one waits in XREAD. Whatever goes wrong drops both; they are made again
 * after a jittered pause. A way that stays silent to our own probe is torn down even if its socket
 * looks well.
 */
#ifndef STRONGROOM_WAKE_REDIS_H
#define STRONGROOM_WAKE_REDIS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/redis_conn.h"

struct wake_redis;

struct wake_ring {
	struct wake_ring *next;
	char *topic;
	char *key;
};

/* `conf` must outlive it; NULL: no Redis. */
struct wake_redis *wake_redis_new(const struct redis_conf *conf, const char *const *topics,
	size_t n_topics, void (*on_ring)(void *arg, const char *topic, const char *key), void *arg);
void wake_redis_free(struct wake_redis *redis);

/* Whether this process listens to the topic. */
bool wake_redis_listens(const struct wake_redis *redis, const char *topic);
/* Adds a list of rings, best effort, in few round trips. */
void wake_redis_add(struct wake_redis *redis, const struct wake_ring *rings);
/* Connects and probes when due. Returns for how many ms there is nothing to do; -1: forever. */
int wake_redis_look_after(struct wake_redis *redis);
/* The socket to wait on (-1: none), and what to do when it is readable. */
int wake_redis_fd(const struct wake_redis *redis);
void wake_redis_read(struct wake_redis *redis);
bool wake_redis_is_ok(const struct wake_redis *redis);

#endif
