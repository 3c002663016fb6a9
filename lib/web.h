/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP edge of every service: HTTP/1.1 (llhttp) on libevent bufferevents, listening on a unix
 * socket 0660 or on TCP with mutual TLS. A route is one row: everything a reviewer must know
 * stands in it. Buffered requests (body capped before it is read) run as one straight-line
 * function on a lane's worker thread. Streamed ones keep their bytes on the loop (web_stream.h).
 *
 * A handler fills `res` and returns 0, or sets `err` and returns -1: only web.c writes answers and
 * logs failures, exactly once. 5xx details go to the log, never to the client.
 *
 * Waiting: a handler never sleeps. To wait it fills the answer as it stands now and calls
 * web_park(res, key, until): the edge runs it again when wake_ring(key) arrives (lib/wake.h), or at
 * a slow beat, until the deadline, when the answer it filled last goes out. With `res->sse` set the
 * events it added go out at once and it is run again with req->last_event_id moved on. Before each
 * run the edge asks again whether the caller is still good; a stream ends with an event that is
 * named by the error's code.
 */
#ifndef STRONGROOM_WEB_H
#define STRONGROOM_WEB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/id.h"

struct worker;	   /* lib/service.h: what a worker thread owns (database, fetch) */
struct principal;  /* lib/auth.h */
struct web_stream; /* lib/web_stream.h */

#define WEB_MAX_PARAMS 6
#define WEB_MAX_RES_HEADERS 12

struct web_pair {
	const char *name;
	const char *value;
};

struct web_req {
	const char *method;
	const char *path; /* decoded once; no NUL, no "..", no empty segment */
	struct web_pair params[WEB_MAX_PARAMS]; /* {name} parts of the route's path */
	size_t n_params;
	const unsigned char *body; /* NUL behind the last byte */
	size_t body_len;
	json_t *json;		 /* parsed body of a route with `json` set; freed with the arena */
	char id[ID_SIZE];	 /* req_… or the caller's X-Request-Id when it is one of ours */
	char traceparent[56];	 /* W3C; made when absent */
	long long last_event_id; /* of an SSE stream; 0 at first */
	const struct principal *principal; /* NULL on a public route */
	const void *of;			   /* the route's */
	struct arena *arena;		   /* dies with the request */
	struct worker *worker;		   /* of the thread that runs the handler */
	void *head;			   /* web.c's own */
};

const char *web_param(
	const struct web_req *req, const char *name); /* never NULL for a name of the route */
const char *web_query(const struct web_req *req, const char *name); /* decoded, or NULL */
/* n-th value of a repeated parameter, or NULL behind the last. */
const char *web_query_at(const struct web_req *req, const char *name, size_t n);
const char *web_header(const struct web_req *req, const char *name); /* case-insensitive, or NULL */
/* ?wait=30s in milliseconds, 0 without, capped at 60 s; -1 request.bad_wait. */
int web_wait_ms(const struct web_req *req, long long *ret_ms, struct err *err);

struct web_res {
	int status;	  /* 200 unless set */
	json_t *json;	  /* owned by the answer once set; NULL: `text` or no body */
	const char *text; /* arena-owned, with content_type */
	size_t text_len;
	const char *content_type;
	struct web_pair headers[WEB_MAX_RES_HEADERS]; /* values from the arena or static */
	size_t n_headers;
	int file_fd; /* -1, or an open file that is sent from file_offset for file_len bytes, then
			closed */
	long long file_offset;
	long long file_len;
	bool sse;   /* this answer is an event stream */
	bool close; /* close the connection behind this answer */
	const char *park_key;
	long long park_until_ms; /* monotonic */
};

void web_header_add(struct web_res *res, const char *name, const char *value);
/* One event of an SSE answer; `data` is encoded compactly and released. false: no more are taken in
 * this run; the handler runs again, behind the last that was taken, once these went out. */
bool web_event(
	struct web_req *req, struct web_res *res, long long id, const char *type, json_t *data);
void web_park(struct web_req *req, struct web_res *res, const char *key, long long wait_ms);

