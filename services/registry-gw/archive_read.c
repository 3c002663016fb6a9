/* SPDX-License-Identifier: Apache-2.0 */
/* libarchive for the format alone: no filter, whole blocks in, every entry looked at before its
 * bytes are. */
#include "services/registry-gw/archive_read.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define BLOBS "blobs/sha256/"
#define END_BYTES 1024 /* two empty records close a tar */
#define MAX_ENTRIES 4096
#define MAX_FOREIGN_BYTES (1 << 20) /* docker's own lists, which are read over */

struct archive_reader {
	struct archive *tar;
	archive_source *source;
	void *arg;
	bool failed; /* the source; `reason` says why */
	struct err reason;
	unsigned char block[ARCHIVE_BLOCK_BYTES];
	size_t block_len;
	long long total; /* bytes that libarchive was given */
	long long zeros; /* at their end */
	unsigned entries;
	bool layout, index, docker;
	void *names; /* of the entries so far */
};

/* --- bytes --- */

static void count_zeros(struct archive_reader *reader)
{
	size_t at = reader->block_len;

	while (at > 0 && reader->block[at - 1] == 0)
		at--;
	reader->zeros = at == 0 ? reader->zeros + (long long)reader->block_len
				: (long long)(reader->block_len - at);
}

static la_ssize_t on_read(struct archive *tar, void *arg, const void **ret_data)
{
	struct archive_reader *reader = arg;
	long long len =
		reader->source(reader->arg, reader->block, sizeof(reader->block), &reader->reason);

	if (len < 0) {
		reader->failed = true;
		archive_set_error(tar, EIO, "cut");
		return -1;
	}
	reader->block_len = (size_t)len;
	reader->total += len;
	count_zeros(reader);
	*ret_data = reader->block;
	return (la_ssize_t)len;
}

static int fail(struct archive_reader *reader, struct err *err)
{
	const char *text = archive_error_string(reader->tar);

	if (reader->failed) {
		*err = reader->reason;
		return -1;
	}
	if (text && strstr(text, "runcated"))
		return err_set(err, ERR_INVALID, "archive.truncated",
			"the archive ends in the middle of a part");
	return err_set(
		err, ERR_INVALID, "archive.invalid", "no tar archive: %s", text ? text : "empty");
}

/* Not undone: what is encrypted does not become smaller, and what does is a bomb. */
static int check_plain(const struct archive_reader *reader, struct err *err)
{
	static const struct {
		const char *bytes, *name;
	} magics[] = { { "\x1f\x8b", "gzip" }, { "\x28\xb5\x2f\xfd", "zstd" }, { "BZh", "bzip2" },
		{ "\xfd"
		  "7zXZ",
			"xz" },
		{ "\x04\x22\x4d\x18", "lz4" } };

	for (size_t i = 0; i < ARRAY_LEN(magics); i++) {
		size_t len = strlen(magics[i].bytes);

		if (reader->block_len >= len && memcmp(reader->block, magics[i].bytes, len) == 0)
			return err_set(err, ERR_INVALID, "archive.compressed",
				"the archive is compressed by %s: send the .tar itself",
				magics[i].name);
	}
	return 0;
}

/* --- the end --- */

static bool is_zero(const unsigned char *data, size_t len)
{
	return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* Of the last block what libarchive did not want, then all that is still to come. */
static int check_rest(struct archive_reader *reader, struct err *err)
{
	long long rest = reader->total - archive_filter_bytes(reader->tar, -1);
	const void *data;
	bool zero = rest >= 0 && rest <= (long long)reader->block_len &&
		    is_zero(reader->block + reader->block_len - rest, (size_t)rest);

	while (zero && reader->block_len > 0) {
		if (on_read(reader->tar, reader, &data) < 0)
			return fail(reader, err);
		zero = is_zero(reader->block, reader->block_len);
	}
	if (!zero)
		return err_set(err, ERR_INVALID, "archive.trailing",
			"something follows behind the archive's end");
	if (reader->zeros < END_BYTES)
		return err_set(err, ERR_INVALID, "archive.truncated",
			"the archive ends without its closing records");
	return 0;
}

static int check_whole(struct archive_reader *reader, struct err *err)
{
	if (check_rest(reader, err) < 0)
		return -1;
	if (reader->docker && !reader->index)
		return err_set(err, ERR_UNPROCESSABLE, "image.not_encrypted",
			"this is a docker archive, whose layers cannot be encrypted: make an OCI "
			"archive");
	if (!reader->layout || !reader->index)
		return err_set(err, ERR_INVALID, "archive.layout",
			"the archive has no '%s': it is no OCI image layout",
			reader->layout ? "index.json" : "oci-layout");
	return 0;
}

/* --- names --- */

static int bad_name(const char *name, struct err *err)
{
	return err_set(err, ERR_INVALID, "archive.name",
		"'%.100s' is no name of an OCI image layout", name ? name : "");
}

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

/* Layers and configs as `docker save` named them: refused before the gigabytes behind them. */
static bool is_dockers(const char *name)
{
	return ends_with(name, ".tar") || ends_with(name, "/VERSION") || ends_with(name, "/json") ||
	       (strlen(name) == 69 && strspn(name, "0123456789abcdef") == 64 &&
		       ends_with(name, ".json"));
}

static int same_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int check_once(struct archive_reader *reader, const char *name, struct err *err)
{
	char *copy = mem_strdup(name);
	char **kept = tsearch(copy, &reader->names, same_name);

	if (!kept)
		abort();
	if (*kept == copy)
		return 0;
	free(copy);
	return err_set(err, ERR_INVALID, "archive.duplicate", "'%.100s' is there twice", name);
}

static int check_entry(struct archive_reader *reader, struct archive_entry *entry, const char *name,
	struct err *err)
{
	if (++reader->entries > MAX_ENTRIES)
		return err_set(err, ERR_TOO_LARGE, "archive.too_many",
			"the archive has more than %d entries", MAX_ENTRIES);
	if (!name)
		return bad_name(name, err);
	if (is_dockers(name))
		return err_set(err, ERR_UNPROCESSABLE, "image.not_encrypted",
			"'%.80s': this is a docker archive, whose layers cannot be encrypted: "
			"make an OCI archive",
			name);
	if (archive_entry_hardlink(entry) || archive_entry_symlink(entry) ||
		(archive_entry_filetype(entry) != AE_IFREG &&
			archive_entry_filetype(entry) != AE_IFDIR))
		return err_set(err, ERR_INVALID, "archive.entry",
			"'%.100s' is neither file nor folder", name);
	if (archive_entry_sparse_count(entry) > 0)
		return err_set(err, ERR_INVALID, "archive.entry", "'%.100s' has holes", name);
	if (archive_entry_size(entry) < 0) /* an attribute may say so: SCHILY.realsize */
		return err_set(err, ERR_INVALID, "archive.entry", "'%.100s' has no size", name);
	return archive_entry_filetype(entry) == AE_IFDIR ? 0 : check_once(reader, name, err);
}

/* --- parts --- */

static int read_over(struct archive_reader *reader, struct archive_entry *entry, struct err *err)
{
	if (archive_entry_size(entry) > MAX_FOREIGN_BYTES)
		return err_set(err, ERR_TOO_LARGE, "archive.too_large",
			"'%.100s' is larger than 1 MiB", archive_entry_pathname(entry));
	return archive_read_data_skip(reader->tar) == ARCHIVE_OK ? 0 : fail(reader, err);
}

static int is_folder(const char *name, struct err *err)
{
	static const char *const folders[] = { ".", "./", "blobs", "blobs/", "blobs/sha256",
		BLOBS };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (strcmp(folders[i], name) == 0)
			return 0;
	}
	return bad_name(name, err);
}

