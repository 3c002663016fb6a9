/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl makes the connection and its TLS; request, answer and what follows are ours. */
#include "lib/fetch_tunnel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "lib/buf.h"
#include "lib/fetch_inner.h"
#include "lib/http_parse.h"
#include "lib/id.h"
#include "lib/mem.h"

#define OPEN_TIMEOUT_MS 30000
#define MAX_REFUSAL (64u << 10)
#define PIECE 16384
#define GRACE_MS 5000

struct fetch_tunnel {
	CURL *curl;
	curl_socket_t socket;
	struct buf in;	       /* the answer, and what has come behind it */
	size_t in_used;	       /* of it */
	long long deadline_ms; /* of the opening */
};

/* --- opening --- */

static int cut(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "upstream.unreachable",
		"the connection ended before there was an answer");
}

static int wait_for(struct fetch_tunnel *tunnel, short events, struct err *err)
{
	struct pollfd ready = { .fd = tunnel->socket, .events = events };
	long long left = tunnel->deadline_ms - clock_monotonic_ms();
	int n = left > 0 ? poll(&ready, 1, (int)left) : 0;

	if (n > 0 || (n < 0 && errno == EINTR))
		return 0;
	return err_set(err, ERR_TIMEOUT, "upstream.timeout", "no answer within %d s",
		OPEN_TIMEOUT_MS / 1000);
}

static int connect_to(
	struct fetch_tunnel *tunnel, const struct fetch *fetch, const char *url, struct err *err)
{
	char text[CURL_ERROR_SIZE] = "";
	CURLcode result;

	fetch_prepare(fetch, tunnel->curl, OPEN_TIMEOUT_MS);
	curl_easy_setopt(tunnel->curl, CURLOPT_URL, url);
	curl_easy_setopt(tunnel->curl, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(tunnel->curl, CURLOPT_ERRORBUFFER, text);
	result = curl_easy_perform(tunnel->curl);
	curl_easy_setopt(tunnel->curl, CURLOPT_ERRORBUFFER, NULL);
	if (result != CURLE_OK)
		return fetch_failed(result, text, err);
	if (curl_easy_getinfo(tunnel->curl, CURLINFO_ACTIVESOCKET, &tunnel->socket) != CURLE_OK ||
		tunnel->socket == CURL_SOCKET_BAD)
		return cut(err);
	return 0;
}

static int send_all(struct fetch_tunnel *tunnel, const char *data, size_t len, struct err *err)
{
	while (len > 0) {
		size_t done = 0;
		CURLcode result = curl_easy_send(tunnel->curl, data, len, &done);

		if (result == CURLE_AGAIN && wait_for(tunnel, POLLOUT, err) < 0)
			return -1;
		if (result != CURLE_OK && result != CURLE_AGAIN)
			return cut(err);
		data += done;
		len -= done;
	}
	return 0;
}

static int send_request(struct fetch_tunnel *tunnel, const struct fetch *fetch, const char *url,
	const char *const *headers, const char *protocol, struct err *err)
{
	const char *host = strstr(url, "://") + 3;
	size_t host_len = strcspn(host, "/");
	struct buf text = BUF_INIT(HTTP_MAX_HEAD_BYTES);
	int rc = buf_printf(&text, err,
		"GET %s HTTP/1.1\r\nHost: %.*s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n",
		host + host_len, (int)host_len, host, protocol);

	if (rc == 0 && fetch->user_agent)
		rc = buf_printf(&text, err, "User-Agent: %s\r\n", fetch->user_agent);
	for (size_t i = 0; rc == 0 && headers && headers[i]; i++)
		rc = buf_printf(&text, err, "%s\r\n", headers[i]);
	if (rc == 0)
		rc = buf_printf(&text, err, "\r\n");
	if (rc == 0)
		rc = send_all(tunnel, (const char *)text.data, text.len, err);
	buf_wipe(&text); /* it has the token */
	return rc;
}

static int receive(struct fetch_tunnel *tunnel, struct err *err)
{
	char data[4096];
	size_t got = 0;
	CURLcode result;

	while ((result = curl_easy_recv(tunnel->curl, data, sizeof(data), &got)) == CURLE_AGAIN) {
		if (wait_for(tunnel, POLLIN, err) < 0)
			return -1;
	}
	if (result != CURLE_OK || got == 0)
		return cut(err);
	return buf_add(&tunnel->in, data, got, err);
}

/* *ret_head points into *ret_text, the caller's. */
static int read_head(
	struct fetch_tunnel *tunnel, char **ret_text, struct http_head *ret_head, struct err *err)
{
	struct http_parse *parse = http_parse_new();
	struct http_scan scan = { .seen = 0 };
	int status, rc = 0;

