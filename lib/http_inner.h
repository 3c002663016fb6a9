/* SPDX-License-Identifier: Apache-2.0 */
/* A connection as its two files see it: http_conn.c (life, answers, events) and http_read.c (heads,
 * bodies). */
#ifndef STRONGROOM_HTTP_INNER_H
#define STRONGROOM_HTTP_INNER_H

#include <event2/bufferevent.h>
#include <sys/queue.h>

#include "lib/http_conn.h"
#include "lib/http_parse.h"
#include "lib/web_inner.h"

#define HTTP_INPUT_HIGH_BYTES (2 * HTTP_MAX_HEAD_BYTES)

enum conn_state {
	CONN_HEAD,    /* waits for a request */
	CONN_BODY,    /* gathers a buffered body */
	CONN_CALL,    /* the call is a lane's, parked, or a stream */
	CONN_CLOSING, /* the last answer leaves */
	CONN_DEAD,
};

struct http_conn {
	TAILQ_ENTRY(http_conn) link;
	struct web_server *server;
	struct bufferevent *bev;
	struct http_parse *parse;
	struct http_scan scan;
	struct web_call *call;
	enum conn_state state;
	bool tls;
	bool local; /* of the listener for programs of this host */
	bool eof;   /* the client sends no more */
	bool advancing;
	bool chunked;
	bool body_done;
	bool held;	   /* nothing is read: the body has nowhere to go */
	bool output_ended; /* of an upgraded connection, as the next three */
	bool is_ending;	   /* what waits to be read is the client's last */
	struct event *end; /* the client's, while nothing is read */
	long idle_ms;	   /* else 0 */
	long long body_left;
	long long body_until_ms;   /* of a buffered body */
	size_t body_fresh;	   /* of a streamed body, since its deadline was set */
	size_t discarded;	   /* behind the last answer */
	long long linger_until_ms; /* at most; 0: the answer is not out yet */
	long long deadline_ms;	   /* 0: none */
	long long taken_at_ms;	   /* the client last took bytes, or had taken all there were */
};

struct evbuffer *http_conn_input(const struct http_conn *conn);
void http_conn_hold(struct http_conn *conn, bool held);
void http_conn_set_deadline(struct http_conn *conn, long ms); /* 0: none */

/* Both return whether the connection is in another state now, and should be looked at again. */
bool http_read_head(struct http_conn *conn);
bool http_read_body(struct http_conn *conn);
/* Asks for the body and makes room for it, or refuses. */
void http_read_begin_stream(struct http_conn *conn);
void http_read_begin_body(struct http_conn *conn);
/* Answers bytes that are no request, and closes. */
void http_read_refuse(struct http_conn *conn, int status, const struct err *err);

#endif
