/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of archive_pipe.h, behind one mutex. */
#include "services/registry-gw/archive_pipe.h"

#include <string.h>

#define LOW_BYTES (ARCHIVE_PIPE_BYTES / 2)

void archive_pipe_init(struct archive_pipe *pipe)
{
	pthread_mutex_init(&pipe->lock, NULL);
	pthread_cond_init(&pipe->changed, NULL);
}

void archive_pipe_release(struct archive_pipe *pipe)
{
	pthread_cond_destroy(&pipe->changed);
	pthread_mutex_destroy(&pipe->lock);
}

/* --- the loop --- */

size_t archive_pipe_put(struct archive_pipe *pipe, const void *data, size_t len)
{
	const unsigned char *from = data;
	size_t room, done = 0;

	pthread_mutex_lock(&pipe->lock);
	room = sizeof(pipe->data) - pipe->len;
	pipe->full = len > room;
	if (len > room)
		len = room;
	while (done < len) {
		size_t at = (pipe->start + pipe->len) % sizeof(pipe->data);
		size_t piece = sizeof(pipe->data) - at;

		if (piece > len - done)
			piece = len - done;
		memcpy(pipe->data + at, from + done, piece);
		pipe->len += piece;
		done += piece;
	}
	pthread_cond_signal(&pipe->changed);
	pthread_mutex_unlock(&pipe->lock);
	return done;
}

void archive_pipe_end(struct archive_pipe *pipe)
{
	pthread_mutex_lock(&pipe->lock);
	pipe->ended = true;
	pthread_cond_signal(&pipe->changed);
	pthread_mutex_unlock(&pipe->lock);
}

void archive_pipe_fail(struct archive_pipe *pipe, const struct err *failure)
{
	pthread_mutex_lock(&pipe->lock);
	if (!pipe->ended && pipe->failure.kind == ERR_NONE)
		pipe->failure = *failure;
	pthread_cond_signal(&pipe->changed);
	pthread_mutex_unlock(&pipe->lock);
}

/* --- the worker --- */

static size_t take(struct archive_pipe *pipe, unsigned char *to, size_t size)
{
	size_t piece = sizeof(pipe->data) - pipe->start;

	if (piece > pipe->len)
		piece = pipe->len;
	if (piece > size)
		piece = size;
	memcpy(to, pipe->data + pipe->start, piece);
	pipe->start = (pipe->start + piece) % sizeof(pipe->data);
	pipe->len -= piece;
	return piece;
}

long long archive_pipe_read(void *arg, void *data, size_t size, struct err *err)
{
	struct archive_pipe *pipe = arg;
	size_t done = 0;
	bool failed;

	pthread_mutex_lock(&pipe->lock);
	while (done < size && pipe->failure.kind == ERR_NONE && (pipe->len > 0 || !pipe->ended)) {
		if (pipe->len == 0)
			pthread_cond_wait(&pipe->changed, &pipe->lock);
		done += take(pipe, (unsigned char *)data + done, size - done);
		if (pipe->full && pipe->len <= LOW_BYTES) {
			pipe->full = false;
			pipe->room(pipe->room_arg);
		}
	}
	failed = pipe->failure.kind != ERR_NONE;
	if (failed)
		*err = pipe->failure;
	pthread_mutex_unlock(&pipe->lock);
	return failed ? -1 : (long long)done;
}
