/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call's life: made on the loop with its head, run on a lane's worker (authorise, parse, handle,
 * encode), back on the loop by its note: answered, parked, streamed on, or dropped when the client
 * is gone. Who sends a body is asked for his credentials first, in a run of its own; also that is a
 * lane's work, since a signature that is not in the cache costs more than the loop gives to
 * anybody.
 */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/http_conn.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/web_inner.h"

static void on_done(struct web_server *server, struct web_note *note);

struct web_call *web_call_new(struct web_server *server, struct http_conn *conn)
{
	struct arena *arena = arena_new();
	struct web_call *call = arena_alloc(arena, sizeof(*call));

	call->arena = arena;
	call->server = server;
	call->conn = conn;
	call->tls = http_conn_tls(conn);
	call->note.run = on_done;
	call->started_ms = clock_monotonic_ms();
	call->events.max = WEB_EVENTS_MAX_BYTES;
	call->req.arena = arena;
	call->req.head = call;
	call->res = (struct web_res) { .status = 200, .file_fd = -1 };
	server->n_calls++;
	return call;
}

void web_call_free(struct web_call *call)
{
	struct arena *arena = call->arena;

	call->server->n_calls--;
	call->server->body_bytes -= call->body_reserved;
	web_reply_reset(call);
	if (call->out)
		evbuffer_free(call->out);
	buf_wipe(&call->body);
	buf_release(&call->events);
	arena_free(call->run_arena);
	arena_free(arena);
}

static bool is_hex(const char *text, size_t len)
{
	return strspn(text, "0123456789abcdef") >= len;
}

static bool is_traceparent(const char *text)
{
	return strlen(text) == 55 && strncmp(text, "00-", 3) == 0 && is_hex(text + 3, 32) &&
	       text[35] == '-' && is_hex(text + 36, 16) && text[52] == '-' &&
	       is_hex(text + 53, 2) && strspn(text + 3, "0") < 32 && strspn(text + 36, "0") < 16;
}

static void make_traceparent(char ret_text[56])
{
	unsigned char trace[16], span[8];

	id_random(trace, sizeof(trace));
	id_random(span, sizeof(span));
	trace[0] |= 1; /* an id of zeros only means none */
	span[0] |= 1;
	memcpy(ret_text, "00-", 4);
	codec_hex(trace, sizeof(trace), ret_text + 3);
	ret_text[35] = '-';
	codec_hex(span, sizeof(span), ret_text + 36);
	memcpy(ret_text + 52, "-01", 4);
}

void web_call_identify(struct web_call *call)
{
	const char *id = http_head_find(&call->head, "x-request-id");
	const char *trace = http_head_find(&call->head, "traceparent");
	const char *last_event = http_head_find(&call->head, "last-event-id");

	call->req.method = call->head.method;
	if (id && id_is(id, "req"))
		memcpy(call->req.id, id, strlen(id) + 1);
	else
		id_new("req", call->req.id);
	if (trace && is_traceparent(trace))
		memcpy(call->req.traceparent, trace, sizeof(call->req.traceparent));
	else
		make_traceparent(call->req.traceparent);
	if (last_event && *last_event && strlen(last_event) <= 18 &&
		strspn(last_event, "0123456789") == strlen(last_event))
		call->req.last_event_id = strtoll(last_event, NULL, 10);
}

/* --- on the worker --- */

/* Who was let in with the head may have lost his rights when the handler runs, or runs again. */
static int authorise_again(struct web_call *call)
{
	const struct web_conf *conf = &call->server->conf;

	if ((call->phase != WEB_HANDLE && call->phase != WEB_BEGIN) || !conf->recheck)
		return 0;
	return conf->recheck(&call->req, &call->err);
}

static int authorise(struct web_call *call)
{
	const struct web_route *route = call->entry->route;
	const struct web_conf *conf = &call->server->conf;

	if (web_asks_itself(route->access))
		return call->phase == WEB_ADMIT && conf->admit
			       ? conf->admit(&call->req, &call->res, &call->err)
			       : 0;
	if (call->authorised)
		return authorise_again(call);
	if (!conf->authorise)
		return err_set(&call->err, ERR_UNAUTHENTICATED, "auth.missing",
			"nobody checks tokens here");
	if (conf->authorise(
		    &call->req, route->access, route->scope, &call->req.principal, &call->err) < 0)
		return -1;
	call->authorised = true;
	return 0;
}

static void release_json(void *object)
{
	json_decref(object);
}

int web_call_parse(struct web_call *call)
{
	struct web_req *req = &call->req;

	req->body = call->body.data ? call->body.data : (const unsigned char *)"";
	req->body_len = call->body.len;
	if (!call->entry->route->json || req->json)
		return 0;
	req->json = json_parse((const char *)req->body, req->body_len, &call->err);
	if (!req->json)
		return -1;
	arena_defer(call->arena, release_json, req->json);
	return 0;
}

static int run_stream(struct web_call *call)
{
	const struct web_stream_ops *ops = call->entry->route->stream;

	if (call->phase == WEB_BEGIN)
		return ops->begin(&call->req, &call->res, &call->stream_ctx, &call->err);
	return ops->finish ? ops->finish(&call->req, &call->res, call->stream_ctx, &call->err) : 0;
}

