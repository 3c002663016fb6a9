/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests by tag or digest: exact bytes in and out, checked on the way in. */
#ifndef REGISTRY_GW_MANIFESTS_H
#define REGISTRY_GW_MANIFESTS_H

#include "services/registry-gw/store.h"

#define MANIFEST_MAX_BYTES (4u * 1024u * 1024u)

web_handler manifest_show, manifest_put, manifest_delete;

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
/* Appends each ?tag=. manifest.bad_reference */
int manifest_read_tags(const struct web_req *req, json_t *tags, struct err *err);

#endif
