/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop's part of a write (upload_write.h): client -> registry, piece by piece. The client's
 * end, good or bad, becomes the clean end of the registry's body; the registry's answer, good or
 * bad, starts the finish on the lane.
 */
#include "services/registry-gw/relay_upload.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>

#include "lib/mem.h"
#include "lib/wake.h"
#include "services/registry-gw/relay.h"
#include "services/registry-gw/upload_write.h"

static void on_room(struct relay *relay)
{
	struct upload_write *write = relay->owner;

	web_stream_resume(write->stream);
}

static void on_settled(struct relay *relay)
{
	struct upload_write *write = relay->owner;

	web_stream_finish(write->stream);
}

static const struct relay_hooks hooks = { .room = on_room, .settled = on_settled };

static int start(struct web_stream *stream, void *ctx, struct err *err)
{
	struct upload_write *write = ctx;

	(void)err;
	write->stream = stream;
	write->relay.hooks = &hooks;
	write->relay.owner = write;
	if (relay_start(&write->relay, web_stream_base(stream), write->socket, write->head, true,
		    &write->err) < 0)
		web_stream_finish(stream); /* lets go of the session */
	return 0;
}

/* --- the quota, when the body's length is not known --- */

static void look_again(evutil_socket_t fd, short what, void *arg)
{
	struct upload_write *write = arg;

	(void)fd;
	(void)what;
	web_stream_resume(write->stream);
}

/* The bytes stay with the stream until the loop of reservations answered. */
static void wait_for_more(struct upload_write *write)
{
	static const struct timeval pause = { .tv_usec = 10000 };

	if (!write->patience)
		write->patience = evtimer_new(web_stream_base(write->stream), look_again, write);
	if (!write->patience)
		abort();
	evtimer_add(write->patience, &pause);
}

/* Asked for when half a step is left, so that there is seldom anything to wait for. */
static void ask_for_more(struct upload_write *write, long long needed, long long granted)
{
	struct writer *writer = &write->writer;

	if (granted - needed > UPLOAD_STEP_BYTES / 2 || atomic_load(&writer->wanted) > granted)
		return;
	atomic_store(&writer->wanted, needed + UPLOAD_STEP_BYTES);
	wake_ring(write->wake, WRITERS_TOPIC, write->upload.id);
}

static bool is_counted(const struct upload_write *write)
{
	return web_stream_length(write->stream) >= 0; /* then all of it is reserved */
}

static int forward(struct web_stream *stream, void *ctx, struct evbuffer *in, struct err *err)
{
	struct upload_write *write = ctx;
	long long needed = write->relay.sent + (long long)evbuffer_get_length(in);
	long long granted = atomic_load(&write->writer.granted);

	(void)stream;
	if (writers_is_revoked(&write->writer)) /* ends the body; the finish answers */
		return err_set(err, ERR_UNAUTHENTICATED, "auth.revoked", "the token was revoked");
	if (!is_counted(write))
		ask_for_more(write, needed, granted);
	write->is_over = needed > granted && writers_is_over(&write->writer);
	if (write->is_over)
		return err_set(err, ERR_FORBIDDEN, "quota.bytes", "no room");
	if (needed > granted)
		wait_for_more(write);
	else
		(void)relay_body(&write->relay, in);
	return 0;
}

static void end(struct web_stream *stream, void *ctx)
{
	struct upload_write *write = ctx;

	(void)stream;
	relay_body_end(&write->relay);
}

static void gone(struct web_stream *stream, void *ctx)
{
	struct upload_write *write = ctx;

	write->gone = true;
	if (write->relay.state == RELAY_IDLE)
		web_stream_finish(stream);
	else
		relay_body_end(&write->relay);
}

static void release(void *ctx)
{
	struct upload_write *write = ctx;

	if (write->patience)
		event_free(take_ptr(write->patience));
	relay_release(&write->relay);
	writers_remove(write->writers, &write->writer);
}

#define UPLOAD_OPS(begin_function)                                                                 \
	{                                                                                          \
		.begin = (begin_function), .relay = start, .body = forward, .end = end,            \
		.finish = upload_write_finish, .gone = gone, .keeps = true, .release = release     \
	}

const struct web_stream_ops relay_upload_post = UPLOAD_OPS(upload_write_post);
const struct web_stream_ops relay_upload_patch = UPLOAD_OPS(upload_write_patch);
const struct web_stream_ops relay_upload_put = UPLOAD_OPS(upload_write_put);
