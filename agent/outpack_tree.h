/* SPDX-License-Identifier: Apache-2.0 */
/* The list of what is in /output, with the verdict on each entry; outpack.c packs from it. */
#ifndef STRONGROOM_OUTPACK_TREE_H
#define STRONGROOM_OUTPACK_TREE_H

#include <stddef.h>
#include <sys/stat.h>

#include "lib/err.h"

struct outpack_entry {
	char *path; /* below the folder, no leading slash */
	struct stat st;
	const char *skip; /* why it is left out, or NULL: "symlink", "device", "fifo", "socket",
			   * "hardlink", "path", "size", "mount" */
};

struct outpack_tree {
	int root_fd;
	struct outpack_entry *entries; /* sorted by path */
	size_t count, space;
	long long skipped;   /* entries with a verdict, and those not listed at all */
	long long max_files; /* listed at most */
};

int outpack_tree_read(const char *dir, long long max_files, long long max_bytes,
	struct outpack_tree *ret_tree, struct err *err);
/* Opens a regular file of the list; output.changed when it is no longer what was listed. */
int outpack_tree_open(
	const struct outpack_tree *tree, const struct outpack_entry *entry, struct err *err);
void outpack_tree_release(struct outpack_tree *tree);

#endif
