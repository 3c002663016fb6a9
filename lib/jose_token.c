/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compact JWS for tokens (RFC 7515, 7519) and DPoP proofs (RFC 9449): ES256 only, by EVP with a key
 * that is kept, since every request pays for it. ECDSA's DER and JOSE's r ‖ s are converted here.
 */
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "lib/cert_key.h"
#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_TOKEN (16u * 1024)
#define HALF 32
#define DER_MAX 80

static int bad_signature(struct err *err)
{
	ERR_clear_error();
	return err_set(
		err, ERR_UNPROCESSABLE, "jose.signature", "the signature is not by the given key");
}

static bool is_p256(EVP_PKEY *key)
{
	return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) == 256;
}

/* --- ES256 --- */

static bool der_to_raw(const unsigned char *der, size_t len, unsigned char ret_raw[2 * HALF])
{
	const unsigned char *at = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
	bool good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret_raw, HALF) == HALF &&
		    BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret_raw + HALF, HALF) == HALF;

	ECDSA_SIG_free(sig);
	return good;
}

static int raw_to_der(const unsigned char raw[2 * HALF], unsigned char ret_der[DER_MAX])
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, HALF, NULL), *s = BN_bin2bn(raw + HALF, HALF, NULL);
	unsigned char *at = ret_der;
	int len = -1;

	if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
		len = i2d_ECDSA_SIG(sig, &at);
	} else {
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(sig);
	return len;
}

int jose_es256_sign(EVP_PKEY *key, const void *data, size_t len,
	unsigned char ret_sig[JOSE_ES256_SIZE], struct err *err)
{
	unsigned char der[DER_MAX];
	size_t der_len = sizeof(der);
	EVP_MD_CTX *ctx;
	bool good;

	if (!is_p256(key))
		return err_set(
			err, ERR_UNPROCESSABLE, "key.cannot_sign", "ES256 needs a P-256 key");
	ctx = EVP_MD_CTX_new();
	good = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	       EVP_DigestSign(ctx, der, &der_len, data, len) == 1 &&
	       der_to_raw(der, der_len, ret_sig);
	EVP_MD_CTX_free(ctx);
	if (good)
		return 0;
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "internal.crypto", "cannot sign");
}

