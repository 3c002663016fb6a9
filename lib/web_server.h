/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The edge as service.c (and a test) starts it. The edge itself knows no database, no tokens and no
 * Redis: what it needs of them comes in as functions of `struct web_conf`. One thread runs the loop
 * (web_server_run); web_server_ring() and web_server_stop() may be called from any thread.
 */
#ifndef STRONGROOM_WEB_SERVER_H
#define STRONGROOM_WEB_SERVER_H

#include "lib/lane.h"
#include "lib/web.h"

struct buf;
struct web_server;

/* A member that is 0 gets its default (web_server.c). */
struct web_limits {
	unsigned max_connections;
	long head_ms;	    /* from the first byte of a head to its end */
	long idle_ms;	    /* between requests */
	long body_ms;	    /* without a byte of the body; of a streamed one, without 16 KiB */
	long body_total_ms; /* from the head of a buffered body to its end */
	size_t body_bytes;  /* of all bodies that are buffered */
	long write_ms;	    /* without a byte of the answer taken */
	long half_ms;	    /* without a byte, of an upgraded connection whose client ended */
	long linger_ms;	    /* for the client to read a refusal */
	long beat_ms;	    /* of parked requests */
	long tick_ms;	    /* how often all of these are looked at */
	long drain_ms;	    /* requests in flight at a stop */
};

struct web_tls {
	const char *cert; /* PEM files; all three or none */
	const char *key;
	const char *peer_ca;
};

struct web_conf {
	const struct web_route *routes; /* ends with method NULL */
	const struct lane_conf *lanes;	/* ends with name NULL; must outlive the server */
	struct web_limits limits;
	struct worker *(*worker_new)(void *arg);
	void (*worker_free)(struct worker *worker);
	void *worker_arg;
	/* On a worker, before the handler of a route that is neither public nor a registry's. */
	int (*authorise)(struct web_req *req, enum web_access access, const char *scope,
		const struct principal **ret_principal, struct err *err);
	/* On a worker, before the handler of such a request runs again. */
	int (*recheck)(struct web_req *req, struct err *err);
	/* On a worker, before a body of a route that is public or a registry's is read; NULL:
	 * whoever likes may send it. Whoever refuses adds the challenge of a 401. */
	web_handler *admit;
	/* How failures of WEB_REGISTRY routes read instead of RFC 9457; may be NULL. */
	web_problem *problem;
	/* On a worker, around each run of a request; `err`: it was refused, or it failed. Both may
	 * be NULL. */
	void (*begin)(struct web_req *req);
	void (*end)(struct web_req *req, const struct err *err);
	const char *(*help)(
		const char *code); /* what to do about an error code, or NULL; may be NULL */
	bool stop_on_signals;	   /* SIGTERM and SIGINT */
};

/* NULL web.bad_routes when a row cannot be served. Starts the lanes' threads. */
struct web_server *web_server_new(const struct web_conf *conf, struct err *err);
/* "unix:/path" or "tcp:host:port"; TCP beyond loopback needs `tls`, which may be NULL. */
int web_server_listen(
	struct web_server *server, const char *address, const struct web_tls *tls, struct err *err);
/* Beside that, plain "tcp:host:port" on loopback for programs of this host: it has the routes
 * WEB_LOCAL and no others, and nowhere else are those. */
int web_server_listen_local(struct web_server *server, const char *address, struct err *err);
void web_server_run(struct web_server *server); /* until stopped and drained */
void web_server_stop(struct web_server *server);
bool web_server_is_draining(const struct web_server *server);
void web_server_ring(
	struct web_server *server, const char *key); /* runs what is parked under `key` again */
void web_server_free(struct web_server *server);     /* after run() came back; ends the lanes */

#endif
