/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One content key for one public key (RFC 7518 4.3, 4.6): RSA-OAEP by EVP, and ECDH-ES with AES key
 * wrap. libjose has no RSA-OAEP, and its ECDH-ES leaves `epk` unprotected.
 */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "lib/cert_key.h"
#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt_packet.h"

#define MAX_COORDINATE 48u /* P-384 */
#define KW_OVERHEAD 8

static int failed(struct err *err)
{
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "internal.crypto", "cannot wrap the content key");
}

/* --- RSA --- */

static bool rsa(EVP_PKEY *key, bool wraps, const EVP_MD *md, const unsigned char *in, size_t in_len,
	unsigned char *out, size_t *len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool good = ctx && (wraps ? EVP_PKEY_encrypt_init(ctx) : EVP_PKEY_decrypt_init(ctx)) == 1 &&
		    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) == 1 &&
		    EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1 &&
		    (wraps ? EVP_PKEY_encrypt(ctx, out, len, in, in_len)
			   : EVP_PKEY_decrypt(ctx, out, len, in, in_len)) == 1;

	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

/* --- ECDH-ES --- */

static const struct curve {
	const char *algorithm, *name; /* cert_key_algorithm()'s and JWK's */
	size_t size;
} curves[] = { { "EC-P256", "P-256", 32 }, { "EC-P384", "P-384", 48 } };

