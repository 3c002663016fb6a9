/* SPDX-License-Identifier: Apache-2.0 */
/* libarchive's raw format undoes gzip and zstd; the digest sees every byte once. */
#include "agent/rootfs_stream.h"

#include <archive.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/mem.h"

#define BLOCK (64 << 10)

struct rootfs_stream {
	struct archive *raw;
	struct digest_stream *digest;
	long long total, max;
	bool failed;
	struct err reason;
};

static int fail_archive(struct rootfs_stream *stream)
{
	const char *text = archive_error_string(stream->raw);

	stream->failed = true;
	return err_set(&stream->reason, ERR_INVALID, "image.layer_archive", "%s",
		text ? text : "the layer is empty");
}

int rootfs_stream_open(
	int fd, long long max_bytes, struct rootfs_stream **ret_stream, struct err *err)
{
	struct rootfs_stream *stream = mem_alloc(sizeof(*stream));
	struct archive_entry *entry;

	stream->max = max_bytes;
	stream->raw = archive_read_new();
	stream->digest = digest_stream_new();
	if (archive_read_support_filter_gzip(stream->raw) != ARCHIVE_OK ||
		archive_read_support_filter_zstd(stream->raw) != ARCHIVE_OK ||
		archive_read_support_format_raw(stream->raw) != ARCHIVE_OK ||
		archive_read_open_fd(stream->raw, fd, BLOCK) != ARCHIVE_OK ||
		archive_read_next_header(stream->raw, &entry) != ARCHIVE_OK) {
		fail_archive(stream);
		rootfs_stream_failure(stream, err);
		rootfs_stream_free(stream);
		return -1;
	}
	*ret_stream = stream;
	return 0;
}

/* The next piece; 0 at the end, -1 with the stream's own reason. */
static ssize_t next_piece(struct rootfs_stream *stream, const void **ret_data)
{
	la_int64_t offset;
	size_t len = 0;
	int rc = ARCHIVE_OK;

	if (stream->failed)
		return -1;
	while (rc == ARCHIVE_OK && len == 0)
		rc = archive_read_data_block(stream->raw, ret_data, &len, &offset);
	if (rc == ARCHIVE_EOF)
		return 0;
	if (rc != ARCHIVE_OK)
		return fail_archive(stream);
	stream->total += (long long)len;
	if (stream->total > stream->max) {
		stream->failed = true;
		return err_set(&stream->reason, ERR_TOO_LARGE, "image.too_large",
			"the image is larger than %lld bytes", stream->max);
	}
	digest_stream_add(stream->digest, *ret_data, len);
	return (ssize_t)len;
}

ssize_t rootfs_stream_read(struct archive *tar, void *arg, const void **ret_data)
{
	ssize_t len = next_piece(arg, ret_data);

	if (len < 0)
		archive_set_error(tar, EIO, "layer");
	return len;
}

int rootfs_stream_failure(const struct rootfs_stream *stream, struct err *err)
{
	if (!stream->failed)
		return 0;
	if (err)
		*err = stream->reason;
	return -1;
}

int rootfs_stream_finish(struct rootfs_stream *stream, char ret_digest[DIGEST_TEXT_SIZE],
	long long *ret_bytes, struct err *err)
{
	const void *data;
	ssize_t len;

	while ((len = next_piece(stream, &data)) > 0)
		continue;
	if (len < 0)
		return rootfs_stream_failure(stream, err);
	digest_stream_finish_text(stream->digest, ret_digest);
	*ret_bytes = stream->total;
	return 0;
}

void rootfs_stream_free(struct rootfs_stream *stream)
{
	if (!stream)
		return;
	archive_read_free(stream->raw);
	digest_stream_free(stream->digest);
	free(stream);
}
