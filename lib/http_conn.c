/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of http_conn.h: their life, answers and events. A connection waits for a head,
 * gathers a buffered body, then has a call until its answer went out. Closing is deferred: a closed
 * connection stays in memory until the loop has unwound.
 */
#include "lib/http_conn.h"

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <limits.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/http_inner.h"
#include "lib/mem.h"

#define DISCARD_MAX_BYTES (32u * 1024u * 1024u)
#define LINGER_MAX_MS 30000
#define EDGE_NAME "edge"

static void advance(struct http_conn *conn);

struct evbuffer *http_conn_input(const struct http_conn *conn)
{
	return bufferevent_get_input(conn->bev);
}

size_t http_conn_queued(const struct http_conn *conn)
{
	return evbuffer_get_length(bufferevent_get_output(conn->bev));
}

bool http_conn_tls(const struct http_conn *conn)
{
	return conn->tls;
}

bool http_conn_is_local(const struct http_conn *conn)
{
	return conn->local;
}

static bool is_edge(const struct http_conn *conn)
{
	const SSL *tls = bufferevent_openssl_get_ssl(conn->bev);
	const X509 *cert = SSL_get0_peer_certificate(tls);
	char name[sizeof(EDGE_NAME) + 1] = "";

	return cert &&
	       X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name,
		       sizeof(name)) == (int)strlen(EDGE_NAME) &&
	       strcmp(name, EDGE_NAME) == 0;
}

bool http_conn_may_ask(const struct http_conn *conn, const char *path)
{
	bool is_internal = strncmp(path, "/internal/", 10) == 0;

	if (!conn->tls)
		return true; /* a unix socket's mode says who comes in, plain TCP is loopback's */
	if (is_edge(conn))
		return !is_internal;
	return is_internal || strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0 ||
	       strcmp(path, "/metrics") == 0;
}

bool http_conn_ended(const struct http_conn *conn)
{
	return conn->eof;
}

bool http_conn_has_body(const struct http_conn *conn)
{
	return !conn->body_done;
}

void http_conn_set_deadline(struct http_conn *conn, long ms)
{
	conn->deadline_ms = ms ? clock_monotonic_ms() + ms : 0;
}

void http_conn_touch(struct http_conn *conn)
{
	long ms = conn->idle_ms;

	if ((conn->eof || conn->is_ending) && ms > conn->server->conf.limits.half_ms)
		ms = conn->server->conf.limits.half_ms;
	if (ms > 0 && !(conn->tls && conn->output_ended))
		http_conn_set_deadline(conn, ms);
}

/* Otherwise libevent would fill its buffer in small pieces. That the client is gone is seen when
 * reading goes on, or when what it waits for fails; of an upgraded one, which may wait for long,
 * its end is asked for. */
void http_conn_hold(struct http_conn *conn, bool held)
{
	if (conn->held == held || conn->state == CONN_DEAD)
		return;
	conn->held = held;
	if (held)
		bufferevent_disable(conn->bev, EV_READ);
	else
		bufferevent_enable(conn->bev, EV_READ);
	if (conn->end && held && !conn->is_ending)
		event_add(conn->end, NULL);
	else if (conn->end)
		event_del(conn->end);
}

/* --- closing --- */

void http_conn_close(struct http_conn *conn)
{
	struct web_server *server = conn->server;
	struct web_call *call = take_ptr(conn->call);

	if (conn->state == CONN_DEAD)
		return;
	conn->state = CONN_DEAD;
	bufferevent_setcb(conn->bev, NULL, NULL, NULL, NULL);
	bufferevent_disable(conn->bev, EV_READ | EV_WRITE);
	if (conn->end)
		event_free(take_ptr(conn->end));
	TAILQ_REMOVE(&server->conns, conn, link);
	TAILQ_INSERT_TAIL(&server->dead, conn, link);
	event_active(server->reap_event, 0, 0);
	if (call)
		web_call_gone(call);
}

void http_conn_reap(struct web_server *server)
{
	struct http_conn *conn;

	while ((conn = TAILQ_FIRST(&server->dead))) {
		TAILQ_REMOVE(&server->dead, conn, link);
		bufferevent_free(conn->bev);
		http_parse_free(conn->parse);
		free(conn);
		server->n_conns--;
	}
}

/* Says that no more comes, and waits a little for the client to have read it: an immediate close
 * could take the answer away from a client that is still sending. */
static void linger(struct http_conn *conn)
{
	if (conn->eof || (conn->tls && conn->body_done)) {
		http_conn_close(conn);
		return;
	}
	if (conn->linger_until_ms)
		return;
	if (!conn->tls) /* there the answer's length has to do */
		shutdown(bufferevent_getfd(conn->bev), SHUT_WR);
	conn->linger_until_ms = clock_monotonic_ms() + LINGER_MAX_MS;
	http_conn_set_deadline(conn, conn->server->conf.limits.linger_ms);
}

