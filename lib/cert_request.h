/* SPDX-License-Identifier: Apache-2.0 */
/* Certification requests (PKCS#10, RFC 2986): whose key, which name, and the proof of possession
 * that is in them. Attributes are not looked at: who issues decides what a certificate may do. */
#ifndef STRONGROOM_CERT_REQUEST_H
#define STRONGROOM_CERT_REQUEST_H

#include "lib/cert.h"

struct cert_request {
	EVP_PKEY *key;
	unsigned char *key_der; /* its SubjectPublicKeyInfo, of which `key_bits` are the end */
	const unsigned char *key_bits;
	size_t key_der_len, key_bits_len;
	char spki[DIGEST_TEXT_SIZE];
	char algorithm[16];   /* as in cert_info */
	char subject[256];    /* RFC 2253 */
	char common_name[65]; /* UTF-8; "" without exactly one */
};

/* DER. cert.request_syntax, cert.request_signature, cert.key_type, cert.key_weak, cert.name_nul,
 * cert.too_large. */
int cert_request_parse(
	const void *der, size_t len, struct cert_request *ret_request, struct err *err);
void cert_request_release(struct cert_request *request);
#define auto_request __attribute__((cleanup(cert_request_release))) struct cert_request

#endif
