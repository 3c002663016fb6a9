/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's part of archive.h: bytes from the client into the worker's pipe. */
#include "services/registry-gw/relay_archive.h"

#include <event2/buffer.h>

#include "services/registry-gw/archive.h"

static void on_room(void *arg)
{
	web_stream_room(arg);
}

static int start(struct web_stream *stream, void *ctx, struct err *err)
{
	struct archive_push *push = ctx;

	(void)err;
	push->pipe.room = on_room;
	push->pipe.room_arg = stream;
	web_stream_work(stream);
	return 0;
}

static int forward(struct web_stream *stream, void *ctx, struct evbuffer *in, struct err *err)
{
	struct archive_push *push = ctx;
	struct evbuffer_iovec piece;
	size_t taken;

	(void)stream;
	if (writers_is_revoked(&push->writer))
		return err_set(err, ERR_UNAUTHENTICATED, "auth.revoked", "the token was revoked");
	while (evbuffer_peek(in, -1, NULL, &piece, 1) > 0 && piece.iov_len > 0) {
		taken = archive_pipe_put(&push->pipe, piece.iov_base, piece.iov_len);
		evbuffer_drain(in, taken);
		if (taken < piece.iov_len)
			break;
	}
	return 0;
}

static void end(struct web_stream *stream, void *ctx)
{
	struct archive_push *push = ctx;

	(void)stream;
	archive_pipe_end(&push->pipe);
}

/* The client, or `forward` refused. */
static void gone(struct web_stream *stream, void *ctx)
{
	struct archive_push *push = ctx;
	struct err err;

	(void)stream;
	if (writers_is_revoked(&push->writer))
		err_set(&err, ERR_UNAUTHENTICATED, "auth.revoked", "the token was revoked");
	else
		err_set(&err, ERR_INVALID, "archive.truncated", "the body ended early");
	archive_pipe_fail(&push->pipe, &err);
}

const struct web_stream_ops relay_archive = {
	.begin = archive_begin,
	.relay = start,
	.body = forward,
	.end = end,
	.gone = gone,
	.keeps = true,
	.finish = archive_finish,
	.release = archive_release,
};
