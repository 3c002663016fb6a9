/* SPDX-License-Identifier: Apache-2.0 */
/* Every source is copied while the old root is there, and attached when it is gone: no path is ever
 * resolved between the two. */
#include "launcher/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/mem.h"

#define SITE "/tmp" /* any folder of the old root: the new one is there for a moment */

static const unsigned attributes[] = {
	[ROOT_READ] = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY,
	[ROOT_WRITE] = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
	[ROOT_DEVICE] = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
};

/* The mount at a path, attached nowhere yet. */
static int copy_mount(const struct root_entry *entry)
{
	struct mount_attr attr = { .attr_set = attributes[entry->kind] };
	auto_fd int fd = open_tree(
		AT_FDCWD, entry->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return -1;
	return take_fd(fd);
}

static int enter_empty(void)
{
	if (mount("root", SITE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755") < 0 ||
		chdir(SITE) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
		umount2(".", MNT_DETACH) < 0)
		return -1;
	return chdir("/");
}

/* An empty file or folder to mount on, and the folders above it. */
static int make_point(const char *path, bool is_folder)
{
	auto_free char *above = mem_strdup(path);
	auto_fd int file = -1;

	for (char *slash = strchr(above + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(above, 0755) < 0 && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	if (is_folder)
		return mkdir(path, 0755) < 0 && errno != EEXIST ? -1 : 0;
	file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	return file < 0 ? -1 : 0;
}

static int attach(const char *path, int mount_fd)
{
	struct stat info;

	if (fstat(mount_fd, &info) < 0 || make_point(path, S_ISDIR(info.st_mode)) < 0)
		return -1;
	return move_mount(mount_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
}

int root_enter(const struct root_entry *entries, size_t count, const char **ret_what)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	int mounts[ROOT_MAX];

	*ret_what = "the root";
	umask(022);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		*ret_what = entries[i].path;
		mounts[i] = copy_mount(&entries[i]);
		if (mounts[i] < 0)
			return -1;
	}
	*ret_what = "the root";
	if (enter_empty() < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		*ret_what = entries[i].path;
		if (attach(entries[i].path, mounts[i]) < 0)
			return -1;
		close(mounts[i]);
	}
	return mount_setattr(AT_FDCWD, "/", 0, &read_only, sizeof(read_only));
}
