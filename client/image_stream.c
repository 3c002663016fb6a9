/* SPDX-License-Identifier: Apache-2.0 */
/* Two archives: the raw format undoes gzip and zstd, every byte is hashed, the second reads the
 * tar. */
#include "client/image_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/image_unpack.h"
#include "lib/mem.h"

struct image_stream {
	struct archive *raw, *tar;
	struct digest_stream *digest;
	char expected[DIGEST_TEXT_SIZE];
	long long bytes;
};

static int broken(struct archive *archive, struct err *err)
{
	const char *text = archive_error_string(archive);

	return err_set(err, ERR_INVALID, "image.layer", "%s", text ? text : "the layer is empty");
}

/* libarchive's read callback: hands on a piece of what is behind the compression. */
static la_ssize_t next_piece(struct archive *tar, void *arg, const void **ret_data)
{
	struct image_stream *stream = arg;
	la_int64_t offset = 0;
	int got = ARCHIVE_OK;
	size_t len = 0;

	while (got == ARCHIVE_OK && len == 0)
		got = archive_read_data_block(stream->raw, ret_data, &len, &offset);
	if (got == ARCHIVE_EOF)
		return 0;
	stream->bytes += (long long)len;
	if (got != ARCHIVE_OK || stream->bytes > IMAGE_MAX_BYTES) {
		archive_set_error(tar, EIO, "%s",
			got != ARCHIVE_OK ? archive_error_string(stream->raw) : "too large");
		return -1;
	}
	digest_stream_add(stream->digest, *ret_data, len);
	return (la_ssize_t)len;
}

static int open_both(struct image_stream *stream, const char *path, struct err *err)
{
	struct archive_entry *entry;

	if (archive_read_support_filter_gzip(stream->raw) != ARCHIVE_OK ||
		archive_read_support_filter_zstd(stream->raw) != ARCHIVE_OK ||
		archive_read_support_format_raw(stream->raw) != ARCHIVE_OK ||
		archive_read_open_filename(stream->raw, path, 65536) != ARCHIVE_OK ||
		archive_read_next_header(stream->raw, &entry) != ARCHIVE_OK)
		return broken(stream->raw, err);
	if (archive_read_support_format_tar(stream->tar) != ARCHIVE_OK ||
		archive_read_open(stream->tar, stream, NULL, next_piece, NULL) != ARCHIVE_OK)
		return broken(stream->tar, err);
	return 0;
}

int image_stream_open(
	const char *path, const char *diff_id, struct image_stream **ret_stream, struct err *err)
{
	struct image_stream *stream = mem_alloc(sizeof(*stream));

	stream->raw = archive_read_new();
	stream->tar = archive_read_new();
	stream->digest = digest_stream_new();
	memcpy(stream->expected, diff_id, sizeof(stream->expected));
	if (open_both(stream, path, err) < 0) {
		image_stream_free(stream);
		return -1;
	}
	*ret_stream = stream;
	return 0;
}

/* What follows the tar's end belongs to the diff_id too. */
static int compare(struct image_stream *stream, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];
	la_ssize_t got;
	const void *data;

	while ((got = next_piece(stream->tar, stream, &data)) > 0)
		continue;
	if (got < 0)
		return broken(stream->tar, err);
	digest_stream_finish_text(stream->digest, digest);
	if (strcmp(digest, stream->expected) != 0)
		return err_set(err, ERR_INVALID, "image.layer", "the layer is %s, not %s", digest,
			stream->expected);
	return 0;
}

int image_stream_next(
	struct image_stream *stream, struct archive_entry **ret_entry, struct err *err)
{
	int got = archive_read_next_header(stream->tar, ret_entry);

	if (got == ARCHIVE_EOF)
		return compare(stream, err);
	return got == ARCHIVE_OK ? 1 : broken(stream->tar, err);
}

long long image_stream_read(struct image_stream *stream, void *data, size_t size, struct err *err)
{
	la_ssize_t got = archive_read_data(stream->tar, data, size);

	return got < 0 ? broken(stream->tar, err) : (long long)got;
}

void image_stream_free(struct image_stream *stream)
{
	if (!stream)
		return;
	archive_read_free(stream->tar);
	archive_read_free(stream->raw);
	digest_stream_free(stream->digest);
	free(stream);
}
