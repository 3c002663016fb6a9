/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of images as cosign stores them: a manifest (tag sha256-<hex>.sig, or a referrer)
 * whose layers are "simple signing" texts that name an image's digest, each with an ECDSA signature
 * in an annotation. They are verified when the manifest comes; rows say what was signed by whom.
 */
#ifndef REGISTRY_GW_SIGNATURE_H
#define REGISTRY_GW_SIGNATURE_H

#include <jansson.h>

#include "lib/digest.h"
#include "services/registry-gw/rule.h"
#include "services/registry-gw/store.h"

#define SIGNATURE_TYPE "application/vnd.dev.cosign.simplesigning.v1+json"
#define SIGNATURE_ANNOTATION "dev.cosignproject.cosign/signature"
#define SIGNATURE_MAX_PAYLOAD (64u * 1024)

/* The image's digest in a simple signing text. signature.refused */
int signature_payload(
	const void *data, size_t len, char ret_image[DIGEST_TEXT_SIZE], struct err *err);
/* By which of the rule's keys (its SPKI digest, borrowed) the descriptor's signature over the text
 * is. signature.refused */
int signature_key(const struct rule *rule, const json_t *descriptor, const void *data, size_t len,
	const char **ret_spki, struct err *err);

/* Every layer of a signature manifest is a signature by a key that the rule names:
 * [[image, spki], …]. signature.refused names the layer and the reason; manifest.blob_unknown. */
int signature_verify(struct web_req *req, const struct access *access, const struct rule *rule,
	const json_t *manifest, json_t **ret_signatures, struct err *err);

#endif
