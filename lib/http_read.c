/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection reads: a head, checked as it arrives; a buffered body up to its route's cap;
 * the bytes of a streamed body as fast as the stream takes them.
 */
#include <event2/buffer.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "lib/http_inner.h"
#include "lib/http_recv.h"
#include "lib/mem.h"

#define DIRECT_CHUNK_BYTES (64u * 1024u)
#define BODY_STEP_BYTES (16u * 1024u)

static void refuse(struct http_conn *conn, int status, const struct err *err)
{
	web_call_refuse(conn->call, status, err);
}

/* --- bodies --- */

static int gather(void *arg, const void *data, size_t len, struct err *err)
{
	return buf_add(arg, data, len, err);
}

static int move_on(void *arg, const void *data, size_t len, struct err *err)
{
	(void)err;
	if (evbuffer_add(arg, data, len) < 0)
		abort();
	return 0;
}

/* Gives up to `room` bytes of chunked framing that have arrived to the parser. */
static int read_chunks(
	struct http_conn *conn, http_sink *sink, void *arg, size_t room, struct err *err)
{
	struct evbuffer *input = http_conn_input(conn);
	struct http_chunks chunks = { .sink = sink, .arg = arg };

	while (!conn->body_done && room > 0 && evbuffer_get_length(input) > 0) {
		struct evbuffer_iovec piece;
		size_t len;

		evbuffer_peek(input, -1, NULL, &piece, 1);
		len = piece.iov_len < room ? piece.iov_len : room;
		if (http_parse_chunks(conn->parse, piece.iov_base, len, &chunks, err) < 0)
			return -1;
		conn->body_done = chunks.done;
		evbuffer_drain(input, chunks.used);
		room -= len;
	}
	return 0;
}

static int read_counted(struct http_conn *conn, struct buf *body, struct err *err)
{
	struct evbuffer *input = http_conn_input(conn);

	while (conn->body_left > 0 && evbuffer_get_length(input) > 0) {
		struct evbuffer_iovec piece;
		size_t len;

		evbuffer_peek(input, -1, NULL, &piece, 1);
		len = (long long)piece.iov_len < conn->body_left ? piece.iov_len
								 : (size_t)conn->body_left;
		if (buf_add(body, piece.iov_base, len, err) < 0)
			return -1;
		evbuffer_drain(input, len);
		conn->body_left -= (long long)len;
	}
	conn->body_done = conn->body_left == 0;
	return 0;
}

static void submit(struct http_conn *conn, enum web_phase phase)
{
	struct web_call *call = conn->call;
	struct err err;

	conn->state = CONN_CALL;
	http_conn_set_deadline(conn, 0);
	if (web_call_submit(call, phase))
		return;
	err_set(&err, ERR_UNAVAILABLE, "lane.full", "lane '%s' is full",
		lane_name(call->entry->lane));
	refuse(conn, 0, &err);
}

void http_read_begin_stream(struct http_conn *conn)
{
	submit(conn, WEB_BEGIN);
}

bool http_read_body(struct http_conn *conn)
{
	struct web_call *call = conn->call;
	struct err err;
	int result;

	http_conn_set_deadline(conn, conn->server->conf.limits.body_ms);
	if (conn->deadline_ms > conn->body_until_ms)
		conn->deadline_ms = conn->body_until_ms;
	result = conn->chunked ? read_chunks(conn, gather, &call->body, SIZE_MAX, &err)
			       : read_counted(conn, &call->body, &err);
	if (result < 0) {
		if (err.kind == ERR_TOO_LARGE)
			err_set(&err, ERR_TOO_LARGE, "request.body_too_large",
				"the body is longer than %zu bytes", call->body.max);
		refuse(conn, 0, &err);
	} else if (conn->body_done) {
		submit(conn, WEB_HANDLE);
	} else if (conn->eof) {
		http_conn_close(conn);
	}
	return conn->state != CONN_BODY;
}

/* Past libevent's buffer, which is empty here; what follows the body goes back to where requests
 * are read from. */
static int read_direct_chunks(
	struct http_conn *conn, struct evbuffer *in, size_t room, struct err *err)
{
	char piece[DIRECT_CHUNK_BYTES];
	size_t want = room < sizeof(piece) ? room : sizeof(piece);
	ssize_t got = recv(bufferevent_getfd(conn->bev), piece, want, MSG_DONTWAIT);
	struct http_chunks chunks = { .sink = move_on, .arg = in };

	if (got <= 0)
		return 0; /* libevent's own read will say what it is */
	if (http_parse_chunks(conn->parse, piece, (size_t)got, &chunks, err) < 0)
		return -1;
	conn->body_done = chunks.done;
	if (chunks.used < (size_t)got)
		evbuffer_prepend(
			http_conn_input(conn), piece + chunks.used, (size_t)got - chunks.used);
	return 0;
}

