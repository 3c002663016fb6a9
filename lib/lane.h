/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded worker lanes behind the event loop. A lane is {name, threads, queue}; when its queue is
 * full, lane_submit() says so at once and the request ends as 503 lane.full. Workers share nothing
 * but the queue: each owns one `struct worker` (lib/service.h). The queue's mutex is the only one
 * in a request's way.
 */
#ifndef STRONGROOM_LANE_H
#define STRONGROOM_LANE_H

#include <stdbool.h>
#include <stddef.h>

struct worker;
struct lane;

struct lane_conf {
	const char *name; /* "db" is every program's first row */
	unsigned threads; /* 0: as many as cores */
	unsigned queue;	  /* waiting requests, at most */
	/* Threads that one caller (lane_job.caller) may have at once, with half of the queue; 0:
	 * all. For work that takes as long as a caller makes it take: who has no thread need not
	 * wait for the others', but gets one that is added, up to LANE_MAX_THREADS. */
	unsigned of_caller;
};

#define LANE_MAX_THREADS 16
/* Jobs that `join`, have the same `run` and wait one behind the other are run together: at most
 * LANE_MAX_JOINED, linked by `next`. Any other job is run alone. */
#define LANE_MAX_JOINED 16

struct lane_job {
	struct lane_job *next;
	void (*run)(struct lane_job *jobs, struct worker *worker); /* on a worker thread */
	bool joins;
	unsigned caller; /* a hash of who asks; 0: nobody's */
};

/* `worker_new(arg)` is called on each thread at its start, `worker_free` at its end. */
struct lane *lane_new(const struct lane_conf *conf, struct worker *(*worker_new)(void *arg),
	void (*worker_free)(struct worker *worker), void *arg);
/* false: full, for this caller or at all, or stopping; the job stays the caller's. Nobody is woken
 * yet. */
bool lane_submit(struct lane *lane, struct lane_job *job);
/* Once for what was submitted: wakes a thread, which wakes the next if it leaves work behind. */
void lane_wake(struct lane *lane);
/* Finishes what is queued, ends the threads, frees. */
void lane_free(struct lane *lane);
unsigned lane_depth(struct lane *lane); /* jobs waiting now */
const char *lane_name(const struct lane *lane);
bool lane_asks_caller(const struct lane *lane); /* it bounds what one has */

#endif
