/* SPDX-License-Identifier: Apache-2.0 */
/* A thread accepts, one more for each connection serves it. */
#include "agent/app_http.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/mem.h"

#define PIECE 16384u
#define MAX_CONNECTIONS 32u

struct app_server {
	struct app_server_conf conf;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	int fds[MAX_CONNECTIONS]; /* served now; 0: free */
	unsigned n_fds;
	bool stopping;
};

struct connection {
	struct app_server *server;
	int fd;
};

/* --- one request --- */

/* More of the request: 1, or 0 when there is no more, or not in time. */
static int receive(struct app_request *request)
{
	char data[PIECE];
	ssize_t got;

	do
		got = recv(request->fd, data, sizeof(data), 0);
	while (got < 0 && errno == EINTR);
	return got > 0 && buf_add(&request->in, data, (size_t)got, NULL) == 0;
}

static int incomplete(struct err *err)
{
	return err_set(err, ERR_INVALID, "node.bad_request", "the request is not complete");
}

int app_request_read(struct app_request *request, struct err *err)
{
	struct http_scan scan = { .seen = 0 };
	int status, found = 0;

	request->in.max = HTTP_MAX_HEAD_BYTES + PIECE;
	request->parse = request->is_proxy ? http_parse_new_proxy() : http_parse_new();
	while (found == 0) {
		if (!receive(request))
			return incomplete(err);
		found = http_parse_scan(&scan, request->in.data, request->in.len, &status, err);
	}
	if (found < 0)
		return -1;
	request->head_len = scan.seen;
	request->text = mem_strndup((const char *)request->in.data, scan.seen);
	return http_parse_head(
		request->parse, request->text, scan.seen, &request->head, &status, err);
}

static void request_release(struct app_request *request)
{
	http_parse_free(request->parse);
	buf_release(&request->in);
	free(request->text);
}

/* A body on its way to the sink. */
struct body {
	http_sink *sink;
	void *arg;
	long long len, max;
};

static int pass(void *arg, const void *data, size_t len, struct err *err)
{
	struct body *body = arg;

	body->len += (long long)len;
	if (body->len > body->max)
		return err_set(err, ERR_TOO_LARGE, "node.too_large",
			"a body of more than %lld bytes", body->max);
	return body->sink(body->arg, data, len, err);
}

/* What came behind the head, then what is still to come: 1 while there is some. */
static int next_piece(struct app_request *request, const unsigned char **ret_data, size_t *ret_len)
{
	if (request->in.len == request->head_len) {
		request->in.len = request->head_len = 0;
		if (!receive(request))
			return 0;
	}
	*ret_data = request->in.data + request->head_len;
	*ret_len = request->in.len - request->head_len;
	request->head_len = request->in.len;
	return 1;
}

static int take_length(struct app_request *request, struct body *body, struct err *err)
{
	long long left = request->head.content_length;
	const unsigned char *data;
	size_t len;

	if (left > body->max)
		return pass(body, "", (size_t)left, err);
	for (; left > 0; left -= (long long)len) {
		if (!next_piece(request, &data, &len))
			return incomplete(err);
		if ((long long)len > left)
			len = (size_t)left;
		if (pass(body, data, len, err) < 0)
			return -1;
	}
	return 0;
}

static int take_chunks(struct app_request *request, struct body *body, struct err *err)
{
	struct http_chunks chunks = { .sink = pass, .arg = body };
	const unsigned char *data;
	size_t len;

	while (!chunks.done) {
		if (!next_piece(request, &data, &len))
			return incomplete(err);
		if (http_parse_chunks(request->parse, data, len, &chunks, err) < 0)
			return -1;
	}
	return 0;
}

int app_request_body(
	struct app_request *request, long long max, http_sink *sink, void *arg, struct err *err)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct body body = { .sink = sink, .arg = arg, .max = max };

	if (request->head.expect_continue && app_send(request->fd, go_on, sizeof(go_on) - 1) < 0)
		return incomplete(err);
	return request->head.chunked ? take_chunks(request, &body, err)
				     : take_length(request, &body, err);
}

/* --- answers --- */

int app_send(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t done = send(fd, at, len, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		at += done;
		len -= (size_t)done;
	}
	return 0;
}

int app_send_head(int fd, int status, const char *type, long long len)
{
	auto_free char *head = mem_printf("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: "
					  "%lld\r\nConnection: close\r\n\r\n",
		status, status < 300 ? "OK" : "Refused", type, len);

	return app_send(fd, head, strlen(head));
}

