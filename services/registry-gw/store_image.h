/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for images as the API shows them. Texts are the request arena's. */
#ifndef REGISTRY_GW_STORE_IMAGE_H
#define REGISTRY_GW_STORE_IMAGE_H

#include "lib/resource.h"
#include "services/registry-gw/store.h"

struct image_filter {
	const char *repository, *tag, *digest, *encrypted; /* NULL: any */
};
int store_image_list(struct web_req *req, const struct page *page,
	const struct image_filter *filter, json_t **ret_list, struct err *err);
extern const struct web_read store_image_read;

struct image {
	const char *id, *repository, *digest, *media_type, *kind;
	json_t *tags; /* lives as long as the request */
	long long revision;
};
/* image.not_found */
int store_image_get(struct web_req *req, const char *id, struct image *ret_image, struct err *err);
/* The repository as the caller reaches it by its role. */
struct access image_access(const struct web_req *req, const struct image *image);
/* image.in_index: an index names it. */
int store_image_unnamed(struct web_req *req, const struct image *image, struct err *err);

/* In the transaction of a manifest that replaces an image: the tags move and the image goes, or
 * image.not_found, resource.changed, image.tags_moved, image.in_index; of a part of an index,
 * manifest.not_found. */
int store_image_replace(struct db *db, const struct access *access, const struct manifest *manifest,
	struct err *err);
/* The id of the image with this digest. image.not_found */
int store_image_id(struct web_req *req, const struct access *access, const char *digest,
	const char **ret_id, struct err *err);

/* Images (ids joined by commas) that were pulled just now. */
int store_images_used(struct db *db, const char *ids, struct err *err);

#endif
