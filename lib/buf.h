/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer with a maximum that is set before anything is allocated. */
#ifndef STRONGROOM_BUF_H
#define STRONGROOM_BUF_H

#include <stddef.h>

#include "lib/err.h"

struct buf {
	unsigned char *data; /* always NUL behind the last byte once anything was added */
	size_t len;
	size_t size;
	size_t max;
};

#define BUF_INIT(max_bytes)                                                                        \
	{                                                                                          \
		.max = (max_bytes)                                                                 \
	}

/* Room for so many more bytes (and their NUL), for those who write them there themselves. */
int buf_reserve(struct buf *buf, size_t more, struct err *err);
/* Appends; -1 with code "limit.buffer" (ERR_TOO_LARGE) when `max` would be passed. */
int buf_add(struct buf *buf, const void *data, size_t len, struct err *err);
int buf_add_text(struct buf *buf, const char *text, struct err *err);
int buf_printf(struct buf *buf, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Whole file into the buffer. */
int buf_read_file(struct buf *buf, const char *path, struct err *err);

/* Writes via a temporary name, fsync, rename, fsync of the directory. `mode` as for open(2). */
/* All of it, however often it is interrupted; -1 with errno. */
int buf_write_all(int fd, const void *data, size_t len);
int buf_write_file(const char *path, const void *data, size_t len, unsigned mode, struct err *err);
/* The same without the syncs: whole or not there for every process, but not for the next boot of
 * this machine. */
int buf_replace_file(
	const char *path, const void *data, size_t len, unsigned mode, struct err *err);

void buf_release(struct buf *buf); /* frees; the struct may be used again */
void buf_wipe(struct buf *buf);	   /* wipes, then frees: for secrets */

void buf_cleanup(struct buf *buf);
#define auto_buf __attribute__((cleanup(buf_cleanup))) struct buf

#endif
