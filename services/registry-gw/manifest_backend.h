/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest's bytes at the registry behind, which knows it by digest only. */
#ifndef REGISTRY_GW_MANIFEST_BACKEND_H
#define REGISTRY_GW_MANIFEST_BACKEND_H

#include "services/registry-gw/manifests.h"
#include "services/registry-gw/store.h"

const char *manifest_path(struct web_req *req, const struct access *access, const char *reference);

/* From memory or the registry, good as long as the request. manifest.not_found when the registry
 * has it no more, registry.failed when it has something else. */
int manifest_get_bytes(struct web_req *req, const struct access *access, const char *digest,
	const char **ret_data, size_t *ret_len, struct err *err);
/* manifest.blob_unknown, manifest.invalid */
int manifest_put_bytes(struct web_req *req, const struct access *access,
	const struct manifest *manifest, const struct manifest_bytes *bytes, struct err *err);

#endif