static int move_chunks(struct http_conn *conn, struct evbuffer *in, size_t room, struct err *err)
{
	if (read_chunks(conn, move_on, in, room, err) < 0)
		return -1;
	if (conn->tls || conn->body_done || room < WEB_IN_LEAST_BYTES - WEB_CHAIN_BYTES ||
		evbuffer_get_length(http_conn_input(conn)) > 0)
		return 0;
	return read_direct_chunks(conn, in, room, err);
}

static void move_counted(struct http_conn *conn, struct evbuffer *in, size_t room)
{
	struct evbuffer *input = http_conn_input(conn);
	size_t want = (long long)room < conn->body_left ? room : (size_t)conn->body_left;
	int moved = evbuffer_remove_buffer(input, in, want);

	if (moved > 0)
		conn->body_left -= moved;
	want -= moved > 0 ? (size_t)moved : 0;
	if (!conn->tls && evbuffer_get_length(input) == 0 && moved >= 0)
		conn->body_left -= (long long)http_recv(bufferevent_getfd(conn->bev), in, want);
	conn->body_done = conn->body_left == 0 ||
			  (conn->idle_ms > 0 && conn->eof && evbuffer_get_length(input) == 0);
}

/* A streamed body may take long, but a drip does not hold its route for ever. */
static void renew_deadline(struct http_conn *conn, size_t got)
{
	if (conn->idle_ms > 0) {
		if (got > 0)
			http_conn_touch(conn);
		return;
	}
	conn->body_fresh += got;
	if (conn->deadline_ms && conn->body_fresh < BODY_STEP_BYTES)
		return;
	conn->body_fresh = 0;
	http_conn_set_deadline(conn, conn->server->conf.limits.body_ms);
}

int http_conn_body(struct http_conn *conn, struct evbuffer *in, size_t room, struct err *err)
{
	size_t before = evbuffer_get_length(in);

	if (!conn->chunked)
		move_counted(conn, in, room);
	else if (move_chunks(conn, in, room, err) < 0)
		return -1;
	renew_deadline(conn, evbuffer_get_length(in) - before);
	return conn->body_done;
}

void http_conn_pause(struct http_conn *conn, bool paused)
{
	http_conn_hold(conn, paused && !conn->body_done);
	if ((paused || conn->body_done) && conn->idle_ms == 0)
		http_conn_set_deadline(conn, 0);
	else
		renew_deadline(conn, 0);
}

void http_conn_continue(struct http_conn *conn)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (conn->call->head.expect_continue && !conn->body_done &&
		evbuffer_get_length(http_conn_input(conn)) == 0)
		bufferevent_write(conn->bev, text, sizeof(text) - 1);
	conn->call->head.expect_continue = false;
}

/* --- heads --- */

static bool is_json(const char *type)
{
	size_t len = type ? strcspn(type, "; \t") : 0;

	return len == 16 && strncasecmp(type, "application/json", len) == 0;
}

static int check_body(const struct http_conn *conn, struct err *err)
{
	const struct web_call *call = conn->call;
	const struct web_route *route = call->entry->route;

	if (!conn->body_done && route->max_body == 0)
		return err_set(
			err, ERR_TOO_LARGE, "request.body_not_allowed", "this route takes no body");
	if (call->head.content_length > (long long)route->max_body)
		return err_set(err, ERR_TOO_LARGE, "request.body_too_large",
			"the body is longer than %zu bytes", route->max_body);
	if (route->json && conn->body_done)
		return err_set(err, ERR_INVALID, "request.body_missing", "this route needs a body");
	if (route->json && !is_json(http_head_find(&call->head, "content-type")))
		return err_set(err, ERR_UNSUPPORTED_TYPE, "request.not_json",
			"Content-Type must be application/json");
	return 0;
}

/* Each takes what it may need from the start, so that none has to be given up half-way. */
static int reserve(struct web_call *call, struct err *err)
{
	struct web_server *server = call->server;
	size_t bytes = call->head.chunked ? call->entry->route->max_body
					  : (size_t)call->head.content_length;

	if (bytes > server->conf.limits.body_bytes - server->body_bytes)
		return err_set(err, ERR_UNAVAILABLE, "edge.overloaded",
			"%zu bytes of request bodies are in memory", server->body_bytes);
	server->body_bytes += bytes;
	call->body_reserved = bytes;
	return 0;
}

void http_read_begin_body(struct http_conn *conn)
{
	struct web_call *call = conn->call;
	struct err err;

	if (reserve(call, &err) < 0) {
		refuse(conn, 0, &err);
		return;
	}
	call->body.max = call->entry->route->max_body;
	conn->body_until_ms = clock_monotonic_ms() + conn->server->conf.limits.body_total_ms;
	http_conn_continue(conn);
	conn->state = CONN_BODY;
}

/* A body that lies in the connection's input already costs no more than it did; any other waits
 * until it is known who sends it. */
