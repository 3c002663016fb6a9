/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a manifest that this gateway takes; pure functions over parsed JSON. */
#ifndef REGISTRY_GW_MANIFEST_CHECK_H
#define REGISTRY_GW_MANIFEST_CHECK_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

/* Every layer encrypted (lib/ocicrypt.h), or an index. *ret_links: [[kind, digest], …] of what it
 * names. manifest.invalid, manifest.not_encrypted. */
int manifest_check(const json_t *manifest, const char *media_type, bool *ret_index,
	json_t **ret_links, struct err *err);
/* tag of the OCI specification */
bool manifest_is_tag(const char *text);

#endif
