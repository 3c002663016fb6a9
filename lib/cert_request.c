/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS#10 by OpenSSL's ASN.1 templates. Its own X509_REQ decodes the key while it parses, by a
 * lookup that takes twice as long as verifying the signature (OpenSSL 3.0: 125 of 190 us); here the
 * key stays bytes until cert_spki_read().
 */
#include "lib/cert_request.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cert_key.h"
#include "lib/cert_name.h"
#include "lib/mem.h"

#define MAX_REQUEST (16u * 1024)

/* clang-format off */
typedef struct { X509_ALGOR *algorithm; ASN1_BIT_STRING *bits; } REQUEST_KEY;
ASN1_SEQUENCE(REQUEST_KEY) = {
	ASN1_SIMPLE(REQUEST_KEY, algorithm, X509_ALGOR), ASN1_SIMPLE(REQUEST_KEY, bits, ASN1_BIT_STRING)
} static_ASN1_SEQUENCE_END(REQUEST_KEY)

typedef struct {
	ASN1_ENCODING enc; /* what was signed, as it came */
	ASN1_INTEGER *version; X509_NAME *subject; REQUEST_KEY *key; STACK_OF(X509_ATTRIBUTE) *attributes;
} CERT_REQUEST_INFO;
DECLARE_ASN1_ITEM(CERT_REQUEST_INFO)
ASN1_SEQUENCE_enc(CERT_REQUEST_INFO, enc, 0) = {
	ASN1_SIMPLE(CERT_REQUEST_INFO, version, ASN1_INTEGER), ASN1_SIMPLE(CERT_REQUEST_INFO, subject, X509_NAME),
	ASN1_SIMPLE(CERT_REQUEST_INFO, key, REQUEST_KEY), ASN1_IMP_SET_OF_OPT(CERT_REQUEST_INFO, attributes, X509_ATTRIBUTE, 0)
} ASN1_SEQUENCE_END_enc(CERT_REQUEST_INFO, CERT_REQUEST_INFO)

typedef struct { CERT_REQUEST_INFO *info; X509_ALGOR *algorithm; ASN1_BIT_STRING *signature; } REQUEST;
ASN1_SEQUENCE(REQUEST) = {
	ASN1_SIMPLE(REQUEST, info, CERT_REQUEST_INFO), ASN1_SIMPLE(REQUEST, algorithm, X509_ALGOR),
	ASN1_SIMPLE(REQUEST, signature, ASN1_BIT_STRING)
} static_ASN1_SEQUENCE_END(REQUEST)
	/* clang-format on */

	static int failed(struct err * err, const char *what)
{
	ERR_clear_error();
	return err_set(err, ERR_INVALID, "cert.request_syntax", "%s", what);
}

static void free_request(REQUEST **request)
{
	ASN1_item_free((ASN1_VALUE *)*request, ASN1_ITEM_rptr(REQUEST));
}

/* All of the bytes, or NULL. */
static REQUEST *parse(const unsigned char *der, size_t len)
{
	const unsigned char *at = der;
	REQUEST *request = (REQUEST *)ASN1_item_d2i(NULL, &at, (long)len, ASN1_ITEM_rptr(REQUEST));

	if (request && at == der + len && ASN1_INTEGER_get(request->info->version) == 0)
		return request;
	free_request(&request);
	return NULL;
}

static int read_key(const REQUEST_KEY *from, struct cert_request *request, struct err *err)
{
	unsigned char *der = NULL;
	int len = ASN1_item_i2d((const ASN1_VALUE *)from, &der, ASN1_ITEM_rptr(REQUEST_KEY));
	int result = len <= 0 ? failed(err, "the request's key is unreadable")
			      : cert_spki_read(der, (size_t)len, &request->key, err);

	if (result == 0) {
		digest_text(der, (size_t)len, request->spki);
		request->key_der = mem_dup(der, (size_t)len);
		request->key_der_len = (size_t)len;
		request->key_bits_len = (size_t)ASN1_STRING_length(from->bits);
		request->key_bits = request->key_der + len - request->key_bits_len;
	}
	OPENSSL_free(der);
	if (result < 0)
		return err_wrap(err, "the request's key");
	return cert_key_algorithm(request->key, request->algorithm, err);
}

static void read_common_name(const X509_NAME *name, struct cert_request *request)
{
	int first = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	unsigned char *text = NULL;
	int len = -1;

	if (first >= 0 && X509_NAME_get_index_by_NID(name, NID_commonName, first) < 0)
		len = ASN1_STRING_to_UTF8(
			&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, first)));
	if (len > 0 && (size_t)len < sizeof(request->common_name))
		memcpy(request->common_name, text, (size_t)len);
	OPENSSL_free(text);
}

static int read_request(REQUEST *from, struct cert_request *request, struct err *err)
{
	if (cert_name_text(from->info->subject, request->subject, err) < 0 ||
		read_key(from->info->key, request, err) < 0)
		return -1;
	read_common_name(from->info->subject, request);
	if (ASN1_item_verify(ASN1_ITEM_rptr(CERT_REQUEST_INFO), from->algorithm, from->signature,
		    from->info, request->key) == 1)
		return 0;
	ERR_clear_error();
	return err_set(err, ERR_UNPROCESSABLE, "cert.request_signature",
		"the request is not signed by the key that is in it");
}

int cert_request_parse(
	const void *der, size_t len, struct cert_request *ret_request, struct err *err)
{
	__attribute__((cleanup(free_request))) REQUEST *from = NULL;
	struct cert_request request = { .key = NULL };

	if (len > MAX_REQUEST)
		return err_set(err, ERR_TOO_LARGE, "cert.too_large",
			"a request has at most %u bytes", MAX_REQUEST);
	from = parse(der, len);
	if (!from)
		return failed(err, "not a PKCS#10 request in DER");
	if (read_request(from, &request, err) < 0) {
		cert_request_release(&request);
		return -1;
	}
	*ret_request = request;
	return 0;
}

void cert_request_release(struct cert_request *request)
{
	EVP_PKEY_free(request->key);
	free(request->key_der);
	*request = (struct cert_request) { .key = NULL };
}
