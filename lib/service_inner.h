/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of service_main() share: the running program, its background loops, its operations
 * routes. */
#ifndef STRONGROOM_SERVICE_INNER_H
#define STRONGROOM_SERVICE_INNER_H

#include <pthread.h>
#include <stdbool.h>

#include "lib/redis_conn.h"
#include "lib/service.h"
#include "lib/web_server.h"

struct service_state;

/* A worker as service.c makes it; handlers of ours find the rest behind it. */
struct service_worker {
	struct worker worker; /* first */
	struct service_state *state;
};

/* A background thread; those of one loop stand side by side. `run` may also return the milliseconds
 * after which it wants to be called again. */
struct service_thread {
	struct service_loop loop;
	struct service_state *state;
	size_t siblings; /* threads of this loop, this one counted */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool waiting; /* for a ring or its beat; not for the end of a back-off */
	bool rung;
	bool stopping;
};

struct service_state {
	const struct service *service;
	struct service_conf conf;
	void *program_conf;
	struct auth *auth;
	struct redis_conf redis;
	struct wake *wake;
	struct audit *audit;
	struct web_route *routes;
	struct lane_conf *lanes;
	struct service_thread *threads;
	size_t n_threads;
	pthread_mutex_t
		server_mutex; /* rings come from any thread while the server may be ending */
	struct web_server *server;
};

struct worker *service_worker_new(void *arg);
void service_worker_free(struct worker *worker);

/* --- service_loops.c --- */
void service_loops_prepare(struct service_state *state); /* before rings may come */
void service_loops_start(struct service_state *state);
void service_loops_ring(struct service_state *state, const char *topic);
void service_loops_stop(struct service_state *state);

/* --- service_ops.c --- */
/* The program's routes and lanes with ours added; the caller frees both arrays. */
struct web_route *service_ops_routes(const struct web_route *routes);
struct lane_conf *service_ops_lanes(const struct lane_conf *lanes);

#endif
