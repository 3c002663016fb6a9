/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flattened JWE (RFC 7516), ECDH-ES+A256KW and A256GCM, to one P-256 key. libjose leaves `epk` in
 * the unprotected header: here it is moved under protection before the content is encrypted, as
 * go-jose and ocicrypt do it, and when opening it is accepted from there only.
 */
#include <jose/jwe.h>
#include <openssl/err.h>

#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"

#define ALG "ECDH-ES+A256KW"
#define ENC "A256GCM"
#define WRAPPED_KEY 40
#define IV 12
#define TAG 16

static const char *const JWE_MEMBERS[] = { "protected", "encrypted_key", "iv", "ciphertext", "tag",
	NULL };
static const char *const POINT_MEMBERS[] = { "kty", "crv", "x", "y", NULL };
static const char *const PRIVATE_MEMBER[] = { "d", NULL };

/* The bare numbers, for libjose: what a key may be used for is decided here and not by its own
 * words. */
static json_t *bare_key(const json_t *jwk, bool private)
{
	json_t *bare = json_object();

	for (const char *const *name = POINT_MEMBERS; *name; name++)
		json_object_set(bare, *name, json_object_get(jwk, *name));
	if (private)
		json_object_set(bare, "d", json_object_get(jwk, "d"));
	return bare;
}

static int check_key(const json_t *jwk, bool private, struct err *err)
{
	auto_key EVP_PKEY *key = NULL;

	if (jose_key_to_evp(jwk, &key, err) < 0)
		return -1;
	if (private != (json_object_get(jwk, PRIVATE_MEMBER[0]) != NULL))
		return err_set(err, ERR_INVALID, "key.invalid", "the JWK %s",
			private ? "has no private part" : "has a private part");
	if (json_object_get(jwk, "use") && !json_text_is(jwk, "use", "enc"))
		return err_set(err, ERR_INVALID, "key.invalid", "the JWK is not for encryption");
	return 0;
}

/* --- encrypting --- */

/* Wraps a fresh content key and puts the ephemeral key into the header that will be protected. */
static bool wrap(json_t *jwe, const json_t *key, json_t *cek)
{
	auto_json json_t *recipient = json_object();
	json_t *epk;

	if (!jose_jwe_enc_jwk(NULL, jwe, recipient, key, cek))
		return false;
	epk = json_object_get(json_object_get(recipient, "header"), "epk");
	if (!epk || json_object_set(json_object_get(jwe, "protected"), "epk", epk) < 0)
		return false;
	json_object_del(jwe, "header");
	return json_object_set(jwe, "encrypted_key", json_object_get(recipient, "encrypted_key")) ==
	       0;
}

int jose_encrypt(const json_t *public_jwk, const json_t *header, const void *plain, size_t len,
	json_t **ret_jwe, struct err *err)
{
	auto_json json_t *jwe = NULL, *protected = NULL, *key = NULL, *cek = json_object();

	if (check_key(public_jwk, false, err) < 0)
		return -1;
	if (len > JOSE_MAX_BODY / 2)
		return err_set(err, ERR_TOO_LARGE, "jose.too_large", "too much for one JWE");
	protected = header ? json_deep_copy(header) : json_object();
	json_object_set_new(protected, "alg", json_string(ALG));
	json_object_set_new(protected, "enc", json_string(ENC));
	jwe = json_pack("{s:O}", "protected", protected);
	key = bare_key(public_jwk, false);
	if (!wrap(jwe, key, cek) || !jose_jwe_enc_cek(NULL, jwe, cek, plain, len) ||
		!jose_shape_is(jwe, JWE_MEMBERS, NULL)) {
		ERR_clear_error();
		return err_set(err, ERR_INTERNAL, "internal.crypto", "cannot encrypt");
	}
	*ret_jwe = take_ptr(jwe);
	return 0;
}

/* --- decrypting --- */

static int shape_error(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "jose.shape", "%s", what);
}

static bool is_bytes(const json_t *jwe, const char *name, size_t len)
{
	unsigned char bytes[WRAPPED_KEY];

	return codec_b64url_decode_fixed(json_text(jwe, name), bytes, len, NULL) == 0;
}

static int check_envelope(const json_t *jwe, struct err *err)
{
	if (!jose_shape_is(jwe, JWE_MEMBERS, NULL))
		return shape_error(err,
			"a JWE has exactly the members protected, encrypted_key, iv, "
			"ciphertext and tag");
	if (jose_shape_texts(jwe, JWE_MEMBERS, JOSE_MAX_BODY, err) < 0)
		return -1;
	if (!is_bytes(jwe, "encrypted_key", WRAPPED_KEY) || !is_bytes(jwe, "iv", IV) ||
		!is_bytes(jwe, "tag", TAG))
		return shape_error(err, "a part of the JWE has the wrong size");
	return 0;
}

static int check_epk(const json_t *epk, struct err *err)
{
	auto_key EVP_PKEY *key = NULL;

	if (!jose_shape_is(epk, POINT_MEMBERS, NULL) || jose_key_to_evp(epk, &key, NULL) < 0)
		return shape_error(err, "the ephemeral key is not a public P-256 key");
	return 0;
}

static int check_header(const json_t *header, const char *const *members, struct err *err)
{
	size_t n = 3;

	for (size_t i = 0; members && members[i]; i++)
		n++;
	if (json_object_size(header) != n || jose_shape_texts(header, members, 1024, err) < 0)
		return shape_error(err, "the JWE's header has missing or unknown members");
	if (!json_text_is(header, "alg", ALG) || !json_text_is(header, "enc", ENC))
		return err_set(err, ERR_INVALID, "jose.algorithm", "not %s with %s", ALG, ENC);
	return check_epk(json_object_get(header, "epk"), err);
}

int jose_decrypt(const json_t *private_jwk, const char *const *header_members, const json_t *jwe,
	json_t **ret_header, unsigned char **ret_plain, size_t *ret_len, struct err *err)
{
	auto_json json_t *header = NULL, *key = NULL;
	unsigned char *plain;
	size_t len = 0;
	void *opened;

	if (check_key(private_jwk, true, err) < 0 || check_envelope(jwe, err) < 0 ||
		jose_shape_header(jwe, &header, err) < 0 ||
		check_header(header, header_members, err) < 0)
		return -1;
	key = bare_key(private_jwk, true);
	opened = jose_jwe_dec(NULL, jwe, NULL, key, &len);
	if (!opened) {
		ERR_clear_error();
		return err_set(err, ERR_UNPROCESSABLE, "jose.decrypt",
			"the JWE is not for this key, or was altered");
	}
	plain = mem_alloc(len + 1);
	memcpy(plain, opened, len);
	mem_wipe_free(opened, len);
	*ret_plain = plain;
	*ret_len = len;
	if (ret_header)
		*ret_header = take_ptr(header);
	return 0;
}
