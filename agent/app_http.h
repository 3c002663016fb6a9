/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP on the loopback of the app's network, for what the agent serves there (node_agent.h,
 * managed.h, proxy.h). Who asks is the app, an adversary: heads go through the parser that serves
 * everybody, bodies have a maximum, connections are few at once and none outlives its app. One
 * request is one connection.
 */
#ifndef STRONGROOM_AGENT_APP_HTTP_H
#define STRONGROOM_AGENT_APP_HTTP_H

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/http_parse.h"

struct app_request {
	int fd;
	bool is_proxy; /* may be CONNECT */
	struct http_head head;
	struct buf in; /* head, and what has come behind it */
	size_t head_len;
	char *text;
	struct http_parse *parse;
};

/* The head. node.bad_request, request.* */
int app_request_read(struct app_request *request, struct err *err)
	__attribute__((warn_unused_result));
/* The body, with a Content-Length or chunked: too_large beyond `max`. */
int app_request_body(struct app_request *request, long long max, http_sink *sink, void *arg,
	struct err *err) __attribute__((warn_unused_result));
/* All of it: -1 when the app does not take it. */
int app_send(int fd, const void *data, size_t len);
/* {"code","message"} with the status of the error's kind. */
void app_refuse(int fd, const struct err *err);
/* "HTTP/1.1 <status>" with that many bytes of that type to follow, on a connection that ends. */
int app_send_head(int fd, int status, const char *type, long long len);

struct app_server_conf {
	int listener; /* taken over */
	bool is_proxy;
	unsigned connections; /* at once; others wait */
	int patience_s;	      /* for each read and write */
	/* The request's head was read; the connection is closed behind it. */
	void (*serve)(void *arg, struct app_request *request);
	void *arg;
};

struct app_server;

/* NULL: node.no_thread */
struct app_server *app_server_start(const struct app_server_conf *conf, struct err *err);
/* Behind the end of the app: cuts what is open and waits for its threads. NULL is fine. */
void app_server_stop(struct app_server *server);

#endif
