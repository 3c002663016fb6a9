/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a manifest that this gateway takes; pure functions over parsed JSON. */
#ifndef REGISTRY_GW_MANIFEST_CHECK_H
#define REGISTRY_GW_MANIFEST_CHECK_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

struct manifest_facts {
	bool index;
	const char *subject;	   /* digest of what it refers to; NULL: nothing */
	const char *artifact_type; /* for who asks what refers to its subject; NULL: none */
	const json_t *annotations; /* NULL: none */
	json_t *links;		   /* [[kind, digest], …] of what it names; the caller's */
};

/* Every layer encrypted (lib/ocicrypt.h), or an index. Facts are borrowed from `manifest`.
 * manifest.invalid, manifest.not_encrypted. */
int manifest_check(const json_t *manifest, const char *media_type, struct manifest_facts *ret_facts,
	struct err *err);

#endif