static bool take_blob(const char *hex, struct archive_part *part)
{
	unsigned char ignored[DIGEST_SIZE];

	part->kind = ARCHIVE_BLOB;
	return snprintf(part->digest, sizeof(part->digest), "sha256:%s", hex) <
		       (int)sizeof(part->digest) &&
	       digest_parse(part->digest, ignored, NULL) == 0;
}

/* 1: it is a part, 0: it is read over. */
static int take(struct archive_reader *reader, struct archive_entry *entry, const char *name,
	struct archive_part *part, struct err *err)
{
	part->size = archive_entry_size(entry);
	if (archive_entry_filetype(entry) == AE_IFDIR)
		return is_folder(name, err);
	if (strncmp(name, BLOBS, strlen(BLOBS)) == 0)
		return take_blob(name + strlen(BLOBS), part) ? 1 : bad_name(name, err);
	if (strcmp(name, "oci-layout") == 0 || strcmp(name, "index.json") == 0) {
		part->kind = *name == 'o' ? ARCHIVE_LAYOUT : ARCHIVE_INDEX;
		*(*name == 'o' ? &reader->layout : &reader->index) = true;
		return 1;
	}
	if (strcmp(name, "manifest.json") != 0 && strcmp(name, "repositories") != 0)
		return bad_name(name, err);
	reader->docker = true;
	return read_over(reader, entry, err);
}

int archive_reader_next(
	struct archive_reader *reader, struct archive_part *ret_part, struct err *err)
{
	struct archive_part part = { .kind = ARCHIVE_BLOB };
	struct archive_entry *entry;
	const char *name;
	int rc, taken = 0;

	while (taken == 0) {
		rc = archive_read_next_header(reader->tar, &entry);
		if (reader->entries == 0 && check_plain(reader, err) < 0)
			return -1;
		if (rc == ARCHIVE_EOF)
			return check_whole(reader, err);
		if (rc != ARCHIVE_OK)
			return fail(reader, err);
		name = archive_entry_pathname(entry);
		if (name && strncmp(name, "./", 2) == 0 && name[2])
			name += 2;
		if (check_entry(reader, entry, name, err) < 0)
			return -1;
		taken = take(reader, entry, name, &part, err);
	}
	if (taken > 0)
		*ret_part = part;
	return taken;
}

long long archive_reader_data(
	struct archive_reader *reader, void *data, size_t size, struct err *err)
{
	la_ssize_t len = archive_read_data(reader->tar, data, size);

	return len < 0 ? fail(reader, err) : len;
}

/* --- life --- */

struct archive_reader *archive_reader_new(archive_source *source, void *arg)
{
	struct archive_reader *reader = mem_alloc(sizeof(*reader));

	reader->source = source;
	reader->arg = arg;
	reader->tar = archive_read_new();
	if (!reader->tar || archive_read_support_format_tar(reader->tar) != ARCHIVE_OK)
		abort();
	/* A failure comes back with the first header. */
	(void)archive_read_open(reader->tar, reader, NULL, on_read, NULL);
	return reader;
}

void archive_reader_free(struct archive_reader *reader)
{
	if (!reader)
		return;
	archive_read_free(reader->tar);
	tdestroy(reader->names, free);
	free(reader);
}
