/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes from the loop, which never waits, to a worker, which does: a ring of fixed size. A full
 * ring is the back-pressure; the worker says when there is room again.
 */
#ifndef REGISTRY_GW_ARCHIVE_PIPE_H
#define REGISTRY_GW_ARCHIVE_PIPE_H

#include <pthread.h>
#include <stdbool.h>

#include "lib/err.h"

#define ARCHIVE_PIPE_BYTES (256u * 1024u)

struct archive_pipe {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t start, len; /* of what waits */
	bool full;	   /* the loop was sent away */
	bool ended;
	struct err failure;	 /* why no more comes before the end */
	void (*room)(void *arg); /* from the worker, after `full` */
	void *room_arg;
	unsigned char data[ARCHIVE_PIPE_BYTES];
};

void archive_pipe_init(struct archive_pipe *pipe);
void archive_pipe_release(struct archive_pipe *pipe);

/* The loop: takes as much as there is room for; less than `len`: room() will come. */
size_t archive_pipe_put(struct archive_pipe *pipe, const void *data, size_t len);
void archive_pipe_end(struct archive_pipe *pipe);
/* The reader gets this at once; only the first counts, and none behind the end. */
void archive_pipe_fail(struct archive_pipe *pipe, const struct err *failure);

/* The worker, an archive_source: waits until `data` is full, or for the end. */
long long archive_pipe_read(void *pipe, void *data, size_t size, struct err *err);

#endif
