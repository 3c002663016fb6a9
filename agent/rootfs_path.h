/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of a hostile archive, resolved inside one folder. */
#ifndef STRONGROOM_ROOTFS_PATH_H
#define STRONGROOM_ROOTFS_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

/* The files that one layer brought, by inode: an opaque folder loses all but these. */
struct rootfs_seen {
	uint64_t *inodes;
	size_t count, space;
	bool sorted;
};

/* Takes leading '/' and '.' parts out; image.layer_path when a part is '..' or too much of
 * anything.
 * "" is the folder itself. Caller frees. */
int rootfs_path_clean(const char *path, char **ret_clean, struct err *err);

/* Opens the parent of a clean path (O_PATH), following links as if `root_fd` were '/'; with `make`
 * missing folders are made. *ret_name points into `path`. Without `make`, a missing folder is -1
 * and image.layer_path. */
int rootfs_path_parent(
	int root_fd, const char *path, bool make, const char **ret_name, struct err *err);

/* Removes what `name` is, with everything below, following nothing. Not there: 0. With `keep`, what
 * it lists stays, and so do the folders above that. */
int rootfs_path_remove(int dir_fd, const char *name, struct rootfs_seen *keep, struct err *err);
/* Removes what is in the folder. */
int rootfs_path_empty(int dir_fd, struct rootfs_seen *keep, struct err *err);

void rootfs_path_seen_add(struct rootfs_seen *seen, uint64_t inode);

#endif
