/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacks layers entry by entry: whiteout, folder, file, link; anything else is refused. */
#include "agent/rootfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/rootfs_path.h"
#include "agent/rootfs_stream.h"
#include "lib/mem.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define MAX_OWNER 65535

struct rootfs {
	struct rootfs_conf conf;
	int fd;
	long long bytes, files;
	struct rootfs_seen seen; /* of the layer at hand */
};

/* Where an entry goes, and what it is. */
struct place {
	int parent;
	const char *name;
	struct archive *tar;
	struct archive_entry *entry;
};

int rootfs_new(const struct rootfs_conf *conf, struct rootfs **ret_rootfs, struct err *err)
{
	int fd = open(conf->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct rootfs *rootfs;

	if (fd < 0)
		return err_errno(err, "open %s", conf->dir);
	rootfs = mem_alloc(sizeof(*rootfs));
	rootfs->conf = *conf;
	rootfs->fd = fd;
	*ret_rootfs = rootfs;
	return 0;
}

void rootfs_free(struct rootfs *rootfs)
{
	if (!rootfs)
		return;
	close(rootfs->fd);
	free(rootfs->seen.inodes);
	free(rootfs);
}

static unsigned owner(const struct rootfs *rootfs, long long id)
{
	return rootfs->conf.uid_base + (id >= 0 && id <= MAX_OWNER ? (unsigned)id : MAX_OWNER - 1);
}

/* Owner before mode: chown takes bits away. Set-id bits never arrive. */
static int set_metadata(struct rootfs *rootfs, const struct place *place, struct err *err)
{
	struct archive_entry *entry = place->entry;
	const struct timespec times[2] = { { 0, UTIME_OMIT },
		{ archive_entry_mtime(entry), archive_entry_mtime_nsec(entry) } };
	struct stat st;

	if (rootfs->conf.own &&
		fchownat(place->parent, place->name, owner(rootfs, archive_entry_uid(entry)),
			owner(rootfs, archive_entry_gid(entry)), AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "chown '%s'", place->name);
	if (archive_entry_filetype(entry) != AE_IFLNK &&
		fchmodat(place->parent, place->name, archive_entry_perm(entry) & 01777, 0) < 0)
		return err_errno(err, "chmod '%s'", place->name);
	if (utimensat(place->parent, place->name, times, AT_SYMLINK_NOFOLLOW) < 0 ||
		fstatat(place->parent, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "date '%s'", place->name);
	rootfs_path_seen_add(&rootfs->seen, st.st_ino);
	return 0;
}

static int put_folder(const struct place *place, struct err *err)
{
	struct stat st;

	if (fstatat(place->parent, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISDIR(st.st_mode))
		return 0;
	if (rootfs_path_remove(place->parent, place->name, NULL, err) < 0)
		return -1;
	if (mkdirat(place->parent, place->name, 0755) < 0)
		return err_errno(err, "make '%s'", place->name);
	return 0;
}

static int write_all(int fd, const char *data, size_t len, off_t offset)
{
	while (len > 0) {
		ssize_t done = pwrite(fd, data, len, offset);

		if (done <= 0)
			return -1;
		data += done;
		len -= (size_t)done;
		offset += done;
	}
	return 0;
}

/* Holes of sparse files stay holes. The bytes were counted by the stream. */
static int copy_data(struct archive *tar, int fd, long long size, struct err *err)
{
	const void *data;
	la_int64_t offset;
	size_t len;
	int rc;

	if (ftruncate(fd, size) < 0)
		return err_errno(err, "make room for a file of the image");
	while ((rc = archive_read_data_block(tar, &data, &len, &offset)) == ARCHIVE_OK) {
		if (offset < 0 || offset > size || (long long)len > size - offset)
			return err_set(err, ERR_INVALID, "image.layer_archive",
				"data beyond a file's end");
		if (write_all(fd, data, len, offset) < 0)
			return err_errno(err, "write a file of the image");
	}
	return rc == ARCHIVE_EOF ? 0
				 : err_set(err, ERR_INVALID, "image.layer_archive", "%s",
					   archive_error_string(tar));
}

static int put_file(const struct place *place, struct err *err)
{
	auto_fd int fd = -1;

	if (rootfs_path_remove(place->parent, place->name, NULL, err) < 0)
		return -1;
	fd = openat(place->parent, place->name,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "make '%s'", place->name);
	return copy_data(place->tar, fd, archive_entry_size(place->entry), err);
}

static int put_symlink(const struct place *place, struct err *err)
{
	const char *target = archive_entry_symlink(place->entry);

	if (!target || !*target)
		return err_set(
			err, ERR_INVALID, "image.layer_link", "'%s' links to nothing", place->name);
	if (rootfs_path_remove(place->parent, place->name, NULL, err) < 0)
		return -1;
	if (symlinkat(target, place->parent, place->name) < 0)
		return err_errno(err, "link '%s'", place->name);
	return 0;
}

/* Both ends are inside: the target's folder is resolved like any other, its name is not followed.
 */
static int put_hardlink(struct rootfs *rootfs, const struct place *place, struct err *err)
{
	auto_free char *target = NULL;
	const char *name;
	auto_fd int folder = -1;
	struct stat st, old;

	if (rootfs_path_clean(archive_entry_hardlink(place->entry), &target, err) < 0)
		return -1;
	folder = rootfs_path_parent(rootfs->fd, target, false, &name, err);
	if (folder < 0)
		return -1;
	if (!*name || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
		return err_set(
			err, ERR_INVALID, "image.layer_link", "'%s' links to no file", place->name);
	if (fstatat(place->parent, place->name, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
		old.st_ino == st.st_ino)
		return 0;
	if (rootfs_path_remove(place->parent, place->name, NULL, err) < 0)
		return -1;
	if (linkat(folder, name, place->parent, place->name, 0) < 0)
		return err_errno(err, "link '%s'", place->name);
	rootfs_path_seen_add(&rootfs->seen, st.st_ino);
	return 0;
}

/* `.wh.name` hides `name` of the layers below, the opaque mark everything in its folder. */
static int apply_whiteout(struct rootfs *rootfs, const char *path, struct err *err)
{
	const char *name;
	auto_fd int parent = rootfs_path_parent(rootfs->fd, path, false, &name, NULL);

	if (parent < 0) /* nothing there to hide */
		return 0;
	if (strcmp(name, OPAQUE) == 0)
		return rootfs_path_empty(parent, &rootfs->seen, err);
	name += strlen(WHITEOUT);
	if (strncmp(name, WHITEOUT, strlen(WHITEOUT)) == 0) /* aufs' own notes */
		return 0;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(err, ERR_INVALID, "image.layer_path", "a whiteout of '%s'", name);
	return rootfs_path_remove(parent, name, &rootfs->seen, err);
}

static bool is_whiteout(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strncmp(slash ? slash + 1 : path, WHITEOUT, strlen(WHITEOUT)) == 0;
}

static int put_by_type(struct rootfs *rootfs, const struct place *place, struct err *err)
{
	int rc;

	if (archive_entry_hardlink(place->entry))
		return put_hardlink(rootfs, place, err);
	if (archive_entry_filetype(place->entry) == AE_IFDIR)
		rc = put_folder(place, err);
	else if (archive_entry_filetype(place->entry) == AE_IFREG)
		rc = put_file(place, err);
	else if (archive_entry_filetype(place->entry) == AE_IFLNK)
		rc = put_symlink(place, err);
	else
		return err_set(err, ERR_INVALID, "image.layer_type",
			"'%s' is a device, pipe or socket", place->name);
	return rc < 0 ? -1 : set_metadata(rootfs, place, err);
}

static int put_entry(
	struct rootfs *rootfs, struct archive *tar, struct archive_entry *entry, struct err *err)
{
	const char *path = archive_entry_pathname(entry);
	struct place place = { .tar = tar, .entry = entry };
	auto_free char *clean = NULL;
	auto_fd int parent = -1;

	if (!path)
		return err_set(err, ERR_INVALID, "image.layer_path", "a name that cannot be read");
	if (++rootfs->files > rootfs->conf.max_files)
		return err_set(err, ERR_TOO_LARGE, "image.too_large",
			"the image has more than %lld files", rootfs->conf.max_files);
	if (rootfs_path_clean(path, &clean, err) < 0)
		return -1;
	if (!*clean) /* the folder itself keeps its owner and mode */
		return 0;
	if (is_whiteout(clean))
		return apply_whiteout(rootfs, clean, err);
	parent = rootfs_path_parent(rootfs->fd, clean, true, &place.name, err);
	place.parent = parent;
	return parent < 0 ? -1 : put_by_type(rootfs, &place, err);
}

static int unpack(
	struct rootfs *rootfs, struct archive *tar, struct rootfs_stream *stream, struct err *err)
{
	struct archive_entry *entry;
	int rc;

	if (archive_read_support_format_tar(tar) != ARCHIVE_OK ||
		archive_read_open(tar, stream, NULL, rootfs_stream_read, NULL) != ARCHIVE_OK)
		return err_set(
			err, ERR_INVALID, "image.layer_archive", "%s", archive_error_string(tar));
	while ((rc = archive_read_next_header(tar, &entry)) == ARCHIVE_OK)
		if (put_entry(rootfs, tar, entry, err) < 0)
			return -1;
	if (rc != ARCHIVE_EOF)
		return err_set(
			err, ERR_INVALID, "image.layer_archive", "%s", archive_error_string(tar));
	return 0;
}

int rootfs_layer(
	struct rootfs *rootfs, int layer_fd, char ret_diff_id[DIGEST_TEXT_SIZE], struct err *err)
{
	struct rootfs_stream *stream;
	struct archive *tar;
	char diff_id[DIGEST_TEXT_SIZE];
	long long bytes = 0;
	int rc;

	if (rootfs_stream_open(layer_fd, rootfs->conf.max_bytes - rootfs->bytes, &stream, err) < 0)
		return -1;
	tar = archive_read_new();
	rootfs->seen.count = 0;
	rc = unpack(rootfs, tar, stream, err);
	if (rootfs_stream_failure(stream, err) <
		0) /* says more than what the tar reader made of it */
		rc = -1;
	if (rc == 0)
		rc = rootfs_stream_finish(stream, diff_id, &bytes, err);
	archive_read_free(tar);
	rootfs_stream_free(stream);
	if (rc < 0)
		return -1;
	rootfs->bytes += bytes;
	memcpy(ret_diff_id, diff_id, sizeof(diff_id));
	return 0;
}

int rootfs_put_file(struct rootfs *rootfs, const char *path, const void *data, size_t len,
	unsigned mode, struct err *err)
{
	auto_free char *clean = NULL;
	const char *name;
	auto_fd int parent = -1, fd = -1;

	if (rootfs_path_clean(path, &clean, err) < 0)
		return -1;
	if (!*clean)
		return err_set(err, ERR_INVALID, "image.layer_path", "a file without a name");
	parent = rootfs_path_parent(rootfs->fd, clean, true, &name, err);
	if (parent < 0 || rootfs_path_remove(parent, name, NULL, err) < 0)
		return -1;
	fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write_all(fd, data, len, 0) < 0 || fchmod(fd, mode & 0777) < 0 ||
		(rootfs->conf.own && fchown(fd, owner(rootfs, 0), owner(rootfs, 0)) < 0))
		return err_errno(err, "write '%s'", path);
	return 0;
}
