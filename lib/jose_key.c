/* SPDX-License-Identifier: Apache-2.0 */
/*
 * P-256 keys as JWK (RFC 7517, 7518) and as EVP_PKEY, both ways, and thumbprints (RFC 7638).
 * Private keys live in jansson's memory while they are JWKs, so everything that jansson frees is
 * wiped first.
 */
#include <jose/jwk.h>
#include <malloc.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "lib/cert_key.h"
#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"

#define COORDINATE 32
#define POINT (1 + 2 * COORDINATE)

static const char *const POINT_MEMBERS[] = { "kty", "crv", "x", "y", NULL };
static const char *const PUBLIC_MEMBERS[] = { "kty", "crv", "x", "y", "use", "alg", NULL };
static const char *const OTHER_MEMBERS[] = { "use", "alg", "kid", "d", NULL };

static void wiping_free(void *ptr)
{
	if (ptr)
		explicit_bzero(ptr, malloc_usable_size(ptr));
	free(ptr);
}

/* Before main(), so that nothing is freed by another function than it was made for. */
__attribute__((constructor)) static void wipe_json_memory(void)
{
	json_set_alloc_funcs(malloc, wiping_free);
}

void evp_key_cleanup(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static int invalid(struct err *err, const char *what)
{
	ERR_clear_error();
	return err_set(err, ERR_INVALID, "key.invalid", "%s", what);
}

static const char *algorithm_for(const char *use)
{
	return strcmp(use, "enc") == 0 ? "ECDH-ES+A256KW" : "ES256";
}

/* --- JWK -> EVP --- */

static int read_point(const json_t *jwk, unsigned char ret_point[POINT], struct err *err)
{
	const char *x = json_text(jwk, "x"), *y = json_text(jwk, "y");

	if (!jose_shape_is(jwk, POINT_MEMBERS, OTHER_MEMBERS))
		return invalid(err, "the JWK has missing or unknown members");
	if (!json_text_is(jwk, "kty", "EC") || !json_text_is(jwk, "crv", "P-256") || !x || !y)
		return invalid(err, "the JWK is not a P-256 key");
	ret_point[0] = POINT_CONVERSION_UNCOMPRESSED;
	if (codec_b64url_decode_fixed(x, ret_point + 1, COORDINATE, NULL) < 0 ||
		codec_b64url_decode_fixed(y, ret_point + 1 + COORDINATE, COORDINATE, NULL) < 0)
		return invalid(err, "a coordinate of the JWK is not 32 bytes in base64url");
	return 0;
}

static int read_private(const json_t *jwk, BIGNUM **ret_number, struct err *err)
{
	unsigned char bytes[COORDINATE];
	BIGNUM *number = NULL;

	if (!json_object_get(jwk, "d"))
		return 0;
	if (json_text(jwk, "d") &&
		codec_b64url_decode_fixed(json_text(jwk, "d"), bytes, COORDINATE, NULL) == 0)
		number = BN_secure_new();
	if (number)
		BN_bin2bn(bytes, COORDINATE, number);
	explicit_bzero(bytes, sizeof(bytes));
	if (!number)
		return invalid(err, "the private part of the JWK is not 32 bytes in base64url");
	*ret_number = number;
	return 0;
}

static EVP_PKEY *from_data(OSSL_PARAM *params, int selection)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;

	if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &key, selection, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* OpenSSL checks that the point is on the curve. */
static EVP_PKEY *build(const unsigned char point[POINT], const BIGNUM *number)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (builder &&
		OSSL_PARAM_BLD_push_utf8_string(
			builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, POINT) ==
			1 &&
		(!number || OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, number) == 1))
		params = OSSL_PARAM_BLD_to_param(builder);
	key = from_data(params, number ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	return key;
}

static bool is_consistent(EVP_PKEY *key, bool private)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool good = ctx &&
		    (private ? EVP_PKEY_pairwise_check(ctx) == 1 && EVP_PKEY_private_check(ctx) == 1
			     : EVP_PKEY_public_check_quick(ctx) == 1);

	EVP_PKEY_CTX_free(ctx);
	return good;
}

