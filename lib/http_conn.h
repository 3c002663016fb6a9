/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client connection on the loop: reads heads and bodies within their limits, one request at
 * a time (what is pipelined waits in the input), and sends answers in order.
 */
#ifndef STRONGROOM_HTTP_CONN_H
#define STRONGROOM_HTTP_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

struct bufferevent;
struct evbuffer;
struct http_conn;
struct web_call;
struct web_server;

void http_conn_new(struct web_server *server, struct bufferevent *bev, bool tls, bool local);
/* No further callback; it and its call are told and freed soon. */
void http_conn_close(struct http_conn *conn);
void http_conn_reap(struct web_server *server); /* frees what was closed */
void http_conn_tick(struct web_server *server, long long now_ms);
unsigned http_conn_close_idle(struct web_server *server); /* returns how many are left */
/* Closes the oldest connection that has no request, however much of a head it has sent: among those
 * that come all at once the last would otherwise only drive each other out. false: all have one. */
bool http_conn_make_room(struct web_server *server);
void http_conn_close_all(struct web_server *server);
bool http_conn_ended(const struct http_conn *conn); /* the client sends no more */

/* Sends the call's answer, frees the call, goes on with the next request or closes. */
void http_conn_answer(struct http_conn *conn, struct web_call *call);
/* The call may go on: its stream begins, or its body is gathered for the handler. */
void http_conn_admitted(struct http_conn *conn);
/* Pieces of an answer that go out before its end (100, events, relays). */
void http_conn_send(struct http_conn *conn, struct evbuffer *data);
/* The end of such an answer: as http_conn_answer(), with all already sent. */
void http_conn_finish(struct http_conn *conn, struct web_call *call);
size_t http_conn_queued(const struct http_conn *conn);
bool http_conn_tls(const struct http_conn *conn);
bool http_conn_is_local(const struct http_conn *conn);
/* Whether this peer may ask for that path. Over TLS the edge is who shows a certificate with the
 * common name `edge`: it hands on what comes from outside, and gets nothing below /internal. Other
 * certificates are services', which get that, /healthz, /readyz and /metrics only, so that nobody
 * but the edge speaks for clients (X-Client-Cert, X-Forwarded-For). */
bool http_conn_may_ask(const struct http_conn *conn, const char *path);

/* Streams: bytes of the body move on into `in`, as far as `room`. 1: the body's end was reached, 0:
 * more is to come, -1: request.bad_framing. */
int http_conn_body(struct http_conn *conn, struct evbuffer *in, size_t room, struct err *err);
void http_conn_continue(struct http_conn *conn); /* 100 Continue, where it is waited for */
/* What follows the head is no longer HTTP: a body until the client's end, and no time but
 * `idle_ms` without a byte of either side. */
void http_conn_upgrade(struct http_conn *conn, long idle_ms);
void http_conn_touch(struct http_conn *conn); /* bytes moved: an upgraded one is not idle */
/* Says that no more comes, when all was taken; over TLS, which knows no half, it closes then. */
void http_conn_end_output(struct http_conn *conn);
/* Whether bytes of the body are outstanding. */
bool http_conn_has_body(const struct http_conn *conn);
void http_conn_pause(struct http_conn *conn, bool paused);

#endif