/* --- answers --- */

/* Straight to the socket when nothing is queued: saves a round through the event loop. */
void http_conn_send(struct http_conn *conn, struct evbuffer *data)
{
	if (conn->state == CONN_DEAD)
		return;
	if (http_conn_queued(conn) == 0) {
		http_conn_touch(conn);
		if (!conn->tls)
			(void)evbuffer_write(data, bufferevent_getfd(conn->bev));
	}
	if (evbuffer_get_length(data) > 0)
		bufferevent_write_buffer(conn->bev, data);
}

void http_conn_finish(struct http_conn *conn, struct web_call *call)
{
	bool keep = call->keep_alive && conn->body_done;

	http_conn_hold(conn, false);
	conn->call = NULL;
	conn->idle_ms = 0;
	web_call_free(call);
	if (!keep) {
		conn->state = CONN_CLOSING;
		http_conn_set_deadline(conn, 0);
		evbuffer_drain(http_conn_input(conn), evbuffer_get_length(http_conn_input(conn)));
		if (http_conn_queued(conn) == 0)
			linger(conn);
		return;
	}
	conn->state = CONN_HEAD;
	conn->scan = (struct http_scan) { .seen = 0 };
	http_conn_set_deadline(conn, conn->server->conf.limits.idle_ms);
	advance(conn);
}

void http_conn_answer(struct http_conn *conn, struct web_call *call)
{
	http_conn_send(conn, call->out);
	http_conn_finish(conn, call);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct http_conn *conn = arg;

	(void)fd;
	(void)what;
	conn->is_ending = true;
	http_conn_touch(conn);
}

void http_conn_upgrade(struct http_conn *conn, long idle_ms)
{
	conn->end = event_new(
		conn->server->base, bufferevent_getfd(conn->bev), EV_CLOSED, on_end, conn);
	if (!conn->end)
		abort();
	conn->idle_ms = idle_ms;
	conn->body_done = false;
	conn->body_left = LLONG_MAX;
	http_conn_touch(conn);
}

static void end_drained_output(struct http_conn *conn)
{
	if (!conn->output_ended || http_conn_queued(conn) > 0)
		return;
	if (conn->tls)
		http_conn_set_deadline(conn, 1);
	else
		shutdown(bufferevent_getfd(conn->bev), SHUT_WR);
}

void http_conn_end_output(struct http_conn *conn)
{
	conn->output_ended = true;
	end_drained_output(conn);
}

void http_conn_admitted(struct http_conn *conn)
{
	if (conn->call->entry->route->stream)
		http_read_begin_stream(conn);
	else
		http_read_begin_body(conn);
	advance(conn);
}

/* --- events --- */

/* Of a client that goes on sending behind a refusal, and may look at it only then. It has bytes and
 * time for it, as long as it goes on; what it does not get rid of makes it look. */
static void discard(struct http_conn *conn)
{
	size_t len = evbuffer_get_length(http_conn_input(conn));
	long long left = conn->linger_until_ms - clock_monotonic_ms();
	long patience = conn->server->conf.limits.linger_ms;

	evbuffer_drain(http_conn_input(conn), len);
	conn->discarded += len;
	if (conn->linger_until_ms && len > 0)
		http_conn_set_deadline(
			conn, left < patience ? (left > 0 ? (long)left : 1) : patience);
	if (conn->discarded > DISCARD_MAX_BYTES)
		http_conn_hold(conn, true);
}

static bool step(struct http_conn *conn)
{
	switch (conn->state) {
	case CONN_HEAD:
		return http_read_head(conn);
	case CONN_BODY:
		return http_read_body(conn);
	case CONN_CALL:
		if (conn->call->stream)
			web_stream_input(conn->call->stream);
		return conn->state != CONN_CALL;
	case CONN_CLOSING:
		discard(conn);
		break;
	case CONN_DEAD:
		break;
	}
	return false;
}

static void advance(struct http_conn *conn)
{
	if (conn->advancing)
		return;
	conn->advancing = true;
	while (step(conn))
		;
	conn->advancing = false;
}

static void on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	advance(arg);
}

static void on_write(struct bufferevent *bev, void *arg)
{
	struct http_conn *conn = arg;

	(void)bev;
	end_drained_output(conn);
	if (conn->state == CONN_CALL && conn->call->stream)
		web_stream_drained(conn->call->stream);
	else if (conn->state == CONN_CLOSING && http_conn_queued(conn) == 0)
		linger(conn);
	else if (conn->state == CONN_HEAD)
		advance(conn);
}