static int status_of(const struct err *err)
{
	static const struct {
		enum err_kind kind;
		int status;
	} rows[] = { { ERR_NOT_FOUND, 404 }, { ERR_FORBIDDEN, 403 }, { ERR_METHOD, 405 },
		{ ERR_TOO_LARGE, 413 }, { ERR_LIMITED, 429 }, { ERR_UPSTREAM, 502 },
		{ ERR_UNAVAILABLE, 502 }, { ERR_UNPROCESSABLE, 502 }, { ERR_TIMEOUT, 504 },
		{ ERR_INTERNAL, 500 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].kind == err->kind)
			return rows[i].status;
	}
	return 400;
}

void app_refuse(int fd, const struct err *err)
{
	auto_json json_t *problem =
		json_pack("{s:s,s:s}", "code", err->code, "message", err->detail);
	auto_free char *text = json_dumps(problem, JSON_COMPACT);

	if (app_send_head(fd, status_of(err), "application/json", (long long)strlen(text)) == 0)
		(void)app_send(fd, text, strlen(text));
}

/* --- connections --- */

static void serve_one(const struct app_server_conf *conf, int fd)
{
	const struct timeval patience = { .tv_sec = conf->patience_s };
	struct app_request request = { .fd = fd, .is_proxy = conf->is_proxy };
	struct err err = { .kind = ERR_NONE };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (app_request_read(&request, &err) < 0)
		app_refuse(fd, &err);
	else
		conf->serve(conf->arg, &request);
	request_release(&request);
}

/* true when there is room for it. */
static bool enter(struct app_server *server, int fd)
{
	bool is_in = false;

	pthread_mutex_lock(&server->lock);
	while (!server->stopping && server->n_fds >= server->conf.connections)
		pthread_cond_wait(&server->changed, &server->lock);
	for (size_t i = 0; i < MAX_CONNECTIONS && !server->stopping && !is_in; i++) {
		is_in = !server->fds[i];
		server->fds[i] = is_in ? fd : server->fds[i];
	}
	server->n_fds += is_in;
	pthread_mutex_unlock(&server->lock);
	return is_in;
}

static void leave(struct app_server *server, int fd)
{
	pthread_mutex_lock(&server->lock);
	for (size_t i = 0; i < MAX_CONNECTIONS; i++)
		server->fds[i] = server->fds[i] == fd ? 0 : server->fds[i];
	server->n_fds--;
	close(fd);
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

/* What it did not read would make the close a reset, and the answer would be lost with it. */
static void hang_up(int fd)
{
	char data[PIECE];

	shutdown(fd, SHUT_WR);
	for (unsigned i = 0; i < 1024 && recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0; i++)
		continue;
}

static void *serve(void *arg)
{
	struct connection *connection = arg;

	serve_one(&connection->server->conf, connection->fd);
	hang_up(connection->fd);
	leave(connection->server, connection->fd);
	free(connection);
	return NULL;
}

static void start(struct app_server *server, int fd)
{
	struct connection *connection = mem_alloc(sizeof(*connection));
	pthread_t thread;

	*connection = (struct connection) { server, fd };
	if (pthread_create(&thread, NULL, serve, connection) == 0) {
		pthread_detach(thread);
		return;
	}
	leave(server, fd);
	free(connection);
}

static void *accept_all(void *arg)
{
	struct app_server *server = arg;

	for (;;) {
		int fd = accept4(server->conf.listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return NULL; /* stopped */
		if (enter(server, fd))
			start(server, fd);
		else
			close(fd);
	}
}

struct app_server *app_server_start(const struct app_server_conf *conf, struct err *err)
{
	struct app_server *server = mem_alloc(sizeof(*server));

	server->conf = *conf;
	if (conf->connections > MAX_CONNECTIONS)
		server->conf.connections = MAX_CONNECTIONS;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	if (pthread_create(&server->thread, NULL, accept_all, server) == 0)
		return server;
	close(conf->listener);
	free(server);
	err_set(err, ERR_INTERNAL, "node.no_thread", "no thread for what serves the app");
	return NULL;
}

void app_server_stop(struct app_server *server)
{
	if (!server)
		return;
	pthread_mutex_lock(&server->lock);
	server->stopping = true;
	for (size_t i = 0; i < MAX_CONNECTIONS; i++)
		if (server->fds[i])
			shutdown(server->fds[i], SHUT_RDWR);
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	shutdown(server->conf.listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	pthread_mutex_lock(&server->lock);
	while (server->n_fds > 0)
		pthread_cond_wait(&server->changed, &server->lock);
	pthread_mutex_unlock(&server->lock);
	close(server->conf.listener);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
