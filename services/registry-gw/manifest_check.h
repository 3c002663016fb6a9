/* SPDX-License-Identifier: Apache-2.0 */
/* What a manifest is, and what it says of itself; pure functions over parsed JSON. */
#ifndef REGISTRY_GW_MANIFEST_CHECK_H
#define REGISTRY_GW_MANIFEST_CHECK_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

struct manifest_facts {
	bool index;
	bool signature;		   /* every layer says that it is one (signature.h) */
	bool encrypted;		   /* every layer of an image; an index's children are asked */
	const char *subject;	   /* digest of what it refers to; NULL: nothing */
	const char *artifact_type; /* for who asks what refers to its subject; NULL: none */
	const json_t *annotations; /* NULL: none */
	json_t *links;		   /* [[kind, digest], …] of what it names; the caller's */
	json_t *layers;		   /* of ocicrypt_check_layers(); NULL: an index; the caller's */
	long long bytes;	   /* of config and layers, as it says */
};

/* A manifest or an index whose encrypted layers are encrypted well (lib/ocicrypt.h). Facts are
 * borrowed from `manifest`. manifest.invalid, manifest.not_encrypted. */
int manifest_check(const json_t *manifest, const char *media_type, struct manifest_facts *ret_facts,
	struct err *err);
void manifest_facts_release(struct manifest_facts *facts);

struct recipients {
	json_t *list;	/* [{"scheme","kid","issuer_serial","issuer","serial","layers","packets"}];
			   the caller's */
	long long most; /* of one layer */
};
/* Whom an image is encrypted for: each once, with the number of layers and packets. */
struct recipients recipients_of(const json_t *layers);

#endif
