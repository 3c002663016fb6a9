/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Twice through the layers: first names (image_tree.h), then contents. Written are folders and
 * links, the salt, files in the order of their layers, and the further names of files.
 */
#include "client/image_squash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/image_stream.h"
#include "client/image_tree.h"
#include "lib/id.h"
#include "lib/mem.h"

#define CHUNK 65536u

struct squash {
	const struct image_source *source;
	struct image_tree *tree;
	struct archive *tar, *gzip;
	struct digest_stream *digest;
	image_progress *progress;
	void *progress_arg;
	long long done, total;
};

static int broken(struct archive *archive, struct err *err)
{
	const char *text = archive_error_string(archive);

	return err_set(err, ERR_INTERNAL, "internal.system", "write the layer: %s",
		text ? text : "failed");
}

/* --- names --- */

static int read_layer(struct squash *squash, unsigned layer, struct image_stream *stream,
	int (*take)(struct squash *squash, struct image_stream *stream, unsigned layer,
		long long number, struct archive_entry *entry, struct err *err),
	struct err *err)
{
	struct archive_entry *entry;
	int got;

	for (long long number = 0; (got = image_stream_next(stream, &entry, err)) == 1; number++) {
		if (take(squash, stream, layer, number, entry, err) < 0)
			return -1;
	}
	return got;
}

static int read_layers(struct squash *squash,
	int (*take)(struct squash *squash, struct image_stream *stream, unsigned layer,
		long long number, struct archive_entry *entry, struct err *err),
	struct err *err)
{
	const struct image_source *source = squash->source;
	int result = 0;

	for (unsigned i = 0; i < source->n_layers && result == 0; i++) {
		struct image_stream *stream = NULL;

		result = image_stream_open(
			source->layers[i], source->config.diff_ids[i], &stream, err);
		if (result == 0)
			result = read_layer(squash, i, stream, take, err);
		image_stream_free(stream);
		if (result < 0)
			err_wrap(err, "layer %u", i);
	}
	return result;
}

static int take_name(struct squash *squash, struct image_stream *stream, unsigned layer,
	long long number, struct archive_entry *entry, struct err *err)
{
	(void)stream;
	return image_tree_add(squash->tree, layer, number, entry, err);
}

/* --- writing --- */

static la_ssize_t to_gzip(struct archive *tar, void *arg, const void *data, size_t len)
{
	struct squash *squash = arg;

	digest_stream_add(squash->digest, data, len);
	if (archive_write_data(squash->gzip, data, len) != (la_ssize_t)len) {
		archive_set_error(tar, -1, "%s", archive_error_string(squash->gzip));
		return -1;
	}
	return (la_ssize_t)len;
}

/* A gzip file without name and time. */
static int open_gzip(struct squash *squash, int fd)
{
	struct archive_entry *entry = archive_entry_new();
	struct archive *gzip = squash->gzip;
	bool is_open;

	archive_entry_set_filetype(entry, AE_IFREG);
	is_open = archive_write_add_filter_gzip(gzip) == ARCHIVE_OK &&
		  archive_write_set_filter_option(gzip, "gzip", "timestamp", NULL) == ARCHIVE_OK &&
		  archive_write_set_format_raw(gzip) == ARCHIVE_OK &&
		  archive_write_set_bytes_per_block(gzip, CHUNK) == ARCHIVE_OK &&
		  archive_write_set_bytes_in_last_block(gzip, 1) == ARCHIVE_OK &&
		  archive_write_open_fd(gzip, fd) == ARCHIVE_OK &&
		  archive_write_header(gzip, entry) == ARCHIVE_OK;
	archive_entry_free(entry);
	return is_open ? 0 : -1;
}

static int open_tar(struct squash *squash)
{
	struct archive *tar = squash->tar;

	if (archive_write_set_format_pax_restricted(tar) != ARCHIVE_OK ||
		archive_write_set_bytes_per_block(tar, CHUNK) != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(tar, 1) != ARCHIVE_OK)
		return -1;
	return archive_write_open(tar, squash, NULL, to_gzip, NULL) == ARCHIVE_OK ? 0 : -1;
}

/* A copy that says only what belongs to the image. Times of files stay: Python's caches need them.
 */
static struct archive_entry *normal(struct archive_entry *entry, const char *path)
{
	struct archive_entry *copy = archive_entry_clone(entry);
	bool is_file = archive_entry_filetype(copy) == AE_IFREG;

	archive_entry_copy_pathname(copy, path);
	archive_entry_set_mtime(copy, is_file ? archive_entry_mtime(copy) : 0, 0);
	archive_entry_unset_atime(copy);
	archive_entry_unset_ctime(copy);
	archive_entry_unset_birthtime(copy);
	archive_entry_copy_uname(copy, NULL);
	archive_entry_copy_gname(copy, NULL);
	archive_entry_set_fflags(copy, 0, 0);
	archive_entry_sparse_clear(copy);
	archive_entry_set_dev(copy, 0);
	archive_entry_set_ino(copy, 0);
	archive_entry_set_nlink(copy, 1);
	if (!is_file)
		archive_entry_set_size(copy, 0);
	return copy;
}

