/* SPDX-License-Identifier: Apache-2.0 */
/* Challenge, proof, registration. */
#include "client/certificate.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

static bool is_hex64(const char *text)
{
	return text && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static int get_challenge(struct api *api, const char *spki, json_t **ret_challenge, struct err *err)
{
	auto_json json_t *body = json_pack("{s:s}", "spki", spki);
	struct api_call call = { .label = "challenge",
		.audience = "certreg",
		.method = "POST",
		.path = "/v1/challenges",
		.body = body };

	if (api_call(api, &call, ret_challenge, NULL, err) < 0)
		return -1;
	if (!json_text(*ret_challenge, "id") || !is_hex64(json_text(*ret_challenge, "nonce")))
		return err_set(err, ERR_UPSTREAM, "upstream.answer", "the challenge is malformed");
	return 0;
}

static int sign(EVP_PKEY *key, const char *message, json_t **ret_signature, struct err *err)
{
	auto_free unsigned char *signature = NULL;
	auto_free char *encoded = NULL;
	size_t len = 0;

	if (cert_sign(key, message, strlen(message), &signature, &len, err) < 0)
		return -1;
	encoded = codec_b64_text(signature, len);
	*ret_signature = json_string(encoded);
	return 0;
}

/* {challenge, client_nonce, signature}, and the message that was signed. */
static int make_proof(
	struct api *api, EVP_PKEY *key, json_t **ret_proof, char **ret_message, struct err *err)
{
	auto_json json_t *challenge = NULL, *signature = NULL;
	const json_t *tenant = api_tenant(api, err);
	char spki[DIGEST_TEXT_SIZE], nonce[CODEC_HEX_SIZE(32)];
	auto_free char *message = NULL;
	unsigned char random[32];

	rand_bytes(random, sizeof(random));
	codec_hex(random, sizeof(random), nonce);
	if (!tenant || cert_spki(key, spki, err) < 0 ||
		get_challenge(api, spki, &challenge, err) < 0)
		return -1;
	message = mem_printf("strongroom-cert-pop-v1\n%s\n%s\n%s\n%s\n%s\n", api_profile(api)->url,
		json_text(tenant, "name"), spki, json_text(challenge, "nonce"), nonce);
	if (sign(key, message, &signature, err) < 0)
		return -1;
	*ret_proof = json_pack("{s:s,s:s,s:O}", "challenge", json_text(challenge, "id"),
		"client_nonce", nonce, "signature", signature);
	*ret_message = take_ptr(message);
	return 0;
}

/* {certificate_pem, proof} of a certificate in a file. */
static int make_body(struct api *api, const char *pem_path, EVP_PKEY *key, json_t **ret_body,
	char **ret_message, struct err *err)
{
	auto_buf pem = BUF_INIT(64 * 1024);
	auto_json json_t *proof = NULL;
	auto_free char *message = NULL;
	json_t *body;

	if (buf_read_file(&pem, pem_path, err) < 0 ||
		make_proof(api, key, &proof, &message, err) < 0)
		return -1;
	body = json_pack("{s:s#,s:O}", "certificate_pem", pem.data, (int)pem.len, "proof", proof);
	if (!body)
		return err_set(err, ERR_INVALID, "cert.syntax", "'%s' is no PEM text", pem_path);
	*ret_body = body;
	*ret_message = take_ptr(message);
	return 0;
}

int certificate_register(struct api *api, const char *pem_path, const char *name, EVP_PKEY *key,
	char **ret_id, struct err *err)
{
	auto_json json_t *body = NULL, *record = NULL;
	auto_free char *message = NULL;
	struct api_call call = { .label = "register-certificate",
		.audience = "certreg",
		.method = "POST",
		.path = "/v1/certificates" };

	if (make_body(api, pem_path, key, &body, &message, err) < 0)
		return -1;
	if (name)
		json_object_set_new(body, "name", json_string(name));
	call.body = body;
	if (api_call(api, &call, &record, NULL, err) < 0)
		return -1;
	if (!json_text(record, "id"))
		return err_set(err, ERR_UPSTREAM, "upstream.answer", "the certificate has no id");
	*ret_id = mem_strdup(json_text(record, "id"));
	return 0;
}

int certificate_rotate(struct api *api, const struct certificate_rotation *rotation,
	json_t **ret_record, struct err *err)
{
	auto_free char *path = mem_printf("/v1/certificates/%s:rotate", rotation->id);
	auto_json json_t *body = NULL, *signature = NULL;
	auto_free char *message = NULL;
	struct api_call call = {
		.label = "rotate-certificate", .audience = "certreg", .method = "POST", .path = path
	};

	if (make_body(api, rotation->pem_path, rotation->key, &body, &message, err) < 0 ||
		sign(rotation->old_key, message, &signature, err) < 0)
		return -1;
	json_object_set_new(body, "proof_old", json_pack("{s:O}", "signature", signature));
	if (rotation->overlap_seconds >= 0)
		json_object_set_new(
			body, "overlap_seconds", json_integer(rotation->overlap_seconds));
	call.body = body;
	return api_call(api, &call, ret_record, NULL, err);
}
