/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs: HEAD and DELETE here, GET through the relay. */
#ifndef REGISTRY_GW_BLOBS_H
#define REGISTRY_GW_BLOBS_H

#include "services/registry-gw/access.h"

web_handler blob_head, blob_delete;

/* Whether the caller may have the blob of the route's {digest}. */
int blob_check(
	struct web_req *req, struct web_res *res, struct access *ret_access, struct err *err);

#endif
