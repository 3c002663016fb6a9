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
};

/* Jobs that `join` and wait one behind the other are run together: at most LANE_MAX_JOINED, linked
 * by `next`. Any other job is run alone. */
#define LANE_MAX_JOINED 16

struct lane_job {
	struct lane_job *next;
	void (*run)(struct lane_job *jobs, struct worker *worker); /* on a worker thread */
	bool joins;
};

/* `worker_new(arg)` is called on each thread at its start, `worker_free` at its end. */
struct lane *lane_new(const struct lane_conf *conf, struct worker *(*worker_new)(void *arg),
	void (*worker_free)(struct worker *worker), void *arg);
/* false: full or stopping; the job stays the caller's. */
bool lane_submit(struct lane *lane, struct lane_job *job);
/* Finishes what is queued, ends the threads, frees. */
void lane_free(struct lane *lane);
unsigned lane_depth(struct lane *lane); /* jobs waiting now */
const char *lane_name(const struct lane *lane);

#endif