static int run_handler(struct web_call *call)
{
	if (call->phase == WEB_ADMIT)
		return 0;
	if (call->phase != WEB_HANDLE)
		return run_stream(call);
	if (web_call_parse(call) < 0)
		return -1;
	return call->entry->route->handle(&call->req, &call->res, &call->err);
}

/* Whether what the run left is the answer, and no waiting or streaming. */
static bool is_answer(const struct web_call *call)
{
	if (call->result < 0)
		return !call->sse_open;
	if (call->phase == WEB_BEGIN || call->phase == WEB_ADMIT)
		return call->result > 0;
	return !call->res.sse && !call->res.park_key;
}

/* A parked request's later run has an arena of its own, so that waiting long costs no memory. */
static void start_over(struct web_call *call)
{
	web_reply_reset(call);
	if (call->run_arena)
		arena_reset(call->run_arena);
	else
		call->run_arena = arena_new();
	call->req.arena = call->run_arena;
}

void web_call_enter(struct web_call *call)
{
	const struct principal *who = call->req.principal;

	if (call->req.worker && call->server->conf.begin)
		call->server->conf.begin(&call->req);
	log_context_set(call->req.id, who ? who->subject : NULL);
}

int web_call_begin(struct web_call *call, struct worker *worker)
{
	if (call->runs > 1 && call->phase == WEB_HANDLE)
		start_over(call);
	call->req.worker = worker;
	web_call_enter(call);
	err_clear(&call->err);
	call->result = authorise(call);
	if (call->result < 0)
		return -1;
	log_context_set(call->req.id, call->req.principal ? call->req.principal->subject : NULL);
	return 0;
}

void web_call_end(struct web_call *call)
{
	if (call->req.worker && call->server->conf.end)
		call->server->conf.end(&call->req, call->result < 0 ? &call->err : NULL);
	call->req.worker = NULL;
	if (is_answer(call)) {
		if ((call->phase == WEB_BEGIN || call->phase == WEB_ADMIT) &&
			(call->head.chunked || call->head.content_length > 0))
			call->keep_alive = false; /* its body was not read */
		web_reply_build(call);
	}
	log_context_set(NULL, NULL);
}

static void call_run(struct lane_job *job, struct worker *worker)
{
	struct web_call *call = (struct web_call *)job;

	if (web_call_begin(call, worker) == 0)
		call->result = run_handler(call);
	web_call_end(call);
	web_server_post(call->server, &call->note);
}

/* --- on the loop --- */

static bool is_joined(const struct web_call *call)
{
	const struct web_read *read = call->entry->route->read;

	if (call->phase != WEB_HANDLE)
		return false;
	if (call->entry->route->change)
		return true;
	if (!read)
		return false;
	return !read->unless || !memmem(call->body.data ? call->body.data : (void *)"",
					call->body.len, read->unless, strlen(read->unless));
}

bool web_call_asks_caller(const struct web_call *call)
{
	return call->entry->lane && lane_asks_caller(call->entry->lane);
}

/* Known once he was admitted. */
static unsigned caller_of(const struct web_call *call)
{
	const struct principal *who = call->req.principal;

	if (call->phase == WEB_ADMIT || !web_call_asks_caller(call))
		return 0;
	return who && who->tenant ? web_hash(who->tenant) : 0;
}

bool web_call_submit(struct web_call *call, enum web_phase phase)
{
	if (call->server->closed)
		return false;
	call->phase = phase;
	call->ring_seen = call->server->rings;
	call->submitted = true;
	call->runs += phase == WEB_HANDLE;
	call->job.joins = is_joined(call);
	call->job.caller = caller_of(call);
	call->job.run = !call->job.joins	     ? call_run
			: call->entry->route->change ? web_change_run
						     : web_read_run;
	if (!call->entry->lane) /* "loop": answers from memory */
		call_run(&call->job, NULL);
	else
		call->submitted = lane_submit(call->entry->lane, &call->job);
	if (call->submitted)
		event_active(call->server->wake_event, EV_TIMEOUT, 0);
	return call->submitted;
}

static void on_done(struct web_server *server, struct web_note *note)
{
	struct web_call *call = (struct web_call *)((char *)note - offsetof(struct web_call, note));

	(void)server;
	call->submitted = false;
	if (call->phase == WEB_BEGIN && call->result == 0)
		web_stream_started(call);
	else if (call->phase == WEB_FINISH)
		web_stream_finished(call);
	else if (!call->conn)
		web_call_free(call);
	else if (call->built)
		http_conn_answer(call->conn, call);
	else if (call->phase == WEB_ADMIT)
		http_conn_admitted(call->conn);
	else
		web_park_settle(call);
}

void web_call_refuse(struct web_call *call, int status, const struct err *err)
{
	if (http_conn_has_body(call->conn))
		call->keep_alive = false;
	call->err = *err;
	call->status = status;
	call->result = -1;
	log_context_set(call->req.id, NULL);
	web_reply_build(call);
	log_context_set(NULL, NULL);
	http_conn_answer(call->conn, call);
}

void web_call_gone(struct web_call *call)
{
	call->conn = NULL;
	if (call->stream) {
		web_stream_lost(call->stream);
	} else if (call->parked) {
		web_park_remove(call);
		web_call_free(call);
	} else if (!call->submitted) {
		web_call_free(call);
	}
}