int jose_es256_verify(EVP_PKEY *key, const void *data, size_t len,
	const unsigned char sig[JOSE_ES256_SIZE], struct err *err)
{
	unsigned char der[DER_MAX];
	int der_len = is_p256(key) ? raw_to_der(sig, der) : -1;
	EVP_MD_CTX *ctx;
	bool good;

	if (der_len <= 0)
		return bad_signature(err);
	ctx = EVP_MD_CTX_new();
	good = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	       EVP_DigestVerify(ctx, der, (size_t)der_len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	return good ? 0 : bad_signature(err);
}

/* --- signing --- */

static char *encode_json(const json_t *value)
{
	size_t len = 0;
	auto_free char *text = value ? json_encode(value, &len) : NULL;

	return text ? codec_b64url_text(text, len) : NULL;
}

static int sign_parts(EVP_PKEY *key, const json_t *header, const json_t *claims, char **ret_token,
	struct err *err)
{
	auto_free char *head = encode_json(header), *body = encode_json(claims);
	auto_free char *input = NULL, *tail = NULL;
	unsigned char sig[JOSE_ES256_SIZE];

	if (!head || !body)
		return err_set(err, ERR_INTERNAL, "internal.crypto", "cannot encode the token");
	input = mem_printf("%s.%s", head, body);
	if (jose_es256_sign(key, input, strlen(input), sig, err) < 0)
		return -1;
	tail = codec_b64url_text(sig, sizeof(sig));
	*ret_token = mem_printf("%s.%s", input, tail);
	return 0;
}

int jose_token_sign(EVP_PKEY *key, const char *typ, const char *kid, const json_t *claims,
	char **ret_token, struct err *err)
{
	auto_json json_t *header = json_pack("{s:s,s:s}", "alg", "ES256", "typ", typ);

	if (kid)
		json_object_set_new(header, "kid", json_string(kid));
	return sign_parts(key, header, claims, ret_token, err);
}

int jose_proof_sign(EVP_PKEY *key, const json_t *claims, char **ret_token, struct err *err)
{
	auto_json json_t *jwk = NULL, *header = NULL;

	if (jose_key_from_evp(key, "sig", &jwk, err) < 0)
		return -1;
	json_object_del(jwk, "d");
	header = json_pack("{s:s,s:s,s:O}", "alg", "ES256", "typ", "dpop+jwt", "jwk", jwk);
	return sign_parts(key, header, claims, ret_token, err);
}

/* --- verifying --- */

struct parts {
	const char *body, *tail; /* each behind its dot */
	size_t len;
};

static int split(const char *token, struct parts *ret_parts, struct err *err)
{
	size_t len = strnlen(token, MAX_TOKEN + 1);
	const char *first, *second;

	if (len > MAX_TOKEN)
		return err_set(err, ERR_TOO_LARGE, "jose.too_large", "the token is too long");
	first = strchr(token, '.');
	second = first ? strchr(first + 1, '.') : NULL;
	if (!second || strchr(second + 1, '.'))
		return err_set(err, ERR_INVALID, "jose.shape", "a token has exactly three parts");
	*ret_parts = (struct parts) { .body = first + 1, .tail = second + 1, .len = len };
	return 0;
}

int jose_token_peek(const char *token, json_t **ret_header, struct err *err)
{
	struct parts parts;

	if (split(token, &parts, err) < 0)
		return -1;
	return jose_shape_decode(
		token, (size_t)(parts.body - 1 - token), JOSE_MAX_HEADER, ret_header, err);
}

static int check_header(const json_t *header, const char *typ, bool jwk_header, struct err *err)
{
	static const char *const plain[] = { "alg", "typ", NULL };
	static const char *const with_jwk[] = { "alg", "typ", "jwk", NULL };
	static const char *const optional[] = { "kid", NULL };

	if (!jose_shape_is(header, jwk_header ? with_jwk : plain, optional))
		return err_set(err, ERR_INVALID, "jose.shape",
			"the token's header has missing or unknown members");
	if (jose_shape_texts(header, plain, 128, err) < 0)
		return -1;
	if (json_object_get(header, "kid") && !json_text(header, "kid"))
		return err_set(err, ERR_INVALID, "jose.shape", "'kid' is not a text");
	if (strcmp(json_text(header, "typ"), typ) != 0)
		return err_set(err, ERR_INVALID, "jose.typ", "this token is not a %s", typ);
	if (strcmp(json_text(header, "alg"), "ES256") != 0)
		return err_set(
			err, ERR_INVALID, "jose.algorithm", "tokens are signed with ES256 only");
	return 0;
}

int jose_token_verify(EVP_PKEY *key, const char *typ, bool jwk_header, const char *token,
	json_t **ret_claims, struct err *err)
{
	auto_json json_t *header = NULL, *claims = NULL;
	unsigned char sig[JOSE_ES256_SIZE];
	struct parts parts;

	if (split(token, &parts, err) < 0 || jose_token_peek(token, &header, err) < 0 ||
		check_header(header, typ, jwk_header, err) < 0)
		return -1;
	if (codec_b64url_decode_fixed(parts.tail, sig, sizeof(sig), NULL) < 0)
		return err_set(err, ERR_INVALID, "jose.shape", "the signature is not 64 bytes");
	if (jose_es256_verify(key, token, (size_t)(parts.tail - 1 - token), sig, err) < 0)
		return -1;
	if (jose_shape_decode(
		    parts.body, (size_t)(parts.tail - 1 - parts.body), MAX_TOKEN, &claims, err) < 0)
		return -1;
	*ret_claims = take_ptr(claims);
	return 0;
}
