/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wake-ups: one Redis stream per topic ({strongroom}:wake:<topic>, MAXLEN ~ 1000), entries carry
 * the key only. Redis may be flushed, restarted or away at any time: readers poll at their beat,
 * and the outbox table repeats what a sender could not ring. One thread per process reads all
 * streams the process listens to (XREAD from '$', no consumer group: fan-out to every copy; the
 * database decides who does the work).
 *
 * Outbox: a statement that causes a message inserts (topic, key) into <schema>.outbox in its
 * transaction; after the commit the sender calls wake_ring(); service.c's relay loop drains what is
 * left with DELETE ... FOR UPDATE SKIP LOCKED and rings again. Doubles are harmless.
 */
#ifndef STRONGROOM_WAKE_H
#define STRONGROOM_WAKE_H

#include <stddef.h>

#include "lib/err.h"

struct redis_conf;
struct wake;

/* `on_ring(arg, topic, key)` is called on the reader's thread; must not block. `conf` must
 * outlive it; NULL or without an address: rings stay inside this process. */
struct wake *wake_new(const struct redis_conf *conf, const char *const *topics, size_t n_topics,
	void (*on_ring)(void *arg, const char *topic, const char *key), void *arg);
void wake_free(struct wake *wake);

/* Best effort, any thread, never blocks longer than 100 ms; also rings this process at once. */
void wake_ring(struct wake *wake, const char *topic, const char *key);

/* Whether the last probe came through Redis and back; for /readyz (degraded, not unready). */
int wake_ok(struct wake *wake);

#endif
