/* SPDX-License-Identifier: Apache-2.0 */
/* Both digests in two readings: of the file, and by libarchive of what is behind the compression.
 */
#include "client/image_inner.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/image_unpack.h"
#include "lib/mem.h"

#define CHUNK 65536u

static int digest_of(int fd, char ret_digest[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_free char *chunk = mem_alloc(CHUNK);
	struct digest_stream *digest = digest_stream_new();
	long long at = 0;
	ssize_t got;

	for (; (got = pread(fd, chunk, CHUNK, at)) > 0; at += got)
		digest_stream_add(digest, chunk, (size_t)got);
	digest_stream_finish_text(digest, ret_digest);
	digest_stream_free(digest);
	return got < 0 ? err_errno(err, "read the layer") : 0;
}

static int unpack(struct archive *raw, struct digest_stream *digest)
{
	struct archive_entry *entry;
	const void *data = NULL;
	long long all = 0;
	la_int64_t offset;
	size_t len = 0;
	int got;

	if (archive_read_next_header(raw, &entry) != ARCHIVE_OK)
		return -1;
	while ((got = archive_read_data_block(raw, &data, &len, &offset)) == ARCHIVE_OK) {
		all += (long long)len;
		if (all > IMAGE_MAX_BYTES)
			return -1;
		digest_stream_add(digest, data, len);
	}
	return got == ARCHIVE_EOF ? 0 : -1;
}

/* False too when it is not compressed, or broken. */
static int is_unpacked(int fd, const char *expected)
{
	struct digest_stream *digest = digest_stream_new();
	struct archive *raw = archive_read_new();
	char found[DIGEST_TEXT_SIZE];
	int same = lseek(fd, 0, SEEK_SET) == 0 &&
		   archive_read_support_filter_gzip(raw) == ARCHIVE_OK &&
		   archive_read_support_filter_zstd(raw) == ARCHIVE_OK &&
		   archive_read_support_format_raw(raw) == ARCHIVE_OK &&
		   archive_read_open_fd(raw, fd, CHUNK) == ARCHIVE_OK && unpack(raw, digest) == 0;

	digest_stream_finish_text(digest, found);
	digest_stream_free(digest);
	archive_read_free(raw);
	return same && strcmp(found, expected) == 0;
}

int image_inner_check(
	int fd, const char *expected, char ret_digest[DIGEST_TEXT_SIZE], struct err *err)
{
	if (!is_unpacked(fd, expected))
		return err_set(err, ERR_UNPROCESSABLE, "image.inner_digest",
			"the decrypted layer is not the one that was encrypted");
	return digest_of(fd, ret_digest, err);
}
