/* SPDX-License-Identifier: Apache-2.0 */
/* The relay of tunnel.h. */
#include "services/orchestrator/tunnel.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/http_recv.h"
#include "lib/mem.h"

#define WINDOW_BYTES (256u * 1024u)
#define LOW_BYTES (64u * 1024u)
#define CONNECT_SECONDS 5

static int connect_next(struct tunnel *tunnel, struct err *err);

static void fail(struct tunnel *tunnel, const char *why)
{
	struct err err;

	err_set(&err, ERR_UPSTREAM, "egress.unreachable", "'%s': %s", tunnel->use->target, why);
	web_stream_fail(tunnel->stream, &err);
}

/* --- the target's side --- */

/* What the target sent goes on to the sandbox. */
static void on_read(struct bufferevent *target, void *arg)
{
	struct tunnel *tunnel = arg;
	struct evbuffer *input = bufferevent_get_input(target);
	struct evbuffer *data = evbuffer_new();

	if (!data)
		abort();
	evbuffer_add_buffer(data, input);
	http_recv(bufferevent_getfd(target), data, WINDOW_BYTES);
	atomic_fetch_add(&tunnel->use->bytes_in, (long long)evbuffer_get_length(data));
	if (!web_stream_reply_data(tunnel->stream, data))
		bufferevent_disable(target, EV_READ);
	evbuffer_free(data);
}

/* The client's end goes on behind its last byte, and is the tunnel's when the target's came before.
 */
static void hand_on_end(const struct tunnel *tunnel)
{
	if (!tunnel->client_ended ||
		evbuffer_get_length(bufferevent_get_output(tunnel->target)) > 0)
		return;
	shutdown(bufferevent_getfd(tunnel->target), SHUT_WR);
	if (tunnel->target_ended)
		web_stream_upgrade_done(tunnel->stream);
}

static void on_write(struct bufferevent *target, void *arg)
{
	struct tunnel *tunnel = arg;

	(void)target;
	hand_on_end(tunnel);
	web_stream_resume(tunnel->stream);
}

static void on_event(struct bufferevent *target, short what, void *arg)
{
	struct tunnel *tunnel = arg;

	(void)target;
	if (!(what & BEV_EVENT_EOF)) {
		fail(tunnel, "the connection was cut");
		return;
	}
	tunnel->target_ended = true;
	web_stream_reply_end(tunnel->stream);
	hand_on_end(tunnel);
}

static void open_up(struct tunnel *tunnel, int fd)
{
	const int one = 1,
		  unsent = LOW_BYTES; /* of a slow target little has to go before more may */

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
	tunnel->target =
		bufferevent_socket_new(web_stream_base(tunnel->stream), fd, BEV_OPT_CLOSE_ON_FREE);
	if (!tunnel->target)
		abort();
	atomic_store(&tunnel->use->connected, true);
	bufferevent_setcb(tunnel->target, on_read, on_write, on_event, tunnel);
	bufferevent_setwatermark(
		tunnel->target, EV_WRITE, SIZE_MAX, 0); /* each write is a sign of life */
	bufferevent_set_max_single_write(tunnel->target, WINDOW_BYTES);
	bufferevent_enable(tunnel->target, EV_READ | EV_WRITE);
	web_stream_upgrade(tunnel->stream, TUNNEL_IDLE_MS);
}

/* --- connecting --- */

static void on_connect(evutil_socket_t fd, short what, void *arg)
{
	struct tunnel *tunnel = arg;
	int failure = what & EV_TIMEOUT ? ETIMEDOUT : 0;
	socklen_t len = sizeof(failure);
	struct err err;

	event_free(take_ptr(tunnel->connecting));
	if (failure == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) == 0 &&
		failure == 0) {
		open_up(tunnel, fd);
		return;
	}
	close(fd);
	if (connect_next(tunnel, &err) < 0)
		web_stream_fail(tunnel->stream, &err);
}

/* Whether a connection to that address is on its way. */
static bool connect_to(struct tunnel *tunnel, const struct sockaddr_storage *address)
{
	const struct timeval patience = { .tv_sec = CONNECT_SECONDS };
	socklen_t len = address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
						      : sizeof(struct sockaddr_in6);
	auto_fd int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
		(connect(fd, (const struct sockaddr *)address, len) < 0 && errno != EINPROGRESS))
		return false;
	tunnel->connecting = event_new(
		web_stream_base(tunnel->stream), take_fd(fd), EV_WRITE, on_connect, tunnel);
	if (!tunnel->connecting || event_add(tunnel->connecting, &patience) < 0)
		abort();
	return true;
}

static int connect_next(struct tunnel *tunnel, struct err *err)
{
	while (tunnel->tried < tunnel->n_addresses) {
		if (connect_to(tunnel, &tunnel->addresses[tunnel->tried++]))
			return 0;
	}
	return err_set(err, ERR_UPSTREAM, "egress.unreachable", "no address of '%s' answers",
		tunnel->use->target);
}

/* --- the stream's side --- */

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
	struct tunnel *tunnel = arg;
	struct err err;

	(void)fd;
	(void)what;
	err_set(&err, ERR_CONFLICT, "run.stale_fence", "fence %lld does not hold this run",
		tunnel->use->fence);
	web_stream_fail(tunnel->stream, &err);
}

int tunnel_relay(struct web_stream *stream, void *ctx, struct err *err)
{
	struct tunnel *tunnel = ctx;

	tunnel->stream = stream;
	tunnel->bell =
		event_new(web_stream_base(stream), tunnel->use->bell, EV_READ, on_bell, tunnel);
	if (!tunnel->bell || event_add(tunnel->bell, NULL) < 0)
		abort();
	return connect_next(tunnel, err);
}

/* What is not taken comes again behind on_write(). */
int tunnel_body(struct web_stream *stream, void *ctx, struct evbuffer *in, struct err *err)
{
	struct tunnel *tunnel = ctx;
	size_t len = evbuffer_get_length(in);

	(void)stream;
	(void)err;
	if (evbuffer_get_length(bufferevent_get_output(tunnel->target)) > LOW_BYTES)
		return 0;
	atomic_fetch_add(&tunnel->use->bytes_out, (long long)len);
	bufferevent_write_buffer(tunnel->target, in);
	return 0;
}

void tunnel_end(struct web_stream *stream, void *ctx)
{
	struct tunnel *tunnel = ctx;

	(void)stream;
	tunnel->client_ended = true;
	hand_on_end(tunnel);
}

void tunnel_drained(struct web_stream *stream, void *ctx)
{
	struct tunnel *tunnel = ctx;

	(void)stream;
	if (!tunnel->target_ended)
		bufferevent_enable(tunnel->target, EV_READ);
}

void tunnel_release(void *ctx)
{
	struct tunnel *tunnel = ctx;

	if (tunnel->bell)
		event_free(tunnel->bell);
	if (tunnel->connecting) {
		close(event_get_fd(tunnel->connecting));
		event_free(tunnel->connecting);
	}
	if (tunnel->target)
		bufferevent_free(tunnel->target);
	tunnels_leave(tunnel->use);
	free(tunnel);
}
