/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streamed requests on the loop (web_stream.h). A stream lives from a successful begin to
 * release(). Its end is deferred to an event of its own, so that no callback of the route finds its
 * context freed under it.
 */
#include "lib/web_stream.h"

#include <event2/buffer.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http_conn.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/web_inner.h"

#define ROUNDS_PER_EVENT 4 /* then the other connections have their turn */

struct web_stream {
	struct web_call *call;
	const struct web_stream_ops *ops;
	void *ctx;
	struct evbuffer *in;
	struct event *kick;
	struct web_note room;	 /* of a worker beside the body */
	atomic_bool room_posted; /* it is on its way to the loop */
	int status;		 /* of the head that was sent; 0: none yet */
	long long left;		 /* of the answer's declared length; -1: none declared */
	bool waiting;		 /* `body` left bytes: nothing is read until it asks */
	bool body_ended;	 /* the last byte is in `in` or taken */
	bool end_told;		 /* end() was called, or finish is a lane's */
	bool blocked;		 /* the route waits for drained() */
	bool ended;		 /* what remains is release() */
	bool gone_told;
	bool finishing;
	bool working; /* finish runs beside the body */
	bool in_callback;
};

static bool has_answer_body(const struct web_stream *stream)
{
	return strcmp(stream->call->head.method, "HEAD") != 0 && stream->status != 204 &&
	       stream->status != 304;
}

static bool is_upgraded(const struct web_stream *stream)
{
	return stream->status == 101;
}

static bool is_chunked(const struct web_stream *stream)
{
	return stream->left < 0 && !stream->call->head.http_1_0 && !is_upgraded(stream);
}

struct event_base *web_stream_base(struct web_stream *stream)
{
	return stream->call->server->base;
}

long long web_stream_length(struct web_stream *stream)
{
	const struct http_head *head = &stream->call->head;

	if (head->chunked)
		return -1;
	return head->content_length > 0 ? head->content_length : 0;
}

static void end_soon(struct web_stream *stream)
{
	stream->ended = true;
	event_active(stream->kick, 0, 0);
}

void web_stream_resume(struct web_stream *stream)
{
	stream->waiting = false;
	if (is_upgraded(stream) && stream->call->conn)
		http_conn_touch(stream->call->conn);
	event_active(stream->kick, 0, 0);
}

static void tell_gone(struct web_stream *stream)
{
	bool told = stream->gone_told;

	stream->gone_told = true;
	if (stream->ops->gone && !told)
		stream->ops->gone(stream, stream->ctx);
	if (!stream->ops->keeps)
		end_soon(stream);
}

static void release(struct web_call *call)
{
	struct web_stream *stream = take_ptr(call->stream);

	stream->ops->release(stream->ctx);
	evbuffer_free(stream->in);
	event_free(stream->kick);
	free(stream);
}

static void account(struct web_call *call, int status)
{
	log_context_set(call->req.id, NULL);
	web_reply_account(call, status);
	log_context_set(NULL, NULL);
}

/* The stream's last moment on the loop. */
static void let_go(struct web_stream *stream)
{
	struct web_call *call = stream->call;
	int status = call->conn ? stream->status : 499;

	if (!call->built)
		account(call, status);
	release(call);
	if (!call->conn)
		web_call_free(call);
	else if (call->built)
		http_conn_answer(call->conn, call);
	else
		http_conn_finish(call->conn, call);
}

static void fail_before_head(struct web_stream *stream, const struct err *err)
{
	struct web_call *call = stream->call;

	if (http_conn_has_body(call->conn))
		call->keep_alive = false;
	call->err = *err;
	call->result = -1;
	log_context_set(call->req.id, NULL);
	web_reply_build(call);
	log_context_set(NULL, NULL);
	end_soon(stream);
}

static void fail(struct web_stream *stream, const struct err *err)
{
	if (stream->status == 0 && stream->call->conn) {
		fail_before_head(stream, err);
		return;
	}
	log_context_set(stream->call->req.id, NULL);
	log_failure("stream cut off", err);
	log_context_set(NULL, NULL);
	end_soon(stream);
	if (stream->call->conn)
		http_conn_close(stream->call->conn);
}

void web_stream_fail(struct web_stream *stream, const struct err *err)
{
	if (!stream->ended)
		fail(stream, err);
}

/* The body is bad, or the route does not want it. */
static void break_off(struct web_stream *stream, const struct err *err)
{
	if (stream->ended)
		return;
	tell_gone(stream);
	if (!stream->ops->keeps)
		fail(stream, err);
}

/* --- the request's body --- */

