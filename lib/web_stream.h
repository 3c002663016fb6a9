/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streamed routes: bodies of any size in constant memory. A streamed request goes through
 *   begin   (lane)  authorise, look up, open; sets *ret_ctx; may answer at once by filling `res`
 *                   and returning 1 (the body is then drained or the connection closed)
 *
 *   body    (loop)  takes bytes out of `in`; what it leaves stays there, and reading from the
 * client stops until web_stream_resume(): that is the back-pressure
 *
 *   finish  (lane)  after the last byte: commits and fills the answer
 *
 *   relay   (loop)  the route answers by itself through web_stream_reply_*(), or asks for `finish`
 *                   by web_stream_finish() once it knows what there is to commit
 *
 *   gone    (loop)  the client vanished before the end, or `body` failed; finish does not come
 *
 *   release (any)   exactly once, last
 *
 * `body`, `relay` and `gone` run on the loop and never block on a network or a lock.
 *
 * A relay with a protocol in `upgrade` is asked for by that in the header Upgrade; whatever else
 * comes gets 426. It may fail as others do until it takes the connection over for good, by
 * web_stream_upgrade(). From there on body() and web_stream_reply_data() have bytes as they are,
 * and each direction ends by itself (end(), web_stream_reply_end()). When both have, and what was
 * taken is handed on, the relay ends the stream by web_stream_upgrade_done().
 */
#ifndef STRONGROOM_WEB_STREAM_H
#define STRONGROOM_WEB_STREAM_H

#include <stdbool.h>

#include "lib/web.h"

struct evbuffer;
struct event_base;

struct web_stream_ops {
	int (*begin)(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err);
	int (*body)(struct web_stream *stream, void *ctx, struct evbuffer *in, struct err *err);
	int (*finish)(struct web_req *req, struct web_res *res, void *ctx, struct err *err);
	int (*relay)(struct web_stream *stream, void *ctx,
		struct err *err); /* after begin, before the body */
	void (*end)(struct web_stream *stream,
		void *ctx); /* relay only: the request's last body byte was given */
	void (*drained)(struct web_stream *stream,
		void *ctx); /* relay only: the client took what was queued */
	void (*gone)(struct web_stream *stream, void *ctx);
	/* relay only: what was begun behind the relay must be ended well. After gone() the stream
	 * stays until web_stream_finish(), whose answer goes to the client if it is still there. */
	bool keeps;
	void (*release)(void *ctx);
	const char *upgrade; /* relay only */
};

struct event_base *web_stream_base(struct web_stream *stream);
/* Content-Length of the request, or -1 for chunked. */
long long web_stream_length(struct web_stream *stream);
/* Ask for `body` to be called again with what is waiting. Says that bytes moved, too: an upgraded
 * connection is not idle. */
void web_stream_resume(struct web_stream *stream);

/* Relay only, once, instead of an answer: `finish` runs on the lane and fills it. */
void web_stream_finish(struct web_stream *stream);

/* Relay only, once: `finish` starts on the lane now and runs beside the body, blocking for what
 * body() hands it. With `keeps`; end() and gone() tell it that no more comes. What it returns is
 * the answer, also before the body's end. */
void web_stream_work(struct web_stream *stream);
/* From that worker, before it returns: body() is called again with what is waiting. */
void web_stream_room(struct web_stream *stream);

/* Relay answers: head once, then data (moved out of `data`), then end. content_length -1: chunked.
 */
void web_stream_reply_head(struct web_stream *stream, int status, const struct web_pair *headers,
	size_t n_headers, long long content_length);
/* Queues; returns true while more is welcome, false to stop until `drained`. */
bool web_stream_reply_data(struct web_stream *stream, struct evbuffer *data);
void web_stream_reply_end(struct web_stream *stream);
/* 101, in place of a head. Without a byte in either direction for `idle_ms` the client is gone;
 * when it sends no more, or what waits is its last, for web_limits.half_ms at most. */
void web_stream_upgrade(struct web_stream *stream, long idle_ms);
void web_stream_upgrade_done(struct web_stream *stream);
/* Ends with an error answer (before the head) or a cut connection (after it). */
void web_stream_fail(struct web_stream *stream, const struct err *err);

#endif
