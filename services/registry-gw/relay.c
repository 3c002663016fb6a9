/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay of relay.h. change_state() is the only place where `state` is written: it checks the
 * step and sets what holds in the new state, so that the callbacks only ask where they are.
 */
#include "services/registry-gw/relay.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/http_recv.h"
#include "lib/mem.h"

#define LOW_BYTES (16u * 1024u)	  /* behind them lies what the socket holds */
#define SOCKET_BYTES (512 * 1024) /* a whole piece, while the registry reads the one before */
#define WRITE_SECONDS 60
#define WAIT_SECONDS 300 /* it may have to sync a large file */
#define READ_SECONDS 60

#define TO(state) (1u << (state))

static const unsigned steps[] = {
	[RELAY_IDLE] = TO(RELAY_SENDING) | TO(RELAY_WAITING),
	[RELAY_SENDING] = TO(RELAY_WAITING) | TO(RELAY_ANSWERING) | TO(RELAY_FAILED),
	[RELAY_WAITING] = TO(RELAY_ANSWERING) | TO(RELAY_FAILED),
	[RELAY_ANSWERING] = TO(RELAY_DONE) | TO(RELAY_FAILED),
	[RELAY_DONE] = 0,
	[RELAY_FAILED] = 0,
};

static void set_patience(struct relay *relay, long read_seconds)
{
	const struct timeval reading = { .tv_sec = read_seconds },
			     writing = { .tv_sec = WRITE_SECONDS };

	bufferevent_set_timeouts(relay->bev, read_seconds ? &reading : NULL, &writing);
}

static void disconnect(struct relay *relay)
{
	if (relay->bev)
		bufferevent_free(take_ptr(relay->bev));
}

static void change_state(struct relay *relay, enum relay_state state)
{
	assert(steps[relay->state] & TO(state));
	relay->state = state;
	switch (state) {
	case RELAY_SENDING:
		set_patience(relay, 0); /* the client sets the pace */
		break;
	case RELAY_WAITING:
		set_patience(relay, WAIT_SECONDS);
		break;
	case RELAY_ANSWERING:
		set_patience(relay, READ_SECONDS);
		break;
	case RELAY_DONE:
	case RELAY_FAILED:
		disconnect(relay);
		relay->hooks->settled(relay);
		break;
	case RELAY_IDLE:
		break;
	}
}

static bool is_open(const struct relay *relay)
{
	return relay->state == RELAY_SENDING || relay->state == RELAY_WAITING ||
	       relay->state == RELAY_ANSWERING;
}

static void fail(struct relay *relay, const char *why)
{
	err_set(&relay->err, ERR_UPSTREAM, "registry.failed", "%s", why);
	change_state(relay, RELAY_FAILED);
}

/* --- the answer's body --- */

static int take_chunk(void *arg, const void *data, size_t len, struct err *err)
{
	struct relay *relay = arg;

	(void)err;
	if (evbuffer_add(relay->data, data, len) < 0)
		abort();
	return 0;
}

static void hand_on(struct relay *relay)
{
	if (relay->hooks->data && evbuffer_get_length(relay->data) > 0)
		relay->hooks->data(relay, relay->data);
	else
		evbuffer_drain(relay->data, evbuffer_get_length(relay->data));
}

static void read_chunked(struct relay *relay)
{
	struct evbuffer *input = bufferevent_get_input(relay->bev);
	struct http_chunks chunks = { .sink = take_chunk, .arg = relay };

	while (!chunks.done && evbuffer_get_length(input) > 0) {
		struct evbuffer_iovec piece;

		evbuffer_peek(input, -1, NULL, &piece, 1);
		if (http_parse_chunks(relay->parse, piece.iov_base, piece.iov_len, &chunks,
			    &relay->err) < 0) {
			change_state(relay, RELAY_FAILED);
			return;
		}
		evbuffer_drain(input, chunks.used);
	}
	hand_on(relay);
	if (chunks.done && is_open(relay))
		change_state(relay, RELAY_DONE);
}

static void read_direct(struct relay *relay)
{
	long long room = (long long)RELAY_HIGH_BYTES - (long long)evbuffer_get_length(relay->data);
	size_t got;

	if (relay->answer_left >= 0 && room > relay->answer_left)
		room = relay->answer_left;
	if (room <= 0)
		return;
	got = http_recv(bufferevent_getfd(relay->bev), relay->data, (size_t)room);
	relay->answer_left -= relay->answer_left >= 0 ? (long long)got : 0;
}

static void read_plain(struct relay *relay)
{
	struct evbuffer *input = bufferevent_get_input(relay->bev);
	size_t len = evbuffer_get_length(input);

	if (relay->answer_left >= 0 && (long long)len > relay->answer_left)
		len = (size_t)relay->answer_left;
	evbuffer_remove_buffer(input, relay->data, len);
	relay->answer_left -= relay->answer_left >= 0 ? (long long)len : 0;
	read_direct(relay);
	hand_on(relay);
	if (relay->answer_left == 0 && is_open(relay))
		change_state(relay, RELAY_DONE);
}

static void read_answer(struct relay *relay)
{
	if (relay->paused)
		return;
	if (relay->head.chunked)
		read_chunked(relay);
	else
		read_plain(relay);
}

/* --- its head --- */

