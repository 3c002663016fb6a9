/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests by tag or digest: exact bytes in and out, checked on the way in. */
#ifndef REGISTRY_GW_MANIFESTS_H
#define REGISTRY_GW_MANIFESTS_H

#include "services/registry-gw/store.h"

#define MANIFEST_MAX_BYTES (4u * 1024u * 1024u)

web_handler manifest_show, manifest_put, manifest_delete;
extern const struct web_read manifest_read; /* a member's manifest_show by digest */

struct manifest_bytes {
	const char *data;
	size_t len;
	const char *media_type;
	const char *digest; /* that they must have; NULL: any */
	const json_t *tags; /* texts */
	const struct replaced *replaces;
};

/* As far as it can be told before anything is uploaded. manifest.invalid, and those of rule_admit()
 */
int manifest_examine(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, struct err *err);
/* Checks the bytes, gives them to the registry and writes the row with its tags: what every PUT
 * does. */
int manifest_add(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, struct manifest *ret_manifest, struct err *err);
/* The same of several that are there together or not at all: what an index names before it.
 * *ret_last lives as long as the request. */
int manifest_add_all(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, size_t n_bytes, struct manifest *ret_last,
	struct err *err);
/* Warning headers, which clients show, about one that was not there before: that it is not
 * encrypted, that the quota is nearly full. */
void manifest_warn(struct web_req *req, struct web_res *res, const struct manifest *manifest);
/* Appends each ?tag=. manifest.bad_reference */
int manifest_read_tags(const struct web_req *req, json_t *tags, struct err *err);

#endif
