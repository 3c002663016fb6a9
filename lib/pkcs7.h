/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key packets of the kind PKCS #7, as ocicrypt's Go library writes them: an EnvelopedData whose
 * AES-GCM parameters are not quite DER, so that no library reads it. What is found is borrowed from
 * the bytes that were given.
 */
#ifndef STRONGROOM_PKCS7_H
#define STRONGROOM_PKCS7_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/digest.h"
#include "lib/err.h"

#define PKCS7_MAX_KEY 4096u /* bytes of a wrapped key */

struct span {
	const unsigned char *at;
	size_t len;
};

/* A RecipientInfo: whose certificate, and the key by RSA. */
struct pkcs7_recipient {
	struct span issuer; /* the Name, with its own head */
	struct span serial; /* the number alone */
	struct span who;    /* both, as IssuerAndSerialNumber with its head */
	struct span key;
};

struct pkcs7 {
	struct span recipients; /* for pkcs7_next() */
	size_t key_len;		/* of the content's cipher: 16 or 32 */
	struct span parameters; /* of AES-GCM */
	struct span content;	/* ciphertext and tag */
};

/* False when it is no EnvelopedData, or one whose content is not encrypted by AES-GCM. */
bool pkcs7_parse(const unsigned char *der, size_t len, struct pkcs7 *ret_pkcs7);
/* Takes a recipient off the list; false at its end (then the list is empty) and at what is none. */
bool pkcs7_next(struct span *recipients, struct pkcs7_recipient *ret_recipient);
bool pkcs7_is_for(const struct pkcs7_recipient *recipient, X509 *certificate);
/* "sha256:…" of the IssuerAndSerialNumber by which packets name a certificate. */
int pkcs7_issuer_serial(X509 *certificate, char ret_digest[DIGEST_TEXT_SIZE], struct err *err);

/* A packet for one RSA certificate; the caller frees *ret_der. */
int pkcs7_seal(X509 *certificate, const void *plain, size_t len, unsigned char **ret_der,
	size_t *ret_len, struct err *err) __attribute__((warn_unused_result));
/* The plaintext, NUL-terminated behind its last byte; wipe it. False when the packet is not for
 * this certificate and its key, or was altered. */
bool pkcs7_open(X509 *certificate, EVP_PKEY *key, const unsigned char *der, size_t len,
	unsigned char **ret_plain, size_t *ret_len);

#endif
