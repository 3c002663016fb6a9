/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flattened JWS (RFC 7515) by the keys of people and machines. The algorithm follows from the key
 * alone: a header that says another one is refused before libjose sees it.
 */
#include <jose/jws.h>
#include <jose/openssl.h>
#include <openssl/err.h>

#include "lib/cert_key.h"
#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_SIGNATURE 1400u /* RSA-8192 in base64url */

static const char *const JWS_MEMBERS[] = { "protected", "payload", "signature", NULL };
static const char *const BASE_HEADER[] = { "alg", "typ", NULL };

static const char *algorithm_of(EVP_PKEY *key)
{
	char name[CERT_ALGORITHM_SIZE] = "";

	if (cert_key_algorithm(key, name, NULL) < 0)
		return NULL;
	if (strcmp(name, "EC-P256") == 0)
		return "ES256";
	if (strcmp(name, "EC-P384") == 0)
		return "ES384";
	return strncmp(name, "RSA-", 4) == 0 ? "PS256" : NULL;
}

/* The key as libjose wants it, and the algorithm that it may be used for. */
static int key_for(EVP_PKEY *key, json_t **ret_jwk, const char **ret_alg, struct err *err)
{
	const char *alg = algorithm_of(key);
	json_t *jwk = alg ? jose_openssl_jwk_from_EVP_PKEY(NULL, key) : NULL;

	ERR_clear_error();
	if (!jwk)
		return err_set(err, ERR_UNPROCESSABLE, "key.cannot_sign",
			"only P-256, P-384 and RSA keys sign for Strongroom");
	json_object_set_new(jwk, "alg", json_string(alg));
	*ret_jwk = jwk;
	*ret_alg = alg;
	return 0;
}

static int encode_payload(const json_t *payload, json_t **ret_text, struct err *err)
{
	char *text = NULL, *encoded;
	size_t len = 0;

	if (jcs_encode(payload, &text, &len, err) < 0)
		return -1;
	encoded = codec_b64url_text(text, len);
	*ret_text = json_string(encoded);
	mem_wipe_free(text, len);
	free(encoded);
	return 0;
}

int jose_sign(EVP_PKEY *key, const char *typ, const json_t *header, const json_t *payload,
	json_t **ret_jws, struct err *err)
{
	auto_json json_t *jwk = NULL, *text = NULL, *protected = NULL, *jws = NULL,
			 *template = NULL;
	const char *alg = NULL;

	if (key_for(key, &jwk, &alg, err) < 0 || encode_payload(payload, &text, err) < 0)
		return -1;
	protected = header ? json_deep_copy(header) : json_object();
	json_object_set_new(protected, "alg", json_string(alg));
	json_object_set_new(protected, "typ", json_string(typ));
	jws = json_pack("{s:O}", "payload", text);
	template = json_pack("{s:O}", "protected", protected);
	if (!jose_jws_sig(NULL, jws, template, jwk)) {
		ERR_clear_error();
		return err_set(err, ERR_INTERNAL, "internal.crypto", "cannot sign a %s", typ);
	}
	*ret_jws = take_ptr(jws);
	return 0;
}

/* --- verifying: everything but the signature --- */

static int check_envelope(const json_t *jws, struct err *err)
{
	static const char *const small[] = { "protected", NULL };
	static const char *const body[] = { "payload", NULL };
	static const char *const signature[] = { "signature", NULL };
	unsigned char *bytes = NULL;
	const json_t *text;
	size_t len = 0;

	if (!jose_shape_is(jws, JWS_MEMBERS, NULL))
		return err_set(err, ERR_INVALID, "jose.shape",
			"a JWS has exactly the members protected, payload and signature");
	if (jose_shape_texts(jws, small, JOSE_MAX_HEADER, err) < 0 ||
		jose_shape_texts(jws, body, JOSE_MAX_BODY, err) < 0 ||
		jose_shape_texts(jws, signature, MAX_SIGNATURE, err) < 0)
		return -1;
	text = json_object_get(jws, "signature");
	if (codec_b64url_decode(
		    json_string_value(text), json_string_length(text), &bytes, &len, NULL) < 0)
		return err_set(err, ERR_INVALID, "jose.shape", "the signature is not base64url");
	free(bytes);
	return 0;
}

static int check_header(const json_t *header, const char *typ, const char *alg,
	const char *const *members, struct err *err)
{
	size_t n = ARRAY_LEN(BASE_HEADER) - 1;

	if (jose_shape_texts(header, BASE_HEADER, 128, err) < 0 ||
		jose_shape_texts(header, members, 1024, err) < 0)
		return -1;
	for (size_t i = 0; members && members[i]; i++)
		n++;
	if (json_object_size(header) != n)
		return err_set(err, ERR_INVALID, "jose.shape",
			"the protected header has members that a %s does not have", typ);
	if (strcmp(json_text(header, "typ"), typ) != 0)
		return err_set(err, ERR_INVALID, "jose.typ", "this is not a %s", typ);
	if (strcmp(json_text(header, "alg"), alg) != 0)
		return err_set(
			err, ERR_INVALID, "jose.algorithm", "the key signs with %s only", alg);
	return 0;
}

int jose_verify(EVP_PKEY *key, const char *typ, const char *const *header_members,
	const json_t *jws, json_t **ret_header, json_t **ret_payload, struct err *err)
{
	auto_json json_t *jwk = NULL, *header = NULL, *payload = NULL;
	const char *alg = NULL;
	const json_t *text;

	if (key_for(key, &jwk, &alg, err) < 0 || check_envelope(jws, err) < 0 ||
		jose_shape_header(jws, &header, err) < 0 ||
		check_header(header, typ, alg, header_members, err) < 0)
		return -1;
	text = json_object_get(jws, "payload");
	if (jose_shape_decode(json_string_value(text), json_string_length(text), JOSE_MAX_BODY,
		    &payload, err) < 0)
		return -1;
	if (!jose_jws_ver(NULL, jws, NULL, jwk, true)) {
		ERR_clear_error();
		return err_set(err, ERR_UNPROCESSABLE, "jose.signature",
			"the signature of this %s is not by the given key", typ);
	}
	if (ret_header)
		*ret_header = take_ptr(header);
	if (ret_payload)
		*ret_payload = take_ptr(payload);
	return 0;
}
