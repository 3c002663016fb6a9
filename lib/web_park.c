/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting requests: no thread, only a row here, found by its key. A ring or the slow beat runs the
 * handler again; at the deadline the answer that it filled last goes out. A ring that came while
 * the handler ran is not lost: the last rings are remembered, and each run knows how many there
 * were before it.
 */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http_conn.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/web_inner.h"

#define SSE_COMMENT_MS 15000

unsigned web_hash(const char *key)
{
	unsigned hash = 2166136261u; /* FNV-1a */

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 16777619u;
	return hash;
}

/* Whether the key may have been rung since the run began. */
static bool was_rung(const struct web_call *call)
{
	const struct web_server *server = call->server;
	unsigned hash = web_hash(call->res.park_key);

	if (server->rings - call->ring_seen > WEB_RING_LOG)
		return true;
	for (unsigned long long i = call->ring_seen; i < server->rings; i++) {
		if (server->ring_log[i % WEB_RING_LOG] == hash)
			return true;
	}
	return false;
}

void web_park_add(struct web_call *call)
{
	struct web_server *server = call->server;
	unsigned bucket = web_hash(call->res.park_key) % WEB_PARK_BUCKETS;

	call->parked = true;
	call->rung = was_rung(call);
	call->beat_at_ms = clock_monotonic_ms() + server->conf.limits.beat_ms;
	TAILQ_INSERT_TAIL(&server->parked, call, park_link);
	LIST_INSERT_HEAD(&server->by_key[bucket], call, key_link);
}

void web_park_remove(struct web_call *call)
{
	TAILQ_REMOVE(&call->server->parked, call, park_link);
	LIST_REMOVE(call, key_link);
	call->parked = false;
}

static void settle_events(struct web_call *call);

/* The deadline, or the server's end. */
static void let_go(struct web_call *call)
{
	web_park_remove(call);
	call->res.park_key = NULL;
	if (call->sse_open || call->res.sse) {
		settle_events(call);
		return;
	}
	log_context_set(call->req.id, NULL);
	web_reply_build(call);
	log_context_set(NULL, NULL);
	http_conn_answer(call->conn, call);
}

/* The lane may be full, or the client slow: then the call stays for the next tick. */
static void run_again(struct web_call *call)
{
	call->rung = true;
	if (call->sse_open && http_conn_queued(call->conn) > WEB_OUT_HIGH_BYTES)
		return;
	web_park_remove(call);
	if (web_call_submit(call, WEB_HANDLE))
		return;
	web_park_add(call);
	call->rung = true;
}

void web_park_tick(struct web_server *server, long long now_ms)
{
	bool draining = atomic_load(&server->draining);
	struct web_call *call = TAILQ_FIRST(&server->parked);
	struct web_call *last = TAILQ_LAST(&server->parked, web_calls);

	while (call) { /* up to `last`: what is parked anew stands behind it */
		struct web_call *next = call == last ? NULL : TAILQ_NEXT(call, park_link);

		if (draining || (call->park_until_ms && now_ms >= call->park_until_ms))
			let_go(call);
		else if (call->rung || now_ms >= call->beat_at_ms)
			run_again(call);
		call = next;
	}
}

void web_park_ring(struct web_server *server, const char *key)
{
	unsigned hash = web_hash(key);
	struct web_call *call = LIST_FIRST(&server->by_key[hash % WEB_PARK_BUCKETS]);

	server->ring_log[server->rings++ % WEB_RING_LOG] = hash;
	while (call) {
		struct web_call *next = LIST_NEXT(call, key_link);

		if (strcmp(call->res.park_key, key) == 0)
			run_again(call);
		call = next;
	}
}

static void add_chunk(
	struct evbuffer *out, const struct web_call *call, const void *data, size_t len)
{
	if (call->head.http_1_0) {
		evbuffer_add(out, data, len);
		return;
	}
	evbuffer_add_printf(out, "%zx\r\n", len);
	evbuffer_add(out, data, len);
	evbuffer_add(out, "\r\n", 2);
}

static void open_events(struct web_call *call, struct evbuffer *out)
{
	const struct web_res *res = &call->res;

	call->sse_open = true;
	call->comment_at_ms = clock_monotonic_ms() + SSE_COMMENT_MS;
	if (call->head.http_1_0)
		call->keep_alive = false;
	web_reply_head_add(call, out, 200, res->headers, res->n_headers);
	evbuffer_add_printf(out, "Content-Type: text/event-stream\r\n%s\r\n",
		call->head.http_1_0 ? "" : "Transfer-Encoding: chunked\r\n");
}

/* Sends what the run added; a comment now and then finds out clients that are gone. */
static void send_events(struct web_call *call, bool is_last)
{
	struct evbuffer *out = evbuffer_new();
	long long now = clock_monotonic_ms();

	if (!out)
		abort();
	if (!call->sse_open)
		open_events(call, out);
	if (call->events.len > 0)
		add_chunk(out, call, call->events.data, call->events.len);
	else if (now >= call->comment_at_ms)
		add_chunk(out, call, ":\n\n", 3);
	if (evbuffer_get_length(out) > 0)
		call->comment_at_ms = now + SSE_COMMENT_MS;
	if (is_last && !call->head.http_1_0)
		evbuffer_add(out, "0\r\n\r\n", 5);
	call->out_bytes += evbuffer_get_length(out);
	buf_release(&call->events);
	call->req.last_event_id = call->next_event_id > call->req.last_event_id
					  ? call->next_event_id
					  : call->req.last_event_id;
	http_conn_send(call->conn, out);
	evbuffer_free(out);
}

/* The client is told why: it has the stream's last id, and may come back with a fresh token. */
static void add_failure(struct web_call *call)
{
	json_t *problem = web_reply_problem(call);
	auto_free char *text = json_dumps(problem, JSON_COMPACT);
	struct err ignored;

	json_decref(problem);
	if (!text || buf_printf(&call->events, &ignored, "event: %s\ndata: %s\n\n", call->err.code,
			     text) < 0)
		abort();
	log_context_set(call->req.id, NULL);
	log_failure("event stream ended", &call->err);
	log_context_set(NULL, NULL);
}

/* What did not fit follows as soon as the client took what did, whatever the handler thought. */
static void wait_for_more(struct web_call *call)
{
	bool full = call->events_full;

	call->events_full = false;
	if (!call->res.park_key)
		call->res.park_key = "";
	web_park_add(call);
	if (full)
		run_again(call);
}

static void settle_events(struct web_call *call)
{
	bool is_last = call->result < 0 || (!call->res.park_key && !call->events_full);

	if (call->result < 0)
		add_failure(call);
	send_events(call, is_last);
	if (!call->conn)
		return; /* gone, and freed, while it was written to */
	if (!is_last) {
		wait_for_more(call);
		return;
	}
	log_context_set(call->req.id, NULL);
	web_reply_account(call, 200);
	log_context_set(NULL, NULL);
	http_conn_finish(call->conn, call);
}

void web_park_settle(struct web_call *call)
{
	if (call->res.sse || call->sse_open) {
		settle_events(call);
		return;
	}
	web_park_add(call);
	if (http_conn_ended(call->conn))
		let_go(call);
	else if (call->rung)
		run_again(call);
}