static const struct curve *curve_of(EVP_PKEY *key)
{
	char algorithm[CERT_ALGORITHM_SIZE];

	if (cert_key_algorithm(key, algorithm, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		if (strcmp(curves[i].algorithm, algorithm) == 0)
			return &curves[i];
	}
	return NULL;
}

static const struct {
	const char *name;
	size_t key_len;
	const EVP_CIPHER *(*cipher)(void);
} key_wraps[] = {
	{ "ECDH-ES+A128KW", 16, EVP_aes_128_wrap },
	{ "ECDH-ES+A192KW", 24, EVP_aes_192_wrap },
	{ OCICRYPT_ECDH, 32, EVP_aes_256_wrap },
};

static void put_length(unsigned char *at, size_t len)
{
	at[0] = (unsigned char)(len >> 24);
	at[1] = (unsigned char)(len >> 16);
	at[2] = (unsigned char)(len >> 8);
	at[3] = (unsigned char)len;
}

/* Concat KDF, one round: counter, secret, algorithm, no party's name, key length in bits. */
static void derive_key(const unsigned char *secret, size_t len, const char *algorithm,
	size_t key_len, unsigned char ret_key[DIGEST_SIZE])
{
	unsigned char text[4 + MAX_COORDINATE + 4 + 32 + 12] = { 0 };
	size_t name_len = strlen(algorithm), at = 4;

	put_length(text, 1);
	memcpy(text + at, secret, len);
	at += len;
	put_length(text + at, name_len);
	memcpy(text + at + 4, algorithm, name_len);
	at += 4 + name_len + 8;
	put_length(text + at, key_len * 8);
	digest_sha256(text, at + 4, ret_key);
	explicit_bzero(text, sizeof(text));
}

/* The key that wraps: of our key and the other's, whichever of both is the ephemeral one. */
static bool agree(EVP_PKEY *own, EVP_PKEY *other, const char *algorithm, size_t key_len,
	unsigned char ret_key[DIGEST_SIZE])
{
	unsigned char secret[MAX_COORDINATE];
	size_t len = sizeof(secret);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
	bool good = ctx && EVP_PKEY_derive_init(ctx) == 1 &&
		    EVP_PKEY_derive_set_peer(ctx, other) == 1 &&
		    EVP_PKEY_derive(ctx, secret, &len) == 1;

	EVP_PKEY_CTX_free(ctx);
	if (good)
		derive_key(secret, len, algorithm, key_len, ret_key);
	explicit_bzero(secret, sizeof(secret));
	ERR_clear_error();
	return good;
}

/* RFC 3394, OCICRYPT_CEK bytes in or out. */
static bool key_wrap(const EVP_CIPHER *cipher, const unsigned char *key, bool wraps,
	const unsigned char *in, int in_len, unsigned char *out, int out_len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int len = 0;
	bool good;

	if (ctx)
		EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	good = ctx && EVP_CipherInit_ex(ctx, cipher, NULL, key, NULL, wraps) == 1 &&
	       EVP_CipherUpdate(ctx, out, &len, in, in_len) == 1 && len == out_len;
	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

static json_t *point_json(EVP_PKEY *key, const struct curve *curve)
{
	unsigned char *point = NULL;
	json_t *jwk = NULL;

	if (EVP_PKEY_get1_encoded_public_key(key, &point) == 1 + 2 * curve->size) {
		auto_free char *x = codec_b64url_text(point + 1, curve->size);
		auto_free char *y = codec_b64url_text(point + 1 + curve->size, curve->size);

		jwk = json_pack(
			"{s:s,s:s,s:s,s:s}", "kty", "EC", "crv", curve->name, "x", x, "y", y);
	}
	OPENSSL_free(point);
	return jwk;
}

/* A point of that key's curve, checked to be on it; NULL otherwise. */
static EVP_PKEY *point_key(const json_t *jwk, EVP_PKEY *like, const struct curve *curve)
{
	static const char *const members[] = { "kty", "crv", "x", "y", NULL };
	unsigned char point[1 + 2 * MAX_COORDINATE] = { 0x04 };
	const char *x = json_text(jwk, "x"), *y = json_text(jwk, "y");
	EVP_PKEY *key;

	if (!jose_shape_is(jwk, members, NULL) || !json_text_is(jwk, "kty", "EC") ||
		!json_text_is(jwk, "crv", curve->name) || !x || !y ||
		codec_b64url_decode_fixed(x, point + 1, curve->size, NULL) < 0 ||
		codec_b64url_decode_fixed(y, point + 1 + curve->size, curve->size, NULL) < 0)
		return NULL;
	key = EVP_PKEY_new();
	if (key && EVP_PKEY_copy_parameters(key, like) == 1 &&
		EVP_PKEY_set1_encoded_public_key(key, point, 1 + 2 * curve->size) == 1)
		return key;
	EVP_PKEY_free(key);
	ERR_clear_error();
	return NULL;
}

/* --- both --- */

static int wrap_ecdh(EVP_PKEY *key, const struct curve *curve, const unsigned char *cek,
	json_t *header, char **ret_text, struct err *err)
{
	unsigned char kek[DIGEST_SIZE], wrapped[OCICRYPT_CEK + KW_OVERHEAD];
	auto_key EVP_PKEY *ephemeral = EVP_EC_gen(curve->name);
	bool good = ephemeral && agree(ephemeral, key, OCICRYPT_ECDH, sizeof(kek), kek) &&
		    key_wrap(EVP_aes_256_wrap(), kek, true, cek, OCICRYPT_CEK, wrapped,
			    sizeof(wrapped));

	explicit_bzero(kek, sizeof(kek));
	if (!good)
		return failed(err);
	json_object_set_new(header, "alg", json_string(OCICRYPT_ECDH));
	json_object_set_new(header, "epk", point_json(ephemeral, curve));
	*ret_text = codec_b64url_text(wrapped, sizeof(wrapped));
	return 0;
}

int ocicrypt_wrap(EVP_PKEY *key, const unsigned char cek[OCICRYPT_CEK], json_t *header,
	char **ret_text, struct err *err)
{
	const struct curve *curve = curve_of(key);
	unsigned char wrapped[OCICRYPT_MAX_WRAPPED];
	size_t len = sizeof(wrapped);

	if (curve)
		return wrap_ecdh(key, curve, cek, header, ret_text, err);
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
		!rsa(key, true, EVP_sha1(), cek, OCICRYPT_CEK, wrapped, &len))
		return failed(err);
	json_object_set_new(header, "alg", json_string("RSA-OAEP"));
	*ret_text = codec_b64url_text(wrapped, len);
	return 0;
}

static bool unwrap_rsa(EVP_PKEY *key, const char *algorithm, const unsigned char *wrapped,
	size_t len, unsigned char ret_cek[OCICRYPT_CEK])
{
	unsigned char out[OCICRYPT_MAX_WRAPPED];
	size_t out_len = sizeof(out);
	const EVP_MD *md;
	bool good;

	if (strcmp(algorithm, "RSA-OAEP") == 0)
		md = EVP_sha1();
	else if (strcmp(algorithm, "RSA-OAEP-256") == 0)
		md = EVP_sha256();
	else
		return false;
	good = rsa(key, false, md, wrapped, len, out, &out_len) && out_len == OCICRYPT_CEK;
	if (good)
		memcpy(ret_cek, out, OCICRYPT_CEK);
	explicit_bzero(out, sizeof(out));
	return good;
}

static bool unwrap_ecdh(EVP_PKEY *key, const json_t *header, const unsigned char *wrapped,
	size_t len, unsigned char ret_cek[OCICRYPT_CEK])
{
	const struct curve *curve = curve_of(key);
	auto_key EVP_PKEY *ephemeral =
		curve ? point_key(json_object_get(header, "epk"), key, curve) : NULL;
	unsigned char kek[DIGEST_SIZE];
	bool good = false;

	if (!ephemeral || len != OCICRYPT_CEK + KW_OVERHEAD)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(key_wraps) && !good; i++)
		good = json_text_is(header, "alg", key_wraps[i].name) &&
		       agree(key, ephemeral, key_wraps[i].name, key_wraps[i].key_len, kek) &&
		       key_wrap(key_wraps[i].cipher(), kek, false, wrapped, (int)len, ret_cek,
			       OCICRYPT_CEK);
	explicit_bzero(kek, sizeof(kek));
	return good;
}

bool ocicrypt_unwrap(EVP_PKEY *key, const json_t *header, const unsigned char *wrapped, size_t len,
	unsigned char ret_cek[OCICRYPT_CEK])
{
	const char *algorithm = json_text(header, "alg");

	if (!algorithm)
		return false;
	return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA
		       ? unwrap_rsa(key, algorithm, wrapped, len, ret_cek)
		       : unwrap_ecdh(key, header, wrapped, len, ret_cek);
}
