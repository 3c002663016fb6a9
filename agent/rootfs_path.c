/* SPDX-License-Identifier: Apache-2.0 */
/* openat2(RESOLVE_IN_ROOT) does the resolving: this file never compares texts to find out where a
 * link goes. */
#include "agent/rootfs_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/mem.h"

#define MAX_PATH 4000u
#define MAX_DEPTH 100u

int rootfs_path_clean(const char *path, char **ret_clean, struct err *err)
{
	auto_free char *copy = mem_strdup(path), *clean = mem_alloc(strlen(path) + 1);
	char *rest = copy, *part, *out = clean;
	unsigned depth = 0;

	if (strlen(path) > MAX_PATH)
		return err_set(err, ERR_INVALID, "image.layer_path", "a path is too long");
	while ((part = strsep(&rest, "/"))) {
		if (!*part || strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0)
			return err_set(err, ERR_INVALID, "image.layer_path", "'..' in '%s'", path);
		if (strlen(part) > NAME_MAX || ++depth > MAX_DEPTH)
			return err_set(err, ERR_INVALID, "image.layer_path",
				"a path is too deep or a name too long");
		if (out != clean)
			*out++ = '/';
		out = stpcpy(out, part);
	}
	*ret_clean = take_ptr(clean);
	return 0;
}

static int open_folder(int root_fd, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV };

	return (int)syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
}

/* Depth is bounded by rootfs_path_clean(). What is made is its parent's owner's. */
static int make_folder(int root_fd, const char *path, struct err *err)
{
	int fd = open_folder(root_fd, path);
	const char *name;
	auto_fd int parent = -1;
	struct stat st;

	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return err_set(err, ERR_INVALID, "image.layer_path", "'%s' is not a folder", path);
	parent = rootfs_path_parent(root_fd, path, true, &name, err);
	if (parent < 0)
		return -1;
	if (fstat(parent, &st) < 0 || mkdirat(parent, name, 0755) < 0 ||
		fchownat(parent, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
		(fd = open_folder(root_fd, path)) < 0)
		return err_set(err, ERR_INVALID, "image.layer_path", "'%s' cannot be made", path);
	return fd;
}

int rootfs_path_parent(
	int root_fd, const char *path, bool make, const char **ret_name, struct err *err)
{
	const char *slash = strrchr(path, '/');
	auto_free char *folder = mem_strndup(path, slash ? (size_t)(slash - path) : 0);
	int fd = make ? make_folder(root_fd, folder, err) : open_folder(root_fd, folder);

	if (fd < 0 && !make)
		return err_set(err, ERR_INVALID, "image.layer_path", "'%s' is not there", folder);
	if (fd >= 0)
		*ret_name = slash ? slash + 1 : path;
	return fd;
}

void rootfs_path_seen_add(struct rootfs_seen *seen, uint64_t inode)
{
	if (seen->count == seen->space) {
		seen->space = seen->space ? seen->space * 2 : 256;
		seen->inodes = mem_grow(seen->inodes, seen->space, sizeof(*seen->inodes));
	}
	seen->inodes[seen->count++] = inode;
	seen->sorted = false;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool is_seen(struct rootfs_seen *seen, uint64_t inode)
{
	if (!seen || seen->count == 0)
		return false;
	if (!seen->sorted)
		qsort(seen->inodes, seen->count, sizeof(*seen->inodes), by_number);
	seen->sorted = true;
	return bsearch(&inode, seen->inodes, seen->count, sizeof(*seen->inodes), by_number) != NULL;
}

/* A folder to be emptied: a real one, right here, and not where another file system begins. */
static int open_real_folder(int dir_fd, const char *name)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };

	return (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
}

/* Names first, then removal: a folder that changes while it is read may skip entries. */
static int list_names(int dir_fd, char ***ret_names, size_t *ret_count, struct err *err)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *item;
	char **names = NULL;
	size_t count = 0;

	if (!dir)
		return err_errno(err, "list a folder of the image");
	while ((item = readdir(dir))) {
		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
			continue;
		if ((count & (count - 1)) == 0)
			names = mem_grow(names, count ? count * 2 : 1, sizeof(*names));
		names[count++] = mem_strdup(item->d_name);
	}
	closedir(dir);
	*ret_names = names;
	*ret_count = count;
	return 0;
}

int rootfs_path_empty(int dir_fd, struct rootfs_seen *keep, struct err *err)
{
	char **names = NULL;
	size_t count = 0;
	int rc = 0;

	if (list_names(dir_fd, &names, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (rc == 0)
			rc = rootfs_path_remove(dir_fd, names[i], keep, err);
		free(names[i]);
	}
	free(names);
	return rc;
}

int rootfs_path_remove(int dir_fd, const char *name, struct rootfs_seen *keep, struct err *err)
{
	auto_fd int fd = -1;
	struct stat st;
	bool kept;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_errno(err, "look at '%s'", name);
	kept = is_seen(keep, st.st_ino);
	if (!S_ISDIR(st.st_mode)) {
		if (!kept && unlinkat(dir_fd, name, 0) < 0)
			return err_errno(err, "remove '%s'", name);
		return 0;
	}
	fd = open_real_folder(dir_fd, name);
	if (fd < 0)
		return err_errno(err, "open '%s'", name);
	if (rootfs_path_empty(fd, keep, err) < 0)
		return -1;
	if (!kept && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY)
		return err_errno(err, "remove '%s'", name);
	return 0;
}
