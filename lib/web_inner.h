/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the edge share: the server, a call (one request and its answer), notes to
 * the loop. A call belongs to the loop, except between lane_submit() and its note coming back,
 * when it belongs to the worker. `conn` is the loop's alone: NULL once the client is gone.
 */
#ifndef STRONGROOM_WEB_INNER_H
#define STRONGROOM_WEB_INNER_H

#include <event2/event.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "lib/buf.h"
#include "lib/http_parse.h"
#include "lib/metrics.h"
#include "lib/web.h"
#include "lib/web_server.h"
#include "lib/web_stream.h"

#define WEB_MAX_QUERY 32
#define WEB_MAX_SEGMENTS 16
#define WEB_PARK_BUCKETS 256
#define WEB_RING_LOG 256
#define WEB_STATUS_CLASSES 5
#define WEB_OUT_HIGH_BYTES (256u * 1024u)
#define WEB_OUT_LOW_BYTES (64u * 1024u)
#define WEB_IN_TOTAL_BYTES (2u * 1024u * 1024u) /* of all streams, but each may have the least */
#define WEB_IN_MOST_BYTES (512u * 1024u)
#define WEB_IN_LEAST_BYTES (32u * 1024u)
#define WEB_CHAIN_BYTES 64u /* an evbuffer's memory comes in powers of two, with a head */
#define WEB_EVENTS_HIGH_BYTES (1024u * 1024u) /* then what was added goes out first */
#define WEB_EVENTS_MAX_BYTES (64u * 1024u * 1024u)

struct http_conn;
struct ssl_ctx_st;
struct evconnlistener;

/* Something for the loop to do; posted from any thread, run in order. */
struct web_note {
	struct web_note *next;
	void (*run)(struct web_server *server, struct web_note *note);
};

/* One part of a route's path between slashes: literal, {param}suffix, or {rest...}. */
struct web_part {
	const char *literal; /* or the suffix behind the parameter */
	size_t literal_len;
	const char *param; /* NULL: literal only */
	bool rest;
};

struct web_entry {
	const struct web_route *route;
	struct web_part parts[WEB_MAX_SEGMENTS];
	size_t n_parts;
	struct lane *lane;
	struct metric *answers; /* one for each class of status */
};

enum web_phase {
	WEB_ADMIT, /* who is it? before a byte of the body is taken */
	WEB_HANDLE,
	WEB_BEGIN,
	WEB_FINISH,
};

struct web_call {
	struct lane_job job; /* first: the worker gets it as a job */
	struct web_note note;
	struct web_server *server;
	struct http_conn *conn;
	const struct web_entry *entry; /* NULL: refused before a route was known */
	struct arena *arena;	       /* holds the call itself too */
	struct arena *run_arena;       /* of a parked request's later runs */
	struct http_head head;
	struct web_pair query[WEB_MAX_QUERY];
	size_t n_query;
	struct buf body;
	size_t body_reserved; /* of the server's body_bytes */
	struct web_req req;
	struct web_res res;
	struct err err;
	enum web_phase phase;
	int result;
	int status; /* overrides the status of `err`; 0: its kind's */
	bool authorised;
	bool submitted; /* the worker's until its note is back */
	bool tls;
	bool keep_alive;
	bool built; /* `out` is the answer */
	long long started_ms;
	struct evbuffer *out;
	size_t out_bytes;
	/* waiting (web_park.c) */
	TAILQ_ENTRY(web_call) park_link;
	LIST_ENTRY(web_call) key_link;
	bool parked;
	bool rung;
	bool sse_open;
	long long park_until_ms;
	long long beat_at_ms;
	long long comment_at_ms;
	unsigned runs; /* of the handler; counted by the loop, before a worker has the call */
	unsigned long long ring_seen;
	long long next_event_id;
	struct buf events;
	bool events_full; /* the handler has more to add: it runs again once these went out */
	struct web_stream *stream; /* once begin returned 0 */
	void *stream_ctx;
};

TAILQ_HEAD(web_calls, web_call);
LIST_HEAD(web_key_calls, web_call);
TAILQ_HEAD(http_conns, http_conn);

