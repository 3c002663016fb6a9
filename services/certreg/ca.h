/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instance's own CA, for certificates of machines. Its key and certificate are two files, read
 * once; const afterwards, so that all threads may use it. What it issues is worth what its subject
 * says: O is the tenant, CN what the tenant asked for. Nothing in the trust protocol rests on it.
 */
#ifndef CERTREG_CA_H
#define CERTREG_CA_H

#include <openssl/x509.h>

#include "lib/arena.h"
#include "lib/cert_request.h"

#define CA_DAYS 90 /* a leaf's, or less when the CA's own certificate ends before */

struct ca;

/* ca.bad_certificate when the two files do not belong together, or are no CA's. */
struct ca *ca_load(
	const char *key_file, const char *certificate_file, const char *base_url, struct err *err);
void ca_free(struct ca *ca);

X509 *ca_certificate(const struct ca *ca); /* borrowed, as is the key */
EVP_PKEY *ca_key(const struct ca *ca);
const EVP_MD *ca_digest(const struct ca *ca); /* that its key signs with; NULL for Ed25519 */
const char *ca_certificates_text(const struct ca *ca); /* of ca_certs_only(), made once */

struct ca_leaf {
	unsigned char *der;
	size_t der_len;
	struct cert_info info;
};

/* A leaf for the request's key and these names. */
int ca_issue(const struct ca *ca, const struct cert_request *request, const char *organisation,
	const char *common_name, struct ca_leaf *ret_leaf, struct err *err);
void ca_leaf_release(struct ca_leaf *leaf);
#define auto_leaf __attribute__((cleanup(ca_leaf_release))) struct ca_leaf

/* PKCS#7 certs-only (RFC 7030 4.1.3) of one certificate in base64 lines, caller frees. */
char *ca_certs_only(const void *der, size_t len);

#endif