static void give(struct web_stream *stream)
{
	struct err err;
	int result = 0;

	if (stream->ops->body)
		result = stream->ops->body(stream, stream->ctx, stream->in, &err);
	else
		evbuffer_drain(stream->in, evbuffer_get_length(stream->in));
	if (result < 0) {
		break_off(stream, &err);
		return;
	}
	stream->waiting = evbuffer_get_length(stream->in) > 0;
	if (stream->call->conn)
		http_conn_pause(stream->call->conn, stream->waiting);
}

static void submit_finish(struct web_stream *stream)
{
	struct web_call *call = stream->call;
	struct err err;

	if (web_call_submit(call, WEB_FINISH))
		return;
	err_set(&err, ERR_UNAVAILABLE, "lane.full", "the lane of '%s' is full",
		call->entry->route->path);
	if (stream->ops->gone && !stream->gone_told)
		stream->ops->gone(stream, stream->ctx);
	fail(stream, &err);
}

void web_stream_finish(struct web_stream *stream)
{
	if (stream->ended || stream->finishing)
		return;
	stream->finishing = true;
	stream->end_told = true;
	submit_finish(stream);
}

void web_stream_work(struct web_stream *stream)
{
	if (stream->ended || stream->working)
		return;
	stream->working = true;
	submit_finish(stream);
}

static void on_room(struct web_server *server, struct web_note *note)
{
	struct web_stream *stream =
		(struct web_stream *)((char *)note - offsetof(struct web_stream, room));

	(void)server;
	atomic_store(&stream->room_posted, false);
	web_stream_resume(stream);
}

/* The note of the worker's own end comes behind this one, so the stream is still there. */
void web_stream_room(struct web_stream *stream)
{
	if (!atomic_exchange(&stream->room_posted, true))
		web_server_post(stream->call->server, &stream->room);
}

static void tell_end(struct web_stream *stream)
{
	stream->end_told = true;
	if (!stream->ops->relay)
		submit_finish(stream);
	else if (stream->ops->end)
		stream->ops->end(stream, stream->ctx);
}

/* How much of one stream may wait: much for a few, so that each system call moves much; less each
 * the more there are. */
static size_t room_of(const struct web_stream *stream)
{
	size_t share = WEB_IN_TOTAL_BYTES / stream->call->server->n_calls;

	if (share > WEB_IN_MOST_BYTES)
		share = WEB_IN_MOST_BYTES;
	if (share < WEB_IN_LEAST_BYTES)
		share = WEB_IN_LEAST_BYTES;
	return share - WEB_CHAIN_BYTES;
}

/* One round: bytes from the connection to the route. false: there is nothing to do now. */
static bool take_round(struct web_stream *stream)
{
	size_t before = evbuffer_get_length(stream->in), most = room_of(stream);
	int result = stream->body_ended;
	struct err err;

	if (stream->ended || stream->waiting || stream->end_told || stream->gone_told ||
		!stream->call->conn || (stream->ops->upgrade && !is_upgraded(stream)))
		return false;
	if (!stream->body_ended && before < most)
		result = http_conn_body(stream->call->conn, stream->in, most - before, &err);
	if (result < 0) {
		break_off(stream, &err);
		return false;
	}
	stream->body_ended = result == 1;
	if (evbuffer_get_length(stream->in) > 0)
		give(stream);
	else if (!stream->body_ended)
		return false;
	if (stream->body_ended && !stream->ended && evbuffer_get_length(stream->in) == 0) {
		http_conn_pause(stream->call->conn, true);
		tell_end(stream);
	}
	return before > 0 || !stream->body_ended;
}

void web_stream_input(struct web_stream *stream)
{
	int rounds = 0;

	if (stream->in_callback)
		return;
	stream->in_callback = true;
	while (rounds < ROUNDS_PER_EVENT && take_round(stream))
		rounds++;
	stream->in_callback = false;
	if (rounds == ROUNDS_PER_EVENT)
		event_active(stream->kick, 0, 0);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct web_stream *stream = arg;

	(void)fd;
	(void)what;
	if (stream->ended)
		let_go(stream);
	else
		web_stream_input(stream);
}

/* --- begin and finish, back from the lane --- */

void web_stream_started(struct web_call *call)
{
	struct web_stream *stream = mem_alloc(sizeof(*stream));
	struct err err;
	bool is_cut;

	stream->call = call;
	stream->ops = call->entry->route->stream;
	stream->ctx = call->stream_ctx;
	stream->left = -1;
	stream->in = evbuffer_new();
	stream->kick = event_new(call->server->base, -1, 0, on_kick, stream);
	stream->room.run = on_room;
	if (!stream->in || !stream->kick)
		abort();
	call->stream = stream;
	if (!call->conn) {
		tell_gone(stream);
		return;
	}
	if (stream->ops->relay && stream->ops->relay(stream, stream->ctx, &err) < 0) {
		web_stream_fail(stream, &err);
		return;
	}
	if (stream->ended || stream->finishing || !call->conn)
		return; /* the relay is through already */
	is_cut = http_conn_ended(call->conn);
	if (!is_cut)
		http_conn_continue(call->conn);
	web_stream_input(stream); /* what came before the end counts */
	if (is_cut && call->conn && http_conn_has_body(call->conn))
		http_conn_close(call->conn);
}

