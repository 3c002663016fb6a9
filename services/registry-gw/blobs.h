/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs: HEAD and DELETE here, GET through the relay. */
#ifndef REGISTRY_GW_BLOBS_H
#define REGISTRY_GW_BLOBS_H

#include "services/registry-gw/store.h"

web_handler blob_head, blob_delete;
extern const struct web_read blob_read; /* a member's blob_head */

/* Whether the caller may have the blob of the route's {digest}, and its size. */
int blob_check(struct web_req *req, struct web_res *res, struct access *ret_access,
	long long *ret_size, struct err *err);
/* The size of a blob of the repository. blob.not_found */
int blob_find(struct web_req *req, const struct access *access, const char *digest,
	long long *ret_size, struct err *err);
/* store_expect(), which waits while the same is being deleted at the registry. */
int blob_expect(struct web_req *req, const struct access *access, enum store_kind kind,
	const char *digest, const struct upload *upload, struct err *err);

#endif
