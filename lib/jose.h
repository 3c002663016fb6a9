/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JOSE on libjose, with one allowed shape per `typ` (RFC 7515, 7516, 7517, 7638, 7518). Everything
 * is parsed and its shape checked before a signature or a key is used: flattened JSON
 * serialisation, one recipient, exactly the expected members, exact alg and enc; no crit, zip,
 * unprotected header, jku, jwk, x5u. Claims are taken only from the decoded protected header or the
 * verified payload. Keys of people are P-256/ES256, P-384/ES384 or RSA/PS256; machine, image and
 * service keys are P-256.
 */
#ifndef STRONGROOM_JOSE_H
#define STRONGROOM_JOSE_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/digest.h"
#include "lib/err.h"

#define JOSE_THUMBPRINT_SIZE 44u /* base64url of SHA-256, with NUL */

/* P-256 key pair as a private JWK {kty,crv,x,y,d,use,alg}; use is "enc" or "sig". Free with
 * json_decref. */
json_t *jose_key_new(const char *use);
json_t *jose_key_public(const json_t *jwk); /* copy without private members */
int jose_key_thumbprint(
	const json_t *jwk, char ret_thumbprint[JOSE_THUMBPRINT_SIZE], struct err *err);
/* Strict check of a P-256 public JWK: exactly kty, crv, x, y, use, alg; point on the curve.
 * key.invalid */
int jose_key_check_public(const json_t *jwk, const char *use, struct err *err);
int jose_key_to_evp(const json_t *jwk, EVP_PKEY **ret_key, struct err *err);
int jose_key_from_evp(EVP_PKEY *key, const char *use, json_t **ret_jwk,
	struct err *err); /* with private members if it has them */

/* Flattened JWS {protected,payload,signature}. `header` adds members besides alg and typ (may be
 * NULL). alg follows from the key: key.cannot_sign for Ed25519 and others. */
int jose_sign(EVP_PKEY *key, const char *typ, const json_t *header, const json_t *payload,
	json_t **ret_jws, struct err *err) __attribute__((warn_unused_result));
/* jose.shape, jose.too_large, jose.typ, jose.algorithm, jose.signature. `header_members` names the
 * protected members allowed and required besides alg and typ ("kid", NULL-terminated list; NULL:
 * none). Payload must be a JSON object. */
int jose_verify(EVP_PKEY *key, const char *typ, const char *const *header_members,
	const json_t *jws, json_t **ret_header, json_t **ret_payload, struct err *err)
	__attribute__((warn_unused_result));

/* Compact JWS, for tokens. Signing uses EVP with the cached key. ret_token: caller frees. */
int jose_token_sign(EVP_PKEY *key, const char *typ, const char *kid, const json_t *claims,
	char **ret_token, struct err *err) __attribute__((warn_unused_result));
/* Splits and decodes without trusting anything: to find kid and typ. */
int jose_token_peek(const char *token, json_t **ret_header, struct err *err);
/* Verifies ES256 and exact typ; claims are returned as they are (times are the caller's to check).
 * `jwk_header`: whether a `jwk` member is allowed (DPoP proofs only, RFC 9449). */
int jose_token_verify(EVP_PKEY *key, const char *typ, bool jwk_header, const char *token,
	json_t **ret_claims, struct err *err) __attribute__((warn_unused_result));

/* A DPoP proof (RFC 9449): typ dpop+jwt, the public key in the `jwk` member of the header. */
int jose_proof_sign(EVP_PKEY *key, const json_t *claims, char **ret_token, struct err *err)
	__attribute__((warn_unused_result));

/* A bare ES256 signature in JOSE's form, r and s of 32 bytes each. jose.signature */
#define JOSE_ES256_SIZE 64u
int jose_es256_sign(EVP_PKEY *key, const void *data, size_t len,
	unsigned char ret_sig[JOSE_ES256_SIZE], struct err *err)
	__attribute__((warn_unused_result));
int jose_es256_verify(EVP_PKEY *key, const void *data, size_t len,
	const unsigned char sig[JOSE_ES256_SIZE], struct err *err)
	__attribute__((warn_unused_result));

/* Flattened JWE, ECDH-ES+A256KW with A256GCM, to a P-256 public JWK. `header` adds protected
 * members (typ among them). */
int jose_encrypt(const json_t *public_jwk, const json_t *header, const void *plain, size_t len,
	json_t **ret_jwe, struct err *err) __attribute__((warn_unused_result));
/* `header_members`: exactly these protected members besides alg, enc, epk. jose.shape,
 * jose.decrypt. The plaintext is NUL-terminated behind its last byte; wipe and free it with
 * mem_wipe_free(). */
int jose_decrypt(const json_t *private_jwk, const char *const *header_members, const json_t *jwe,
	json_t **ret_header, unsigned char **ret_plain, size_t *ret_len, struct err *err)
	__attribute__((warn_unused_result));

void evp_key_cleanup(EVP_PKEY **key);
#define auto_key __attribute__((cleanup(evp_key_cleanup)))

#endif