static bool wants_admission(const struct http_conn *conn)
{
	const struct web_call *call = conn->call;
	enum web_access access = call->entry->route->access;
	size_t here = evbuffer_get_length(http_conn_input(conn));

	if (web_asks_itself(access) && !call->server->conf.admit)
		return false;
	return conn->chunked || conn->body_left > (long long)here;
}

static int check_draining(const struct web_call *call, struct err *err)
{
	if (!atomic_load(&call->server->draining) || !call->entry->lane ||
		strcmp(lane_name(call->entry->lane), "ops") == 0)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "service.draining", "the service is about to stop");
}

/* Whether a list of tokens has that one. */
static bool has_token(const char *list, const char *token)
{
	size_t len;

	for (; list && *list; list += len + (list[len] == ',')) {
		size_t spaces = strspn(list, " \t");

		list += spaces;
		len = strcspn(list, ", \t");
		if (len == strlen(token) && strncasecmp(list, token, len) == 0)
			return true;
		len = strcspn(list, ",");
	}
	return false;
}

/* Whether the client means the protocol that the route's bytes will be. */
static int check_upgrade(struct http_conn *conn, struct err *err)
{
	struct web_call *call = conn->call;
	const struct web_stream_ops *ops = call->entry->route->stream;
	const char *protocol = http_head_find(&call->head, "upgrade");

	if (!ops->upgrade ||
		(protocol && strcasecmp(protocol, ops->upgrade) == 0 && conn->body_done &&
			has_token(http_head_find(&call->head, "connection"), "upgrade") &&
			!call->head.http_1_0))
		return 0;
	web_header_add(&call->res, "Upgrade", ops->upgrade);
	return err_set(err, ERR_INVALID, "request.no_upgrade",
		"this route is for HTTP/1.1 with Upgrade: %s and without a body", ops->upgrade);
}

static void begin_request(struct http_conn *conn)
{
	struct web_call *call = conn->call;
	struct err err;

	if (web_route_match(call, &err) < 0 || check_draining(call, &err) < 0) {
		if (err.kind == ERR_INVALID)
			call->keep_alive = false; /* who sends such a target may mean the next one
						     otherwise too */
		refuse(conn, 0, &err);
		return;
	}
	if (call->entry->route->stream) {
		if (check_upgrade(conn, &err) < 0)
			refuse(conn, 426, &err);
		else if (web_call_asks_caller(call))
			submit(conn, WEB_ADMIT);
		else
			http_read_begin_stream(conn);
		return;
	}
	if (check_body(conn, &err) < 0) {
		refuse(conn, 0, &err);
		return;
	}
	if (web_call_asks_caller(call) || (!conn->body_done && wants_admission(conn)))
		submit(conn, WEB_ADMIT);
	else if (conn->body_done)
		submit(conn, WEB_HANDLE);
	else
		http_read_begin_body(conn);
}

/* The head is whole: data[0..len). */
static void take_head(struct http_conn *conn, const unsigned char *data, size_t len)
{
	struct web_call *call = web_call_new(conn->server, conn);
	char *text = arena_alloc(call->arena, len + 1);
	int status = 400;
	struct err err;
	int result;

	memcpy(text, data, len);
	conn->call = call;
	conn->state = CONN_CALL;
	result = http_parse_head(conn->parse, text, len, &call->head, &status, &err);
	web_call_identify(call);
	evbuffer_drain(http_conn_input(conn), len);
	call->keep_alive = result == 0 && call->head.keep_alive;
	conn->chunked = call->head.chunked;
	conn->body_left = call->head.content_length > 0 ? call->head.content_length : 0;
	conn->body_done = result == 0 && !conn->chunked && conn->body_left == 0;
	if (result < 0)
		refuse(conn, status, &err);
	else
		begin_request(conn);
}

void http_read_refuse(struct http_conn *conn, int status, const struct err *err)
{
	struct web_call *call = web_call_new(conn->server, conn);

	web_call_identify(call);
	conn->call = call;
	conn->body_done = false; /* what follows is not understood */
	refuse(conn, status, err);
}

bool http_read_head(struct http_conn *conn)
{
	size_t len = evbuffer_get_length(http_conn_input(conn));
	const unsigned char *data;
	int status = 400, result;
	struct err err;

	if (len > HTTP_MAX_HEAD_BYTES + 1)
		len = HTTP_MAX_HEAD_BYTES + 1;
	if (len > conn->scan.seen && http_conn_queued(conn) > WEB_OUT_HIGH_BYTES)
		return false; /* first the client takes what it asked for */
	if (len > 0 && conn->scan.seen == 0)
		http_conn_set_deadline(conn, conn->server->conf.limits.head_ms);
	data = len > 0 ? evbuffer_pullup(http_conn_input(conn), (ev_ssize_t)len)
		       : (const unsigned char *)"";
	result = http_parse_scan(&conn->scan, data, len, &status, &err);
	if (result > 0)
		take_head(conn, data, conn->scan.seen);
	else if (result < 0)
		http_read_refuse(conn, status, &err);
	else if (conn->eof)
		http_conn_close(conn);
	return result != 0;
}