	while (rc == 0) {
		rc = receive(tunnel, err);
		if (rc == 0)
			rc = http_parse_scan(&scan, tunnel->in.data, tunnel->in.len, &status, err);
	}
	if (rc > 0) {
		*ret_text = mem_strndup((const char *)tunnel->in.data, scan.seen);
		rc = http_parse_answer(parse, *ret_text, scan.seen, ret_head, err);
		tunnel->in_used = scan.seen;
	}
	http_parse_free(parse);
	return rc;
}

/* The problem in the body; one of another framing only leaves its status. */
static int refused(struct fetch_tunnel *tunnel, const struct http_head *head, struct err *err)
{
	struct fetch_response res = { .status = head->status, .body = BUF_INIT(MAX_REFUSAL) };
	size_t wanted = head->content_length > 0 ? (size_t)head->content_length : 0;

	while (wanted <= MAX_REFUSAL && tunnel->in.len - tunnel->in_used < wanted &&
		receive(tunnel, NULL) == 0)
		continue;
	if (tunnel->in.len - tunnel->in_used >= wanted)
		(void)buf_add(&res.body, tunnel->in.data + tunnel->in_used, wanted, NULL);
	(void)fetch_refused(&res, err);
	fetch_response_release(&res);
	return -1;
}

static int read_answer(struct fetch_tunnel *tunnel, const char *protocol, struct err *err)
{
	auto_free char *text = NULL;
	struct http_head *head = mem_alloc(sizeof(*head));
	int rc = read_head(tunnel, &text, head, err);
	const char *upgrade = rc == 0 ? http_head_find(head, "upgrade") : NULL;

	if (rc == 0 && head->status != 101)
		rc = refused(tunnel, head, err);
	else if (rc == 0 && (!upgrade || strcasecmp(upgrade, protocol) != 0))
		rc = err_set(err, ERR_UPSTREAM, "upstream.protocol", "another protocol came");
	free(head);
	return rc;
}

int fetch_tunnel_open(const struct fetch *fetch, const char *url, const char *const *headers,
	const char *protocol, struct fetch_tunnel **ret_tunnel, struct err *err)
{
	struct fetch_tunnel *tunnel = mem_alloc(sizeof(*tunnel));

	tunnel->curl = curl_easy_init();
	tunnel->in.max = HTTP_MAX_HEAD_BYTES + MAX_REFUSAL + PIECE;
	tunnel->deadline_ms = clock_monotonic_ms() + OPEN_TIMEOUT_MS;
	if (!tunnel->curl)
		abort();
	if (connect_to(tunnel, fetch, url, err) < 0 ||
		send_request(tunnel, fetch, url, headers, protocol, err) < 0 ||
		read_answer(tunnel, protocol, err) < 0) {
		fetch_tunnel_free(tunnel);
		return -1;
	}
	*ret_tunnel = tunnel;
	return 0;
}

void fetch_tunnel_free(struct fetch_tunnel *tunnel)
{
	if (!tunnel)
		return;
	curl_easy_cleanup(tunnel->curl);
	buf_release(&tunnel->in);
	free(tunnel);
}

/* --- raw bytes --- */

/* One direction: what was read and not yet written. */
struct flow {
	unsigned char data[PIECE];
	size_t at, len;
	bool ended; /* nothing more is to be read */
};

struct pumping {
	struct fetch_tunnel *tunnel;
	struct fetch_pump *pump;
	struct flow down, up; /* from the server, and to it */
	bool is_ending;	      /* what waits in fd is the last of it */
	bool hung_up;	      /* both ways of fd are shut */
	bool failed;
};

static bool is_empty(const struct flow *flow)
{
	return flow->at == flow->len;
}

static void filled(struct flow *flow, size_t len)
{
	flow->at = 0;
	flow->len = len;
}

/* Each of these four: whether a byte moved or an end was seen. */
static bool read_server(struct pumping *pumping)
{
	struct fetch_tunnel *tunnel = pumping->tunnel;
	struct flow *down = &pumping->down;
	size_t got = tunnel->in.len - tunnel->in_used;
	CURLcode result = CURLE_OK;

	if (down->ended || !is_empty(down))
		return false;
	if (got > 0) { /* what came right behind the answer */
		got = got < PIECE ? got : PIECE;
		memcpy(down->data, tunnel->in.data + tunnel->in_used, got);
		tunnel->in_used += got;
	} else {
		result = curl_easy_recv(tunnel->curl, down->data, PIECE, &got);
	}
	if (result == CURLE_AGAIN)
		return false;
	down->ended = result != CURLE_OK || got == 0;
	filled(down, down->ended ? 0 : got);
	pumping->pump->bytes_in += (long long)down->len;
	return true;
}

static bool write_server(struct pumping *pumping)
{
	struct flow *up = &pumping->up;
	size_t done = 0;
	CURLcode result;

	if (is_empty(up))
		return false;
	result = curl_easy_send(pumping->tunnel->curl, up->data + up->at, up->len - up->at, &done);
	if (result == CURLE_AGAIN)
		return false;
	pumping->failed |= result != CURLE_OK;
	up->at += done;
	pumping->pump->bytes_out += (long long)done;
	return true;
}

static bool read_local(struct pumping *pumping)
{
	struct fetch_pump *pump = pumping->pump;
	struct flow *up = &pumping->up;
	ssize_t got;

	if (up->ended || !is_empty(up))
		return false;
	if (pump->before_len > 0) {
		got = (ssize_t)(pump->before_len < PIECE ? pump->before_len : PIECE);
		memcpy(up->data, pump->before, (size_t)got);
		pump->before = (const char *)pump->before + got;
		pump->before_len -= (size_t)got;
	} else {
		got = recv(pump->fd, up->data, PIECE, MSG_DONTWAIT);
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	up->ended = got <= 0;
	filled(up, got > 0 ? (size_t)got : 0);
	return true;
}

static bool write_local(struct pumping *pumping)
{
	struct flow *down = &pumping->down;
	ssize_t done;

	if (is_empty(down))
		return false;
	done = send(pumping->pump->fd, down->data + down->at, down->len - down->at,
		MSG_DONTWAIT | MSG_NOSIGNAL);
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	pumping->failed |= done < 0;
	down->at += done > 0 ? (size_t)done : 0;
	return true;
}

static bool is_over(const struct pumping *pumping)
{
	return pumping->failed || (pumping->down.ended && is_empty(&pumping->down));
}

static int patience_ms(const struct pumping *pumping, bool is_half)
{
	const struct fetch_pump *pump = pumping->pump;

	if (!is_half && !pumping->is_ending && !pumping->hung_up)
		return (int)pump->idle_ms;
	return pump->grace_ms ? (int)pump->grace_ms : GRACE_MS;
}

/* false when nothing came or went for too long. Of whom nothing more is wanted only the end and the
 * hang-up are (a TCP socket whose other side was closed has the first alone), and those once: they
 * would be told again and again. */
static bool wait_both(struct pumping *pumping)
{
	bool is_half = pumping->up.ended && is_empty(&pumping->up);
	struct pollfd ready[] = {
		{ .fd = pumping->tunnel->socket },
		{ .fd = pumping->pump->fd },
	};
	int n;

	ready[0].events = is_empty(&pumping->down) ? POLLIN : 0;
	ready[0].events |= is_empty(&pumping->up) ? 0 : POLLOUT;
	ready[1].events = is_empty(&pumping->up) && !is_half ? POLLIN : 0;
	ready[1].events |= is_empty(&pumping->down) ? 0 : POLLOUT;
	ready[1].events |= pumping->is_ending || is_half ? 0 : POLLRDHUP;
	if (!ready[0].events)
		ready[0].fd = -1;
	if (!ready[1].events && pumping->hung_up && !is_half)
		ready[1].fd = -1;
	n = poll(ready, ARRAY_LEN(ready), patience_ms(pumping, is_half));
	pumping->is_ending |= ready[1].revents & POLLRDHUP;
	pumping->hung_up |= ready[1].revents & (POLLHUP | POLLERR);
	pumping->failed |= is_half && pumping->hung_up;
	return n > 0 || (n < 0 && errno == EINTR);
}

void fetch_tunnel_pump(struct fetch_tunnel *tunnel, struct fetch_pump *pump)
{
	struct pumping *pumping = mem_alloc(sizeof(*pumping));
	bool moved = true;

	pumping->tunnel = tunnel;
	pumping->pump = pump;
	while (!is_over(pumping) && (moved || wait_both(pumping))) {
		moved = read_server(pumping);
		moved |= write_local(pumping);
		moved |= read_local(pumping);
		moved |= write_server(pumping);
	}
	mem_wipe_free(pumping, sizeof(*pumping));
}
