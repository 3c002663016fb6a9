/* SPDX-License-Identifier: Apache-2.0 */
/* An OCI archive is written by libarchive: the marker first, blobs in the order of their names. */
#include "client/image_place.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/files.h"
#include "client/image_unpack.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci_layout.h"

#define CHUNK 65536u
#define BLOBS "blobs/sha256"

static bool is_archive_name(const char *path)
{
	size_t len = strlen(path);

	return len > 4 && strcmp(path + len - 4, ".tar") == 0;
}

int image_place_open(const char *path, const char *work_dir, char **ret_layout, struct err *err)
{
	auto_free char *dir = mem_printf("%s/unpacked", work_dir);
	auto_json json_t *names = NULL;
	struct stat info;

	if (stat(path, &info) < 0)
		return err_set(err, ERR_INVALID, "image.archive", "there is no '%s'", path);
	if (S_ISDIR(info.st_mode)) {
		*ret_layout = mem_strdup(path);
		return 0;
	}
	if (files_make_dirs(work_dir, 0700, err) < 0 || files_tree_remove(dir, err) < 0 ||
		image_unpack(path, dir, &names, err) < 0)
		return -1;
	if (!json_object_get(names, "oci-layout") || !json_object_get(names, "index.json"))
		return err_set(err, ERR_INVALID, "image.archive",
			"'%s' is no OCI archive: skopeo copy docker-archive:FILE oci-archive:FILE "
			"makes one of docker's",
			path);
	*ret_layout = take_ptr(dir);
	return 0;
}

static bool is_called(const json_t *descriptor, const char *called)
{
	return json_text_is(descriptor, "digest", called) ||
	       json_text_is(json_object_get(descriptor, "annotations"),
		       "org.opencontainers.image.ref.name", called);
}

int image_place_choose(
	const char *layout, const char *called, json_t **ret_descriptor, struct err *err)
{
	bool is_digest = strncmp(called, "sha256:", strlen("sha256:")) == 0;
	auto_json json_t *index = NULL;
	const json_t *manifests;
	json_t *descriptor;
	size_t i;

	if (oci_layout_list(layout, &index, err) < 0)
		return -1;
	manifests = json_object_get(index, "manifests");
	json_array_foreach (manifests, i, descriptor) {
		if (is_called(descriptor, called) ||
			(json_array_size(manifests) == 1 && !is_digest)) {
			*ret_descriptor = json_incref(descriptor);
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, is_digest ? "oci.index" : "oci.ambiguous",
		"'%s' holds %zu images, and none is called %s", layout, json_array_size(manifests),
		called);
}

int image_place_start(const char *path, bool keeps, char **ret_work, struct err *err)
{
	auto_free char *work = mem_printf("%s.part", path);

	if (access(path, F_OK) == 0)
		return err_set(err, ERR_CONFLICT, "image.exists", "'%s' is there already", path);
	if ((!keeps && files_tree_remove(work, err) < 0) || files_make_dirs(work, 0700, err) < 0)
		return -1;
	*ret_work = take_ptr(work);
	return 0;
}

/* --- writing an archive --- */

static int broken(struct archive *tar, struct err *err)
{
	const char *text = archive_error_string(tar);

	return err_set(err, ERR_INTERNAL, "internal.system", "write the archive: %s",
		text ? text : "failed");
}

static int pack_contents(struct archive *tar, int fd, struct err *err)
{
	auto_free char *chunk = mem_alloc(CHUNK);
	ssize_t got;

	while ((got = read(fd, chunk, CHUNK)) > 0) {
		if (archive_write_data(tar, chunk, (size_t)got) != got)
			return broken(tar, err);
	}
	return got < 0 ? err_errno(err, "read the layout") : 0;
}

static int pack_file(struct archive *tar, const char *layout, const char *name, struct err *err)
{
	auto_free char *path = mem_printf("%s/%s", layout, name);
	auto_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct archive_entry *entry;
	struct stat info;
	int done;

	if (fd < 0 || fstat(fd, &info) < 0)
		return err_errno(err, "open '%s'", path);
	entry = archive_entry_new();
	archive_entry_copy_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, info.st_size);
	done = archive_write_header(tar, entry) == ARCHIVE_OK ? pack_contents(tar, fd, err)
							      : broken(tar, err);
	archive_entry_free(entry);
	return done;
}

static int is_blob(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int pack_blobs(struct archive *tar, const char *layout, struct err *err)
{
	auto_free char *dir = mem_printf("%s/" BLOBS, layout);
	struct dirent **names = NULL;
	int count = scandir(dir, &names, is_blob, alphasort), done = 0;

	if (count < 0)
		return err_errno(err, "read '%s'", dir);
	for (int i = 0; i < count; i++) {
		auto_free char *name = mem_printf(BLOBS "/%s", names[i]->d_name);

		if (done == 0)
			done = pack_file(tar, layout, name, err);
		free(names[i]);
	}
	free(names);
	return done;
}

static int pack(const char *layout, int fd, struct err *err)
{
	struct archive *tar = archive_write_new();
	int done;

	if (archive_write_set_format_pax_restricted(tar) != ARCHIVE_OK ||
		archive_write_set_bytes_per_block(tar, CHUNK) != ARCHIVE_OK ||
		archive_write_open_fd(tar, fd) != ARCHIVE_OK) {
		done = broken(tar, err);
	} else {
		done = pack_file(tar, layout, "oci-layout", err);
		if (done == 0)
			done = pack_file(tar, layout, "index.json", err);
		if (done == 0)
			done = pack_blobs(tar, layout, err);
		if (done == 0 && archive_write_close(tar) != ARCHIVE_OK)
			done = broken(tar, err);
	}
	archive_write_free(tar);
	return done;
}

static int pack_to(const char *layout, const char *part, struct err *err)
{
	auto_fd int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_errno(err, "make '%s'", part);
	if (pack(layout, fd, err) < 0)
		return -1;
	return fsync(fd) < 0 ? err_errno(err, "write '%s'", part) : 0;
}

int image_place_finish(const char *path, const char *work, const char *layout, struct err *err)
{
	auto_free char *part = mem_printf("%s/packed", work);
	const char *made = layout;

	if (is_archive_name(path)) {
		if (pack_to(layout, part, err) < 0)
			return -1;
		made = part;
	}
	if (rename(made, path) < 0)
		return err_errno(err, "make '%s'", path);
	return files_tree_remove(work, err);
}