static void take_head(struct relay *relay, const unsigned char *data, size_t len)
{
	free(relay->head_text);
	relay->head_text = mem_strndup((const char *)data, len);
	evbuffer_drain(bufferevent_get_input(relay->bev), len);
	relay->scan = (struct http_scan) { .seen = 0 };
	if (http_parse_answer(relay->parse, relay->head_text, len, &relay->head, &relay->err) < 0) {
		change_state(relay, RELAY_FAILED);
		return;
	}
	if (relay->head.status < 200)
		return;
	relay->answer_left = relay->head.status == 204 || relay->head.status == 304
				     ? 0
				     : relay->head.content_length;
	change_state(relay, RELAY_ANSWERING);
	if (relay->hooks->head)
		relay->hooks->head(relay);
}

static bool read_head(struct relay *relay)
{
	struct evbuffer *input = bufferevent_get_input(relay->bev);
	size_t len = evbuffer_get_length(input);
	const unsigned char *data;
	int ignored, result;

	if (len > HTTP_MAX_HEAD_BYTES + 1)
		len = HTTP_MAX_HEAD_BYTES + 1;
	data = len > 0 ? evbuffer_pullup(input, (ev_ssize_t)len) : NULL;
	result = http_parse_scan(&relay->scan, data, len, &ignored, &relay->err);
	if (result > 0)
		take_head(relay, data, relay->scan.seen);
	else if (result < 0)
		fail(relay, "the registry's answer is malformed");
	return result > 0;
}

/* --- events --- */

static void on_read(struct bufferevent *bev, void *arg)
{
	struct relay *relay = arg;

	(void)bev;
	while (relay->state == RELAY_SENDING || relay->state == RELAY_WAITING) {
		if (!read_head(relay))
			return;
	}
	if (relay->state == RELAY_ANSWERING)
		read_answer(relay);
}

static void on_write(struct bufferevent *bev, void *arg)
{
	struct relay *relay = arg;

	(void)bev;
	if (relay->state == RELAY_SENDING && relay->hooks->room)
		relay->hooks->room(relay);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct relay *relay = arg;

	on_read(bev, relay);
	if (!is_open(relay))
		return;
	if (relay->state == RELAY_ANSWERING && (what & BEV_EVENT_EOF) && relay->answer_left < 0 &&
		!relay->head.chunked)
		change_state(relay, RELAY_DONE);
	else
		fail(relay, what & BEV_EVENT_TIMEOUT ? "the registry stalls"
						     : "the registry cut the connection");
}

/* --- what the owner calls --- */

static int connect_to(const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int size = SOCKET_BYTES, reason;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ERR_UPSTREAM, "registry.unreachable",
			"the path '%s' is too long", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (fd >= 0) /* as much of it as the system allows */
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return take_fd(fd);
	reason = errno;
	return err_set(err, ERR_UPSTREAM, "registry.unreachable", "connect to '%s': %s", path,
		strerror(reason));
}

int relay_start(struct relay *relay, struct event_base *base, const char *socket_path,
	const char *head, bool has_body, struct err *err)
{
	int fd = connect_to(socket_path, err);

	if (fd < 0)
		return -1;
	relay->bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	relay->data = evbuffer_new();
	relay->parse = http_parse_new();
	if (!relay->bev || !relay->data)
		abort();
	bufferevent_setcb(relay->bev, on_read, on_write, on_event, relay);
	bufferevent_setwatermark(relay->bev, EV_READ, 0, RELAY_HIGH_BYTES);
	bufferevent_setwatermark(relay->bev, EV_WRITE, LOW_BYTES, 0);
	bufferevent_set_max_single_write(relay->bev, RELAY_HIGH_BYTES);
	change_state(relay, has_body ? RELAY_SENDING : RELAY_WAITING);
	bufferevent_enable(relay->bev, EV_READ | EV_WRITE);
	bufferevent_write(relay->bev, head, strlen(head));
	return 0;
}

/* Straight to the socket when nothing is queued: saves a round through the event loop. */
static void send_now(struct relay *relay, struct evbuffer *out)
{
	if (evbuffer_get_length(bufferevent_get_output(relay->bev)) == 0)
		(void)evbuffer_write(out, bufferevent_getfd(relay->bev));
	if (evbuffer_get_length(out) > 0)
		bufferevent_write_buffer(relay->bev, out);
}

bool relay_body(struct relay *relay, struct evbuffer *body)
{
	size_t len = evbuffer_get_length(body);
	struct evbuffer *out;

	if (relay->state != RELAY_SENDING || len == 0) {
		evbuffer_drain(body, len);
		return true;
	}
	if (evbuffer_get_length(bufferevent_get_output(relay->bev)) > LOW_BYTES)
		return false;
	out = evbuffer_new();
	if (!out)
		abort();
	evbuffer_add_printf(out, "%zx\r\n", len);
	evbuffer_add_buffer(out, body);
	evbuffer_add(out, "\r\n", 2);
	relay->sent += (long long)len;
	send_now(relay, out);
	evbuffer_free(out);
	return true;
}

void relay_body_end(struct relay *relay)
{
	static const char last_chunk[] = "0\r\n\r\n";

	if (relay->state != RELAY_SENDING)
		return;
	bufferevent_write(relay->bev, last_chunk, sizeof(last_chunk) - 1);
	change_state(relay, RELAY_WAITING);
}

void relay_pause(struct relay *relay)
{
	relay->paused = true;
	if (relay->bev)
		bufferevent_disable(relay->bev, EV_READ);
}

void relay_resume(struct relay *relay)
{
	relay->paused = false;
	if (!relay->bev)
		return;
	bufferevent_enable(relay->bev, EV_READ);
	on_read(relay->bev, relay);
}

void relay_release(struct relay *relay)
{
	disconnect(relay);
	if (relay->data)
		evbuffer_free(take_ptr(relay->data));
	http_parse_free(take_ptr(relay->parse));
	free(take_ptr(relay->head_text));
}