int jose_key_to_evp(const json_t *jwk, EVP_PKEY **ret_key, struct err *err)
{
	unsigned char point[POINT];
	BIGNUM *number = NULL;
	EVP_PKEY *key;

	if (read_point(jwk, point, err) < 0 || read_private(jwk, &number, err) < 0)
		return -1;
	key = build(point, number);
	if (!key || !is_consistent(key, number != NULL)) {
		EVP_PKEY_free(key);
		BN_clear_free(number);
		return invalid(err, "the JWK's numbers are no P-256 key");
	}
	BN_clear_free(number);
	*ret_key = key;
	return 0;
}

int jose_key_check_public(const json_t *jwk, const char *use, struct err *err)
{
	auto_key EVP_PKEY *key = NULL;

	if (!jose_shape_is(jwk, PUBLIC_MEMBERS, NULL))
		return invalid(err, "a public JWK has exactly kty, crv, x, y, use and alg");
	if (!json_text_is(jwk, "use", use) || !json_text_is(jwk, "alg", algorithm_for(use)))
		return invalid(err, "the JWK is for another use");
	return jose_key_to_evp(jwk, &key, err);
}

/* --- EVP -> JWK --- */

static int add_number(json_t *jwk, const char *name, EVP_PKEY *key, const char *param)
{
	unsigned char bytes[COORDINATE];
	BIGNUM *number = NULL;
	char *text = NULL;
	int done = -1;

	if (EVP_PKEY_get_bn_param(key, param, &number) == 1 &&
		BN_bn2binpad(number, bytes, COORDINATE) == COORDINATE) {
		text = codec_b64url_text(bytes, COORDINATE);
		done = json_object_set_new(jwk, name, json_string(text));
		mem_wipe_free(text, strlen(text));
	}
	explicit_bzero(bytes, sizeof(bytes));
	BN_clear_free(number);
	return done;
}

static bool has_private(EVP_PKEY *key)
{
	BIGNUM *number = NULL;
	bool found = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1;

	BN_clear_free(number);
	ERR_clear_error();
	return found;
}

int jose_key_from_evp(EVP_PKEY *key, const char *use, json_t **ret_jwk, struct err *err)
{
	char algorithm[CERT_ALGORITHM_SIZE];
	auto_json json_t *jwk = NULL;

	if (cert_key_algorithm(key, algorithm, NULL) < 0 || strcmp(algorithm, "EC-P256") != 0)
		return invalid(err, "not a P-256 key");
	jwk = json_pack("{s:s,s:s}", "kty", "EC", "crv", "P-256");
	if (!jwk || add_number(jwk, "x", key, OSSL_PKEY_PARAM_EC_PUB_X) < 0 ||
		add_number(jwk, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y) < 0)
		return invalid(err, "the key's point is unreadable");
	if (has_private(key) && add_number(jwk, "d", key, OSSL_PKEY_PARAM_PRIV_KEY) < 0)
		return invalid(err, "the private key is unreadable");
	json_object_set_new(jwk, "use", json_string(use));
	json_object_set_new(jwk, "alg", json_string(algorithm_for(use)));
	*ret_jwk = take_ptr(jwk);
	return 0;
}

json_t *jose_key_new(const char *use)
{
	auto_key EVP_PKEY *key = EVP_EC_gen("P-256");
	json_t *jwk = NULL;

	if (!key || jose_key_from_evp(key, use, &jwk, NULL) < 0) {
		fputs("level=error msg=\"cannot make a P-256 key\"\n", stderr);
		abort();
	}
	return jwk;
}

json_t *jose_key_public(const json_t *jwk)
{
	json_t *copy = json_deep_copy(jwk);

	json_object_del(copy, "d");
	return copy;
}

int jose_key_thumbprint(
	const json_t *jwk, char ret_thumbprint[JOSE_THUMBPRINT_SIZE], struct err *err)
{
	unsigned char digest[DIGEST_SIZE], point[POINT];
	char *text;

	if (read_point(jwk, point, err) < 0)
		return -1;
	if (jose_jwk_thp_buf(NULL, jwk, "S256", digest, sizeof(digest)) != sizeof(digest))
		return invalid(err, "the JWK has no thumbprint");
	text = codec_b64url_text(digest, sizeof(digest));
	memcpy(ret_thumbprint, text, JOSE_THUMBPRINT_SIZE);
	free(text);
	return 0;
}
