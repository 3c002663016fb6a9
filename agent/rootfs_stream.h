/* SPDX-License-Identifier: Apache-2.0 */
/* A layer's uncompressed bytes, hashed as they pass to the tar reader. */
#ifndef STRONGROOM_ROOTFS_STREAM_H
#define STRONGROOM_ROOTFS_STREAM_H

#include <sys/types.h>

#include "lib/digest.h"
#include "lib/err.h"

struct archive;
struct rootfs_stream;

/* `max_bytes` of uncompressed data; beyond it reading fails with image.too_large. */
int rootfs_stream_open(
	int fd, long long max_bytes, struct rootfs_stream **ret_stream, struct err *err);
/* archive_read_callback of the tar reader; `arg`: the stream. */
ssize_t rootfs_stream_read(struct archive *tar, void *arg, const void **ret_data);
/* What stopped the stream, over what the tar reader makes of it: -1, or 0 when nothing did. */
int rootfs_stream_failure(const struct rootfs_stream *stream, struct err *err);
/* Reads what is behind the end of the tar, then gives the digest of all. */
int rootfs_stream_finish(struct rootfs_stream *stream, char ret_digest[DIGEST_TEXT_SIZE],
	long long *ret_bytes, struct err *err);
void rootfs_stream_free(struct rootfs_stream *stream);

#endif
