/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image's layers become a folder. The tar comes from whoever made the image, so it is hostile:
 * no entry leaves the folder by `..`, by an absolute path, or through a link of an earlier entry
 * (paths are resolved by the kernel inside the folder); device nodes, pipes and set-id bits do not
 * arrive. Whiteouts of the OCI layer format are applied. While a layer is unpacked its diff_id is
 * computed: the caller compares before it runs anything.
 */
#ifndef STRONGROOM_ROOTFS_H
#define STRONGROOM_ROOTFS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/digest.h"
#include "lib/err.h"

struct rootfs;

struct rootfs_conf {
	const char *dir;     /* exists; alone on its file system or empty */
	bool own;	     /* give files their owner, shifted by uid_base (needs root) */
	unsigned uid_base;   /* JAIL_UID_BASE */
	long long max_bytes; /* uncompressed, all layers together: image.too_large */
	long long max_files;
};

/* `conf` is copied, its text is not. */
int rootfs_new(const struct rootfs_conf *conf, struct rootfs **ret_rootfs, struct err *err);
void rootfs_free(struct rootfs *rootfs); /* NULL is fine; the folder stays */

/* One layer: tar, tar+gzip or tar+zstd from layer_fd's present position. Lowest layer first. Codes:
 * image.layer_archive, image.layer_path, image.layer_type, image.layer_link, image.too_large. After
 * a failure the folder is of no use. */
int rootfs_layer(struct rootfs *rootfs, int layer_fd, char ret_diff_id[DIGEST_TEXT_SIZE],
	struct err *err) __attribute__((warn_unused_result));

/* A file of ours (config_files of a policy) over whatever the image has at that absolute path; uid
 * and gid 0. */
int rootfs_put_file(struct rootfs *rootfs, const char *path, const void *data, size_t len,
	unsigned mode, struct err *err) __attribute__((warn_unused_result));

#endif
