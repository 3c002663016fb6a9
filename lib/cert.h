/* SPDX-License-Identifier: Apache-2.0 */
/* X.509 (RFC 5280): making self-signed certificates, reading the fields we store, SPKI
 * fingerprints, raw signatures. */
#ifndef STRONGROOM_CERT_H
#define STRONGROOM_CERT_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/digest.h"
#include "lib/err.h"

struct cert_info {
	char fingerprint[65];		 /* SHA-256 of the DER, hex */
	char spki[DIGEST_TEXT_SIZE];	 /* "sha256:…" of the DER SubjectPublicKeyInfo */
	char subject[256];		 /* RFC 2253 */
	char serial[48];		 /* hex */
	long long not_before, not_after; /* seconds, Unix */
	char algorithm[16];		 /* "EC-P256", "EC-P384", "RSA-2048", …, "Ed25519" */
	bool is_ca;			 /* basic constraints say CA:TRUE */
	bool is_self_signed;
};

int cert_key_new(EVP_PKEY **ret_key, struct err *err); /* P-256 */
int cert_key_read(const char *pem, size_t len, EVP_PKEY **ret_key, struct err *err);
/* PEM PKCS#8 of the private key; wipe and free with mem_wipe_free(text, strlen(text)). */
int cert_key_write(EVP_PKEY *key, char **ret_pem, struct err *err);
/* Self-signed, CN = name, for `days`. PEM, caller frees. */
int cert_self_sign(EVP_PKEY *key, const char *name, int days, char **ret_pem, struct err *err);

/* PEM or DER in; everything is parsed before anything is believed. cert.syntax, cert.bundle,
 * cert.too_large (16 KiB), cert.key_type, cert.key_weak, cert.name_nul, cert.self_signature.
 * ret_key and ret_der may be NULL. */
int cert_parse(const void *data, size_t len, struct cert_info *ret_info, EVP_PKEY **ret_key,
	unsigned char **ret_der, size_t *ret_der_len, struct err *err);

/* The bytes that such a text holds, not looked at yet: for a fingerprint before anything is parsed.
 */
int cert_der(
	const void *data, size_t len, unsigned char **ret_der, size_t *ret_len, struct err *err);
#define CERT_FINGERPRINT_SIZE 65u
void cert_fingerprint(const void *der, size_t len, char ret_text[CERT_FINGERPRINT_SIZE]);

int cert_spki(EVP_PKEY *key, char ret_spki[DIGEST_TEXT_SIZE], struct err *err);
/* DER SubjectPublicKeyInfo <-> key. caller frees *ret_der. */
int cert_spki_der(EVP_PKEY *key, unsigned char **ret_der, size_t *ret_len, struct err *err);
int cert_spki_read(const void *der, size_t len, EVP_PKEY **ret_key, struct err *err);

/* One signature over bytes as `openssl pkeyutl -sign -rawin` makes it (ECDSA DER with SHA-256; RSA
 * PKCS#1 with SHA-256; Ed25519). cert.signature when it does not verify. */
int cert_sign(EVP_PKEY *key, const void *data, size_t len, unsigned char **ret_sig, size_t *ret_len,
	struct err *err);
int cert_verify(EVP_PKEY *key, const void *data, size_t len, const void *sig, size_t sig_len,
	struct err *err);

#endif