/* Who waits or streams is told at once; a plain answer may still reach a client that only ended its
 * side, and so does what comes the other way behind an upgrade. */
static bool ends_with_input(const struct http_conn *conn)
{
	const struct web_call *call = conn->call;

	if (conn->idle_ms > 0)
		return false;
	if (conn->state == CONN_CLOSING)
		return http_conn_queued(conn) == 0;
	return conn->state == CONN_CALL &&
	       (call->stream || call->parked || call->sse_open || call->runs > 1);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_conn *conn = arg;

	(void)bev;
	if (what & BEV_EVENT_CONNECTED) {
		http_conn_set_deadline(conn, conn->server->conf.limits.idle_ms);
		return;
	}
	conn->eof = true;
	http_conn_touch(conn);
	if (!(what & BEV_EVENT_EOF) || ends_with_input(conn))
		http_conn_close(conn);
	else
		advance(conn);
}

/* What was queued first has the whole time before it; so has what is left when some was taken. */
static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct http_conn *conn = arg;

	(void)output;
	if (info->n_deleted > 0 || info->orig_size == 0)
		conn->taken_at_ms = clock_monotonic_ms();
	if (info->n_deleted > 0)
		http_conn_touch(conn);
}

void http_conn_new(struct web_server *server, struct bufferevent *bev, bool tls, bool local)
{
	struct http_conn *conn = mem_alloc(sizeof(*conn));
	const struct web_limits *limits = &server->conf.limits;

	conn->server = server;
	conn->bev = bev;
	conn->tls = tls;
	conn->local = local;
	conn->parse = http_parse_new();
	conn->body_done = true;
	http_conn_set_deadline(conn, tls ? limits->head_ms : limits->idle_ms);
	TAILQ_INSERT_TAIL(&server->conns, conn, link);
	server->n_conns++;
	evbuffer_add_cb(bufferevent_get_output(bev), on_output, conn);
	bufferevent_setwatermark(bev, EV_READ, 0, HTTP_INPUT_HIGH_BYTES);
	bufferevent_setwatermark(bev, EV_WRITE, WEB_OUT_LOW_BYTES, 0);
	bufferevent_setcb(bev, on_read, on_write, on_event, conn);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

/* --- time --- */

static void time_out(struct http_conn *conn)
{
	struct err err;

	err_set(&err, ERR_INVALID, "request.timeout", "the request did not arrive in time");
	conn->deadline_ms = 0;
	if (conn->state == CONN_HEAD && conn->scan.seen > 0)
		http_read_refuse(conn, 408, &err);
	else if (conn->state == CONN_BODY)
		web_call_refuse(conn->call, 408, &err);
	else
		http_conn_close(conn);
}

void http_conn_tick(struct web_server *server, long long now_ms)
{
	struct http_conn *conn = TAILQ_FIRST(&server->conns);

	while (conn) {
		struct http_conn *next = TAILQ_NEXT(conn, link);
		bool stalls = http_conn_queued(conn) > 0 && conn->idle_ms == 0 &&
			      now_ms - conn->taken_at_ms > server->conf.limits.write_ms;

		if (stalls)
			http_conn_close(conn);
		else if (conn->deadline_ms && now_ms >= conn->deadline_ms)
			time_out(conn);
		conn = next;
	}
}

/* Whether anything is still on its way in or out. */
static bool is_idle(const struct http_conn *conn)
{
	if (http_conn_queued(conn) > 0)
		return false;
	return conn->state == CONN_CLOSING || (conn->state == CONN_HEAD && conn->scan.seen == 0);
}

unsigned http_conn_close_idle(struct web_server *server)
{
	struct http_conn *conn = TAILQ_FIRST(&server->conns);
	unsigned busy = 0;

	while (conn) {
		struct http_conn *next = TAILQ_NEXT(conn, link);

		if (is_idle(conn))
			http_conn_close(conn);
		else
			busy++;
		conn = next;
	}
	return busy;
}

bool http_conn_make_room(struct web_server *server)
{
	struct http_conn *conn;

	TAILQ_FOREACH(conn, &server->conns, link)
	{
		if (conn->state == CONN_HEAD || conn->state == CONN_CLOSING)
			break;
	}
	if (conn)
		http_conn_close(conn);
	return conn || !TAILQ_EMPTY(&server->dead); /* which are freed soon */
}

void http_conn_close_all(struct web_server *server)
{
	while (!TAILQ_EMPTY(&server->conns))
		http_conn_close(TAILQ_FIRST(&server->conns));
}