static int write_header(struct squash *squash, struct archive_entry *entry, const char *path,
	const char *linked, struct err *err)
{
	struct archive_entry *copy = normal(entry, path);
	int result = 0;

	if (linked) {
		archive_entry_copy_hardlink(copy, linked);
		archive_entry_set_size(copy, 0);
	}
	if (archive_write_header(squash->tar, copy) != ARCHIVE_OK)
		result = broken(squash->tar, err);
	archive_entry_free(copy);
	return result;
}

/* First walk: folders and links; each file learns the name that will carry its contents. */
static int write_folder(void *arg, struct image_node *node, struct err *err)
{
	auto_free char *path = NULL;
	struct squash *squash = arg;

	if (node->file && !node->file->first) {
		node->file->first = node;
		squash->total += archive_entry_size(node->file->entry);
	}
	if (node->file)
		return 0;
	path = image_node_path(node);
	return write_header(squash, node->entry, path, NULL, err);
}

static int write_contents(
	struct squash *squash, struct image_stream *stream, long long size, struct err *err)
{
	auto_free char *chunk = mem_alloc(CHUNK);
	long long got = 0;

	while (size > 0 && (got = image_stream_read(stream, chunk, CHUNK, err)) > 0) {
		if (archive_write_data(squash->tar, chunk, (size_t)got) != (la_ssize_t)got)
			return broken(squash->tar, err);
		size -= got;
		squash->done += got;
		if (squash->progress)
			squash->progress(
				squash->progress_arg, "convert", squash->done, squash->total);
	}
	if (got < 0)
		return -1;
	return size == 0 ? 0 : err_set(err, ERR_INVALID, "image.layer", "a file ends too early");
}

static int take_contents(struct squash *squash, struct image_stream *stream, unsigned layer,
	long long number, struct archive_entry *entry, struct err *err)
{
	const struct image_file *file = image_tree_file(squash->tree, layer, number);
	auto_free char *path = NULL;

	(void)entry;
	if (!file)
		return 0;
	path = image_node_path(file->first);
	if (write_header(squash, file->entry, path, NULL, err) < 0)
		return -1;
	return write_contents(squash, stream, archive_entry_size(file->entry), err);
}

/* Second walk: the names that files have besides their first. */
static int write_name(void *arg, struct image_node *node, struct err *err)
{
	auto_free char *path = NULL, *first = NULL;

	if (!node->file || node->file->first == node)
		return 0;
	path = image_node_path(node);
	first = image_node_path(node->file->first);
	return write_header(arg, node->file->entry, path, first, err);
}

static int write_salt(struct squash *squash, struct err *err)
{
	struct archive_entry *entry = archive_entry_new();
	unsigned char salt[IMAGE_SALT_SIZE];
	int result;

	rand_bytes(salt, sizeof(salt));
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0444);
	archive_entry_set_size(entry, sizeof(salt));
	result = write_header(squash, entry, IMAGE_SALT, NULL, err);
	if (result == 0 && archive_write_data(squash->tar, salt, sizeof(salt)) != sizeof(salt))
		result = broken(squash->tar, err);
	explicit_bzero(salt, sizeof(salt));
	archive_entry_free(entry);
	return result;
}

static int write_layer(struct squash *squash, int fd, struct err *err)
{
	if (open_gzip(squash, fd) < 0)
		return broken(squash->gzip, err);
	if (open_tar(squash) < 0)
		return broken(squash->tar, err);
	if (image_tree_walk(squash->tree, write_folder, squash, err) < 0 ||
		write_salt(squash, err) < 0 || read_layers(squash, take_contents, err) < 0 ||
		image_tree_walk(squash->tree, write_name, squash, err) < 0)
		return -1;
	if (archive_write_close(squash->tar) != ARCHIVE_OK)
		return broken(squash->tar, err);
	return archive_write_close(squash->gzip) == ARCHIVE_OK ? 0 : broken(squash->gzip, err);
}

int image_squash(const struct image_source *source, int fd, image_progress *progress,
	void *progress_arg, char ret_diff_id[DIGEST_TEXT_SIZE], struct err *err)
{
	struct squash squash = {
		.source = source,
		.tree = image_tree_new(),
		.tar = archive_write_new(),
		.gzip = archive_write_new(),
		.digest = digest_stream_new(),
		.progress = progress,
		.progress_arg = progress_arg,
	};
	int result = read_layers(&squash, take_name, err);

	if (result == 0) {
		image_tree_drop(squash.tree, IMAGE_SALT);
		result = write_layer(&squash, fd, err);
	}
	if (result == 0)
		digest_stream_finish_text(squash.digest, ret_diff_id);
	archive_write_free(squash.tar);
	archive_write_free(squash.gzip);
	digest_stream_free(squash.digest);
	image_tree_free(squash.tree);
	return result;
}
