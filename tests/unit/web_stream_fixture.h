/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of streamed routes share: how often each call of a route came. */
#ifndef STRONGROOM_WEB_STREAM_FIXTURE_H
#define STRONGROOM_WEB_STREAM_FIXTURE_H

#include <event2/buffer.h>
#include <event2/event.h>

#include "lib/web_stream.h"
#include "tests/unit/web_fixture.h"

static _Atomic int begun, gone, released, finished, ended;

static void count_gone(struct web_stream *stream, void *ctx)
{
	(void)stream;
	(void)ctx;
	gone++;
}

static void reset(void)
{
	begun = gone = released = finished = ended = 0;
}

/* release() came as often as begin(), and comes no more. */
static void wait_for_release(int number)
{
	for (int i = 0; i < 500 && released < number; i++)
		usleep(10000);
	usleep(50000);
	CHECK_NUMBER(released, number);
	CHECK_NUMBER(begun, number);
}

static const struct lane_conf lanes[] = { { .name = "db", .threads = 2, .queue = 64 },
	{ .name = NULL } };

#endif
