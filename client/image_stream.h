/* SPDX-License-Identifier: Apache-2.0 */
/* A layer file as the tar in it, compressed or not, with its diff_id compared at the end. */
#ifndef STRONGROOM_CLIENT_IMAGE_STREAM_H
#define STRONGROOM_CLIENT_IMAGE_STREAM_H

#include <archive.h>
#include <archive_entry.h>

#include "lib/digest.h"
#include "lib/err.h"

struct image_stream;

/* image.layer */
int image_stream_open(const char *path, const char *diff_id, struct image_stream **ret_stream,
	struct err *err) __attribute__((warn_unused_result));
/* 1 and an entry of the tar (valid until the next call), or 0 at the end, when the whole layer is
 * known to have its diff_id. */
int image_stream_next(struct image_stream *stream, struct archive_entry **ret_entry,
	struct err *err) __attribute__((warn_unused_result));
/* Contents of the present entry: bytes, 0 at the end. */
long long image_stream_read(struct image_stream *stream, void *data, size_t size, struct err *err)
	__attribute__((warn_unused_result));
void image_stream_free(struct image_stream *stream);

#endif