typedef int web_handler(struct web_req *req, struct web_res *res, struct err *err);
/* A failure as the body of an answer. */
typedef json_t *web_problem(const struct err *err, int status);

/* A request whose first statement is known beforehand: a SELECT with $1 the caller's tenant and $2
 * the path's first parameter. The edge lets up to 16 of those that wait in a lane together share
 * one round trip to Postgres; `answer` then runs as any handler does. `rows` live until the answer
 * is made, so res->text may point into them. */
#define WEB_READ_PARAMS 4
struct sql;
struct db_rows;
struct web_read {
	const struct sql *sql;
	/* The same for all ids of the array $2, rows in any order with a column `id`: one statement
	 * for those of one caller's scope; or NULL. Not with `ask`. */
	const struct sql *several;
	int (*answer)(struct web_req *req, struct web_res *res, const struct db_rows *rows,
		struct err *err);
	bool shared; /* rows of the caller's spaces may be read as well */
	/* Of a route that has `handle` too: fills params[1] and those behind it and returns how
	 * many there are of all, or 0 when this request is for the handler. Who comes with a
	 * registry's token is checked here. Not called for a body in which `unless` stands: those
	 * do not wait for each other. */
	int (*ask)(struct web_req *req, struct web_res *res, const char *params[WEB_READ_PARAMS],
		struct err *err);
	const char *unless;
};
/* The same answer about `id` in a handler, behind a change. */
int web_read_answer(struct web_req *req, struct web_res *res, const struct web_read *read,
	const char *id, struct err *err);

/* A change that asks nothing of Postgres but to take it. Of those that wait in a lane together up
 * to 16 of one tenant share a transaction, and its way to the disk; where that fails, each is made
 * alone. `work` is the request's own, in its arena. */
struct db;
struct web_change {
	/* Who asks (req->principal is there behind it), for what, and all that needs no database.
	 */
	int (*prepare)(struct web_req *req, struct web_res *res, void **ret_work, struct err *err);
	void (*add)(struct db *db, const void *work); /* statements for db_at_commit() */
	void (*close)(struct db *db);		      /* behind those of all */
	int (*answer)(struct web_req *req, struct web_res *res, void *work, struct err *err);
	int (*alone)(struct web_req *req, struct web_res *res, void *work, struct err *err);
};

enum web_access {
	WEB_PUBLIC,   /* no token; req->principal is NULL. What the handler itself asks for is
			 checked before a body by the program's `admit`, too */
	WEB_MEMBER,   /* API token of a member of a tenant */
	WEB_AGENT,    /* agent token + DPoP proof by the machine signing key */
	WEB_SERVICE,  /* another service's assertion; /internal only */
	WEB_REGISTRY, /* registry token, checked by the handler and, before a body, by the
			 program's `admit` (registry-gw answers challenges itself) */
	WEB_LOCAL,    /* a program of this host, on a listener of its own; what it knows is checked
			 by the handler and, before a body, by `admit` */
};

struct web_stream_ops;

struct web_route {
	const char *method;
	const char *path; /* "/v1/runs/{run_id}:cancel"; one part "{rest...}" may take several
			     segments */
	enum web_access access;
	const char *scope;   /* needed in the token; WEB_SERVICE: who may call; or NULL */
	const char *lane;    /* a row of the program's lane table; NULL: "db" */
	size_t max_body;     /* 0: no body allowed; streamed routes ignore it */
	bool json;	     /* body must be application/json and parses before the handler runs */
	web_handler *handle; /* buffered route, or NULL */
	const struct web_stream_ops *stream; /* streamed route, or NULL */
	const struct web_read *read;	     /* in place of `handle`, or beside it with `ask`; in a
						lane, for members and the registry's tokens */
	const struct web_change *change;     /* in place of `handle`, in a lane */
	const void *of; /* what a handler of several routes works on: its req->of */
};

/* kind -> HTTP status, the one place of this mapping. */
int web_status_of(enum err_kind kind);

#endif