struct web_server {
	struct web_conf conf;
	struct event_base *base;
	struct event *inbox_event;
	struct event *tick_event;
	struct event *reap_event;
	struct event
		*wake_event; /* at the end of the loop's round: what came in it runs together */
	struct event *signal_events[2];
	int inbox_fd;
	_Atomic(struct web_note *) inbox;
	atomic_bool draining;
	bool closed; /* the lanes are gone */
	atomic_bool stop_posted;
	long long drain_until_ms;
	struct web_note stop_note;
	struct web_entry *entries;
	size_t n_entries;
	struct lane **lanes; /* ends with NULL */
	struct metric **lane_gauges;
	struct metric *conns_gauge;
	struct metric *calls_gauge;
	struct evconnlistener *listener;
	struct evconnlistener *local_listener;
	char *socket_path;
	unsigned long long socket_inode;
	struct ssl_ctx_st *tls;
	struct http_conns conns;
	struct http_conns dead;
	unsigned n_conns;
	unsigned n_calls;  /* not yet freed */
	size_t body_bytes; /* room promised to buffered bodies */
	struct web_calls parked;
	struct web_key_calls by_key[WEB_PARK_BUCKETS];
	unsigned long long rings;	 /* so far */
	unsigned ring_log[WEB_RING_LOG]; /* hashes of the last keys */
};

/* --- web_server.c --- */
void web_server_post(struct web_server *server, struct web_note *note);
void web_listen_release(struct web_server *server);
struct evconnlistener *web_listen_unix(
	struct web_server *server, const char *path, struct err *err);
struct evconnlistener *web_listen_tcp(struct web_server *server, const char *host_port,
	const struct web_tls *tls, struct err *err);
/* Unlinks the unix socket if it is still this server's own. */
void web_listen_remove(struct web_server *server);

/* --- web_route.c --- */
int web_route_compile(struct web_server *server, struct err *err);
/* Decodes call->head.target into call->req and finds the entry. -1: the refusal (404, 405, 400);
 * headers such as Allow are in call->res. */
void web_route_release(struct web_server *server);
int web_route_match(struct web_call *call, struct err *err);

/* --- web_reply.c: any thread --- */
void web_reply_reset(struct web_call *call); /* releases what the answer owns */
void web_reply_build(struct web_call *call); /* logs, counts, and fills call->out */
void web_reply_head_add(struct web_call *call, struct evbuffer *out, int status,
	const struct web_pair *headers, size_t n_headers);
void web_reply_account(struct web_call *call, int status);
/* call->err as a client may read it; the caller releases. */
json_t *web_reply_problem(const struct web_call *call);

/* Routes whose handlers look at credentials of other kinds than tokens of ours. */
static inline bool web_asks_itself(enum web_access access)
{
	return access == WEB_PUBLIC || access == WEB_REGISTRY || access == WEB_LOCAL;
}

/* --- web_call.c: the loop, except the run itself --- */
struct web_call *web_call_new(struct web_server *server, struct http_conn *conn);
void web_call_identify(struct web_call *call); /* ids out of the head, or new ones */
void web_call_free(struct web_call *call);
bool web_call_submit(struct web_call *call, enum web_phase phase);
/* Whether its lane must know who asks before it gives him a thread for long. */
bool web_call_asks_caller(const struct web_call *call);
void web_call_refuse(
	struct web_call *call, int status, const struct err *err); /* answers at once */
void web_call_gone(struct web_call *call);			   /* the connection is */

/* --- the run itself, on the worker: begin, the handler, end, and then the note may go --- */
int web_call_begin(struct web_call *call, struct worker *worker); /* enters and authorises */
void web_call_enter(struct web_call *call); /* what is logged and recorded now is this call's */
int web_call_parse(struct web_call *call);  /* the body */
void web_call_end(struct web_call *call);
void web_read_run(struct lane_job *jobs, struct worker *worker);   /* web_read.c */
void web_change_run(struct lane_job *jobs, struct worker *worker); /* web_change.c */

/* --- web_park.c: the loop --- */
unsigned web_hash(const char *key);
void web_park_add(struct web_call *call);
void web_park_remove(struct web_call *call);
void web_park_tick(struct web_server *server, long long now_ms);
void web_park_ring(struct web_server *server, const char *key);
void web_park_settle(struct web_call *call); /* a run that parks or streams events came back */

/* --- web_stream.c: the loop --- */
void web_stream_started(struct web_call *call);	 /* begin returned 0 */
void web_stream_finished(struct web_call *call); /* finish returned; releases */
void web_stream_input(struct web_stream *stream);
void web_stream_drained(struct web_stream *stream);
void web_stream_lost(struct web_stream *stream);

#endif