void web_stream_finished(struct web_call *call)
{
	release(call);
	if (call->conn)
		http_conn_answer(call->conn, call);
	else
		web_call_free(call);
}

void web_stream_lost(struct web_stream *stream)
{
	if (stream->ended || (stream->call->submitted && !stream->working))
		return;
	tell_gone(stream);
}

void web_stream_drained(struct web_stream *stream)
{
	if (!stream->blocked || stream->ended)
		return;
	stream->blocked = false;
	if (stream->ops->drained)
		stream->ops->drained(stream, stream->ctx);
}

/* --- answers of relays --- */

static struct evbuffer *new_buffer(void)
{
	struct evbuffer *buffer = evbuffer_new();

	if (!buffer)
		abort();
	return buffer;
}

static void send_out(struct web_stream *stream, struct evbuffer *out)
{
	stream->call->out_bytes += evbuffer_get_length(out);
	http_conn_send(stream->call->conn, out);
	evbuffer_free(out);
}

void web_stream_reply_head(struct web_stream *stream, int status, const struct web_pair *headers,
	size_t n_headers, long long content_length)
{
	struct web_call *call = stream->call;
	struct evbuffer *out;

	if (stream->ended || !call->conn || stream->status)
		return;
	out = new_buffer();
	stream->status = status;
	stream->left = content_length;
	if (atomic_load(&call->server->draining) || (content_length < 0 && call->head.http_1_0))
		call->keep_alive = false;
	web_reply_head_add(call, out, status, headers, n_headers);
	if (content_length >= 0 && status != 204)
		evbuffer_add_printf(out, "Content-Length: %lld\r\n", content_length);
	else if (is_chunked(stream) && status != 204 && status != 304)
		evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n");
	evbuffer_add(out, "\r\n", 2);
	send_out(stream, out);
}

void web_stream_upgrade(struct web_stream *stream, long idle_ms)
{
	struct web_call *call = stream->call;
	const struct web_pair headers[] = { { "Connection", "Upgrade" },
		{ "Upgrade", stream->ops->upgrade } };
	struct evbuffer *out;

	if (stream->ended || !call->conn || stream->status)
		return;
	out = new_buffer();
	stream->status = 101;
	call->keep_alive = true; /* else the head would say that it closes */
	web_reply_head_add(call, out, 101, headers, ARRAY_LEN(headers));
	call->keep_alive = false;
	evbuffer_add(out, "\r\n", 2);
	http_conn_upgrade(call->conn, idle_ms);
	send_out(stream, out);
	event_active(stream->kick, 0, 0); /* what came behind the head */
}

void web_stream_upgrade_done(struct web_stream *stream)
{
	if (!stream->ended)
		end_soon(stream);
}

bool web_stream_reply_data(struct web_stream *stream, struct evbuffer *data)
{
	size_t len = evbuffer_get_length(data);
	struct evbuffer *out;

	if (stream->ended || !stream->call->conn || len == 0 || !has_answer_body(stream)) {
		evbuffer_drain(data, len);
		return true;
	}
	if (stream->left >= 0 && (long long)len > stream->left) {
		evbuffer_drain(data, len);
		http_conn_close(stream->call->conn);
		return false;
	}
	stream->left -= stream->left >= 0 ? (long long)len : 0;
	out = new_buffer();
	if (is_chunked(stream))
		evbuffer_add_printf(out, "%zx\r\n", len);
	evbuffer_add_buffer(out, data);
	if (is_chunked(stream))
		evbuffer_add(out, "\r\n", 2);
	send_out(stream, out);
	stream->blocked = http_conn_queued(stream->call->conn) > WEB_OUT_HIGH_BYTES;
	return !stream->blocked;
}

void web_stream_reply_end(struct web_stream *stream)
{
	struct evbuffer *out;

	if (stream->ended || !stream->call->conn)
		return;
	if (is_upgraded(stream)) {
		http_conn_end_output(stream->call->conn);
		return;
	}
	if (stream->left > 0 && has_answer_body(stream)) { /* shorter than declared */
		http_conn_close(stream->call->conn);
		return;
	}
	if (is_chunked(stream) && has_answer_body(stream)) {
		out = new_buffer();
		evbuffer_add(out, "0\r\n\r\n", 5);
		send_out(stream, out);
	}
	end_soon(stream);
}
