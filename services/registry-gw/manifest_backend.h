/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest's bytes at the registry behind, which knows it by digest only. */
#ifndef REGISTRY_GW_MANIFEST_BACKEND_H
#define REGISTRY_GW_MANIFEST_BACKEND_H

#include "lib/fetch.h"
#include "services/registry-gw/manifests.h"
#include "services/registry-gw/store.h"

const char *manifest_path(struct web_req *req, const struct access *access, const char *reference);

/* manifest.not_found when the registry has it no more. */
int manifest_get_bytes(struct web_req *req, const struct access *access, const char *digest,
	struct fetch_response *ret_answer, struct err *err);

struct manifest_part {
	struct web_req *req;
	const struct access *access;
	const struct manifest *manifest;
	const struct manifest_bytes *bytes; /* to put; or NULL */
};
/* The registry's part of a change of rows. */
store_part manifest_put_bytes, manifest_delete_bytes;

#endif
