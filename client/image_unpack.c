/* SPDX-License-Identifier: Apache-2.0 */
/* libarchive reads the tar (compressed or not); every file is made with O_EXCL under a name of
 * ours. */
#include "client/image_unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "client/files.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_NAME 1024u
#define BLOBS "blobs/sha256"

struct unpack {
	struct archive *archive;
	const char *dir;
	json_t *names, *links; /* name -> path of the file, name -> name of the target */
	long long entries, bytes;
};

static int unsafe(struct err *err, const char *name, const char *what)
{
	return err_set(
		err, ERR_INVALID, "image.archive_unsafe", "'%.100s': %s", name ? name : "", what);
}

static int broken(const struct unpack *unpack, struct err *err)
{
	const char *text = archive_error_string(unpack->archive);

	return err_set(err, ERR_INVALID, "image.archive", "%s", text ? text : "cannot be read");
}

static bool is_blob_name(const char *name)
{
	size_t len = strlen(BLOBS "/");

	return strncmp(name, BLOBS "/", len) == 0 && strlen(name + len) == 64 &&
	       strspn(name + len, "0123456789abcdef") == 64;
}

static char *place_of(const struct unpack *unpack, const char *name)
{
	if (is_blob_name(name) || strcmp(name, "index.json") == 0 ||
		strcmp(name, "oci-layout") == 0)
		return mem_printf("%s/%s", unpack->dir, name);
	return mem_printf("%s/entry.%lld", unpack->dir, unpack->entries);
}

static int write_file(struct unpack *unpack, const char *name, struct err *err)
{
	auto_free char *path = place_of(unpack, name);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	auto_free char *chunk = mem_alloc(65536);
	la_ssize_t got;

	if (fd < 0)
		return err_errno(err, "make '%s'", path);
	while ((got = archive_read_data(unpack->archive, chunk, 65536)) > 0) {
		unpack->bytes += got;
		if (unpack->bytes > IMAGE_MAX_BYTES)
			return unsafe(err, name, "the archive is too large");
		if (files_write_all(fd, chunk, (size_t)got, err) < 0)
			return err_wrap(err, "'%s'", path);
	}
	if (got < 0)
		return broken(unpack, err);
	return json_object_set_new_nocheck(unpack->names, name, json_string(path)) < 0
		       ? unsafe(err, name, "not a name in UTF-8")
		       : 0;
}

/* `target` seen from the folder of `name`; NULL when it leads outside. Caller frees. */
static char *resolve(const char *name, const char *target)
{
	auto_free char *path = mem_alloc(strlen(name) + strlen(target) + 2);
	const char *slash = strrchr(name, '/');
	size_t len = slash ? (size_t)(slash - name) : 0;

	memcpy(path, name, len);
	for (size_t part; *target; target += part + (target[part] == '/')) {
		part = strcspn(target, "/");
		if (part == 2 && memcmp(target, "..", 2) == 0) {
			if (len == 0)
				return NULL;
			while (len > 0 && path[--len] != '/')
				continue;
		} else if (part > 0 && !(part == 1 && *target == '.')) {
			if (len > 0)
				path[len++] = '/';
			memcpy(path + len, target, part);
			len += part;
		}
	}
	path[len] = '\0';
	return take_ptr(path);
}

static int note_link(struct unpack *unpack, const char *name, const char *target, struct err *err)
{
	auto_free char *path = NULL;

	if (!target || *target == '/' || strlen(target) > MAX_NAME)
		return unsafe(err, name, "a link to outside");
	path = resolve(name, target);
	if (!path)
		return unsafe(err, name, "a link to outside");
	json_object_set_new(unpack->links, name, json_string(path));
	return 0;
}

static int unpack_entry(struct unpack *unpack, struct archive_entry *entry, struct err *err)
{
	const char *name = archive_entry_pathname(entry);

	if (++unpack->entries > IMAGE_MAX_ENTRIES)
		return unsafe(err, name, "too many entries");
	if (name && strncmp(name, "./", 2) == 0)
		name += 2;
	if (name && !*name && archive_entry_filetype(entry) == AE_IFDIR)
		return 0; /* "./" */
	if (!name || !files_is_plain_name(name))
		return unsafe(err, name, "not a plain name");
	if (archive_entry_hardlink(entry))
		return unsafe(err, name, "a hard link");
	if (archive_entry_filetype(entry) == AE_IFDIR)
		return 0;
	if (json_object_get(unpack->names, name) || json_object_get(unpack->links, name))
		return unsafe(err, name, "a name twice");
	if (archive_entry_filetype(entry) == AE_IFLNK)
		return note_link(unpack, name, archive_entry_symlink(entry), err);
	if (archive_entry_filetype(entry) != AE_IFREG)
		return unsafe(err, name, "neither file nor folder");
	return write_file(unpack, name, err);
}

static int unpack_all(struct unpack *unpack, int fd, struct err *err)
{
	struct archive_entry *entry;
	int got;

	if (archive_read_support_format_tar(unpack->archive) != ARCHIVE_OK ||
		archive_read_support_filter_gzip(unpack->archive) != ARCHIVE_OK ||
		archive_read_support_filter_zstd(unpack->archive) != ARCHIVE_OK ||
		archive_read_open_fd(unpack->archive, fd, 65536) != ARCHIVE_OK)
		return broken(unpack, err);
	while ((got = archive_read_next_header(unpack->archive, &entry)) == ARCHIVE_OK) {
		if (unpack_entry(unpack, entry, err) < 0)
			return -1;
	}
	return got == ARCHIVE_EOF ? 0 : broken(unpack, err);
}

/* One step is enough for what docker writes; a link to a link stays without a file. */
static void follow_links(struct unpack *unpack)
{
	const char *name;
	json_t *target;

	json_object_foreach (unpack->links, name, target) {
		json_t *path = json_object_get(unpack->names, json_string_value(target));

		if (path)
			json_object_set(unpack->names, name, path);
	}
}

int image_unpack(const char *archive, const char *dir, json_t **ret_names, struct err *err)
{
	auto_free char *blobs = mem_printf("%s/" BLOBS, dir);
	auto_fd int fd = open(archive, O_RDONLY | O_CLOEXEC);
	struct unpack unpack = { .dir = dir };
	int result;

	if (fd < 0)
		return err_set(err, ERR_INVALID, "image.archive", "open '%s': %s", archive,
			strerror(errno));
	if (files_make_dirs(blobs, 0700, err) < 0)
		return -1;
	unpack.archive = archive_read_new();
	unpack.names = json_object();
	unpack.links = json_object();
	result = unpack_all(&unpack, fd, err);
	archive_read_free(unpack.archive);
	if (result == 0)
		follow_links(&unpack);
	json_decref(unpack.links);
	if (result == 0)
		*ret_names = unpack.names;
	else
		json_decref(unpack.names);
	return result;
}
