/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI image layout (image-spec, image-layout.md) as a folder: oci-layout, index.json,
 * blobs/sha256/<hex>. Reading never follows a link and never trusts a size or digest that it did
 * not compare; a blob gets its name only when it is complete.
 */
#ifndef STRONGROOM_OCI_LAYOUT_H
#define STRONGROOM_OCI_LAYOUT_H

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/oci.h"

/* Makes the folder (0700) and what must be in it. */
int oci_layout_create(const char *dir, struct err *err);

/* index.json, with at least one descriptor in `manifests`; whoever follows them reads them by
 * oci_blob_read(). oci.layout, oci.index */
int oci_layout_list(const char *dir, json_t **ret_index, struct err *err)
	__attribute__((warn_unused_result));
/* The one image manifest that index.json leads to, see oci_index_choose(). oci.layout, oci.index */
int oci_layout_find(const char *dir, const char *architecture, struct oci_blob *ret_manifest,
	struct err *err) __attribute__((warn_unused_result));
/* A regular file of the right size, from its start; its digest is the caller's to compare.
 * oci.no_blob, oci.digest */
int oci_layout_open(const char *dir, const struct oci_blob *blob, int *ret_fd, struct err *err)
	__attribute__((warn_unused_result));
/* A whole document into `buf`, whose maximum holds; digest compared. */
int oci_layout_read(const char *dir, const struct oci_blob *blob, struct buf *buf, struct err *err)
	__attribute__((warn_unused_result));

/* A small blob at once. */
int oci_layout_add(const char *dir, const char *type, const void *data, size_t len,
	struct oci_blob *ret_blob, struct err *err) __attribute__((warn_unused_result));
/* A large one: write to *ret_fd, then keep it under its digest. The caller frees *ret_path, and
 * closes the descriptor; a file that is not kept is the caller's to unlink. */
int oci_layout_new_blob(const char *dir, char **ret_path, int *ret_fd, struct err *err)
	__attribute__((warn_unused_result));
int oci_layout_keep_blob(const char *dir, const char *path, int fd, const char *digest,
	struct err *err) __attribute__((warn_unused_result));

int oci_layout_write_index(const char *dir, const json_t *index, struct err *err)
	__attribute__((warn_unused_result));
/* Writes index.json: this manifest, under a reference name (or NULL). */
int oci_layout_index(const char *dir, const struct oci_blob *manifest, const char *name,
	struct err *err) __attribute__((warn_unused_result));

#endif
