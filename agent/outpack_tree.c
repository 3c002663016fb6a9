/* SPDX-License-Identifier: Apache-2.0 */
/* Lists a hostile folder breadth first: the list is its own queue, so depth costs nothing. */
#include "agent/outpack_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/mem.h"

#define MAX_PATH 1024u

static int open_beneath(int root_fd, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

static const char *verdict(const struct outpack_entry *entry, dev_t dev)
{
	if (strlen(entry->path) > MAX_PATH)
		return "path";
	if (entry->st.st_dev != dev)
		return "mount";
	switch (entry->st.st_mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
		return NULL;
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	default:
		return "device";
	}
}

static int add_entry(struct outpack_tree *tree, int dir_fd, const char *parent, const char *name,
	dev_t dev, struct err *err)
{
	struct outpack_entry entry = { 0 };

	if ((long long)tree->count >= tree->max_files) {
		tree->skipped++;
		return 0;
	}
	if (fstatat(dir_fd, name, &entry.st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "look at an output file");
	entry.path = *parent ? mem_printf("%s/%s", parent, name) : mem_strdup(name);
	entry.skip = verdict(&entry, dev);
	if (tree->count == tree->space) {
		tree->space = tree->space ? tree->space * 2 : 64;
		tree->entries = mem_grow(tree->entries, tree->space, sizeof(*tree->entries));
	}
	tree->entries[tree->count++] = entry;
	return 0;
}

static int list_folder(struct outpack_tree *tree, const char *path, dev_t dev, struct err *err)
{
	int fd = open_beneath(tree->root_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *item;
	int rc = 0;

	if (!dir) {
		err_errno(err, "list the output");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (rc == 0 && (item = readdir(dir)))
		if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
			rc = add_entry(tree, fd, path, item->d_name, dev, err);
	closedir(dir);
	return rc;
}

static int by_inode(const void *a, const void *b)
{
	const struct outpack_entry *const *x = a, *const *y = b;

	return ((*x)->st.st_ino > (*y)->st.st_ino) - ((*x)->st.st_ino < (*y)->st.st_ino);
}

static int by_path(const void *a, const void *b)
{
	const struct outpack_entry *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* A file with more names than the folder holds is somebody else's too: none of its names is packed.
 */
static void judge_hardlinks(struct outpack_tree *tree)
{
	struct outpack_entry **order = mem_array(tree->count, sizeof(struct outpack_entry *));
	size_t first = 0, last;

	for (size_t i = 0; i < tree->count; i++)
		order[i] = &tree->entries[i];
	qsort(order, tree->count, sizeof(struct outpack_entry *), by_inode);
	for (; first < tree->count; first = last) {
		for (last = first;
			last < tree->count && by_inode(&order[first], &order[last]) == 0;)
			last++;
		for (size_t i = first; i < last; i++)
			if (S_ISREG(order[i]->st.st_mode) && order[i]->st.st_nlink != last - first)
				order[i]->skip = "hardlink";
	}
	free(order);
}

/* In the order of packing: what fits is packed, what does not is left out. */
static void judge_sizes(struct outpack_tree *tree, long long max_bytes)
{
	long long room = max_bytes;

	for (size_t i = 0; i < tree->count; i++) {
		struct outpack_entry *entry = &tree->entries[i];

		if (!entry->skip && S_ISREG(entry->st.st_mode)) {
			if (entry->st.st_size > room)
				entry->skip = "size";
			else
				room -= entry->st.st_size;
		}
		tree->skipped += entry->skip != NULL;
	}
}

static int list_all(struct outpack_tree *tree, const char *dir, struct err *err)
{
	struct stat root;

	tree->root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (tree->root_fd < 0 || fstat(tree->root_fd, &root) < 0)
		return err_errno(err, "open the output folder");
	if (list_folder(tree, "", root.st_dev, err) < 0)
		return -1;
	for (size_t i = 0; i < tree->count; i++) {
		const struct outpack_entry *entry = &tree->entries[i];
		auto_free char *path = mem_strdup(entry->path); /* the list moves while it grows */

		if (!entry->skip && S_ISDIR(entry->st.st_mode) &&
			list_folder(tree, path, root.st_dev, err) < 0)
			return -1;
	}
	return 0;
}

int outpack_tree_read(const char *dir, long long max_files, long long max_bytes,
	struct outpack_tree *ret_tree, struct err *err)
{
	struct outpack_tree tree = { .root_fd = -1, .max_files = max_files };

	if (list_all(&tree, dir, err) < 0) {
		outpack_tree_release(&tree);
		return -1;
	}
	judge_hardlinks(&tree);
	if (tree.count > 0)
		qsort(tree.entries, tree.count, sizeof(*tree.entries), by_path);
	judge_sizes(&tree, max_bytes);
	*ret_tree = tree;
	return 0;
}

int outpack_tree_open(
	const struct outpack_tree *tree, const struct outpack_entry *entry, struct err *err)
{
	auto_fd int fd = open_beneath(tree->root_fd, entry->path, O_RDONLY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "open an output file");
	if (st.st_ino != entry->st.st_ino || st.st_dev != entry->st.st_dev ||
		st.st_size != entry->st.st_size || !S_ISREG(st.st_mode))
		return err_set(err, ERR_INTERNAL, "output.changed",
			"an output file changed while it was packed");
	return take_fd(fd);
}

void outpack_tree_release(struct outpack_tree *tree)
{
	for (size_t i = 0; i < tree->count; i++)
		free(tree->entries[i].path);
	free(tree->entries);
	if (tree->root_fd >= 0)
		close(tree->root_fd);
	*tree = (struct outpack_tree) { .root_fd = -1 };
}
