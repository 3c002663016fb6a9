/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tunnels of sandboxes that are open in this process: how many a run may have, what went
 * through them, and when they must end. Lanes enter them, the event loop counts and leaves, and one
 * thread (tunnels_watch) writes the counts into the run's record and cuts what lost its run.
 */
#ifndef ORCHESTRATOR_TUNNELS_H
#define ORCHESTRATOR_TUNNELS_H

#include <stdatomic.h>

#include "services/orchestrator/store.h"

struct principal;
struct tunnels;

/* One of them, from tunnels_enter() until its counts are written behind tunnels_leave(). */
struct tunnel_use {
	struct tunnel_use *next; /* the table's, like all that is not said to be the stream's */
	struct tunnels *tunnels;
	char *tenant, *run, *target;
	long long fence;
	const struct principal *agent; /* while it is not left */
	int bell;		       /* eventfd: becomes readable when the tunnel must end */
	_Atomic long long bytes_in, bytes_out; /* the stream counts: to the sandbox, from it */
	atomic_bool connected;		       /* the stream says so */
	atomic_bool left;
	long long told_in, told_out, told_at_ms;
	bool told; /* that it was connected */
	unsigned round;
};

struct tunnels *tunnels_new(void);
void tunnels_free(struct tunnels *tunnels);

/* egress.too_many: the run has TUNNELS_OF_RUN of them, or its tenant TUNNELS_OF_TENANT, or as many
 * as this process has left of TUNNELS_MAX: so others find some, however few have all they can get.
 * `agent` lives until tunnels_leave(). */
#define TUNNELS_OF_RUN 16
#define TUNNELS_OF_TENANT 128 /* and those whose counts are not written yet */
#define TUNNELS_MAX 512
struct tunnel_use *tunnels_enter(struct tunnels *tunnels, const struct run *run, const char *target,
	const struct principal *agent, struct err *err);
void tunnels_leave(struct tunnel_use *use);

/* A struct service_loop's. */
int tunnels_watch(struct worker *worker, struct err *err);
/* All counts, of a process that is about to stop. */
int tunnels_tell_rest(struct worker *worker, struct err *err);

#endif
