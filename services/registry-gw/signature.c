/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of signature.h. A text that no named key signed is no signature but a plain layer. */
#include "services/registry-gw/signature.h"

#include <stdlib.h>
#include <string.h>

#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/reference.h"

#define PAYLOAD_KIND "cosign container image signature"
#define MAX_SIGNATURES 32

static int refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_FORBIDDEN, "signature.refused", "%s", why);
}

int signature_payload(
	const void *data, size_t len, char ret_image[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_json json_t *text = json_parse(data, len, NULL);
	const json_t *critical = json_object_get(text, "critical");
	const char *type = json_text(critical, "type");
	const char *image = json_text(json_object_get(critical, "image"), "docker-manifest-digest");

	if (!type || strcmp(type, PAYLOAD_KIND) != 0)
		return refuse(err, "the text is no simple signing of cosign's");
	if (!image || !reference_is_digest(image))
		return refuse(err, "the text names no sha256 digest of an image");
	memcpy(ret_image, image, DIGEST_TEXT_SIZE);
	return 0;
}

static bool is_by(const char *pem, const void *data, size_t len, const unsigned char *signature,
	size_t signature_len)
{
	auto_key EVP_PKEY *key = NULL;

	return rule_key(pem, &key, NULL) == 0 &&
	       cert_verify(key, data, len, signature, signature_len, NULL) == 0;
}

int signature_key(const struct rule *rule, const json_t *descriptor, const void *data, size_t len,
	const char **ret_spki, struct err *err)
{
	const char *text =
		json_text(json_object_get(descriptor, "annotations"), SIGNATURE_ANNOTATION);
	auto_free unsigned char *signature = NULL;
	const json_t *signer;
	size_t signature_len, i;

	if (!text || codec_b64_decode(text, strlen(text), &signature, &signature_len, NULL) < 0)
		return refuse(err, "it has no signature in its annotations");
	json_array_foreach (rule->signers, i, signer) {
		if (is_by(json_text(signer, "public_key"), data, len, signature, signature_len)) {
			*ret_spki = json_text(signer, "spki");
			return 0;
		}
	}
	return refuse(err, "its signature is by no key that the rule names");
}

static int fetch_payload(struct web_req *req, const struct access *access, const char *digest,
	struct fetch_response *ret_answer, struct err *err)
{
	const struct fetch_request call = {
		.method = "GET",
		.url = arena_printf(req->arena, "/v2/%s/blobs/%s", access->repository, digest),
		.max_response = SIGNATURE_MAX_PAYLOAD,
	};
	char found[DIGEST_TEXT_SIZE];

	if (backend_do(req, &call, ret_answer, err) < 0)
		return -1;
	if (ret_answer->status != 200)
		return err_set(err, ERR_INVALID, "manifest.blob_unknown",
			"it was not uploaded to '%s'", access->repository);
	digest_text(ret_answer->body.data, ret_answer->body.len, found);
	if (strcmp(found, digest) != 0)
		return err_set(err, ERR_UPSTREAM, "registry.failed",
			"the registry gave other bytes for '%s'", digest);
	return 0;
}

static int verify_layer(struct web_req *req, const struct access *access, const struct rule *rule,
	const json_t *descriptor, json_t *signatures, struct err *err)
{
	json_int_t size = json_integer_value(json_object_get(descriptor, "size"));
	auto_response answer = { .status = 0 };
	char image[DIGEST_TEXT_SIZE];
	const char *spki;

	if (size < 1 || size > (json_int_t)SIGNATURE_MAX_PAYLOAD)
		return refuse(err, "a signed text has 1 to 65536 bytes");
	if (fetch_payload(req, access, json_text(descriptor, "digest"), &answer, err) < 0 ||
		signature_key(rule, descriptor, answer.body.data, answer.body.len, &spki, err) <
			0 ||
		signature_payload(answer.body.data, answer.body.len, image, err) < 0)
		return -1;
	return json_array_append_new(signatures, json_pack("[s, s]", image, spki));
}

int signature_verify(struct web_req *req, const struct access *access, const struct rule *rule,
	const json_t *manifest, json_t **ret_signatures, struct err *err)
{
	const json_t *layers = json_object_get(manifest, "layers"), *layer;
	auto_json json_t *signatures = json_array();
	size_t i;

	if (json_array_size(layers) > MAX_SIGNATURES)
		return refuse(err, "more than 32 signatures in one manifest");
	json_array_foreach (layers, i, layer) {
		if (verify_layer(req, access, rule, layer, signatures, err) < 0)
			return err_wrap(err, "layer %zu", i);
	}
	*ret_signatures = take_ptr(signatures);
	return 0;
}
