/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents of an image from the top: an index leads to further documents, a manifest to its
 * config and layers. What a step changes goes up: a document that was changed, or whose children
 * were, is written anew, any other byte for byte as it was read. Steps may be NULL.
 */
#ifndef STRONGROOM_CLIENT_IMAGE_WALK_H
#define STRONGROOM_CLIENT_IMAGE_WALK_H

#include <jansson.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/oci.h"

struct image_walk {
	int (*read)(void *arg, const struct oci_blob *document, struct buf *buf, struct err *err);
	/* Index or manifest, before anything in it. */
	int (*document)(void *arg, json_t *descriptor, json_t *document, struct err *err);
	int (*layer)(void *arg, json_t *descriptor, struct err *err);
	int (*config)(void *arg, json_t *descriptor, struct err *err);
	int (*write)(void *arg, const struct oci_blob *document, const void *text, size_t len,
		struct err *err);
	void *arg;
};

/* Changes mediaType, digest and size of `descriptor` where they change. oci.*, and the steps' own.
 */
int image_walk(const struct image_walk *walk, json_t *descriptor, struct err *err)
	__attribute__((warn_unused_result));

/* How many bytes the layers and configs have. */
int image_walk_size(const struct image_walk *walk, json_t *descriptor, long long *ret_size,
	struct err *err) __attribute__((warn_unused_result));

#endif
