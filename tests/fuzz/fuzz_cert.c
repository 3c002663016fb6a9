/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, requests and keys from outside: what parses must come out the same when its DER is
 * parsed again. */
#include <openssl/x509.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/cert.h"
#include "lib/cert_request.h"
#include "lib/jose.h"
#include "lib/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_certificate(const uint8_t *data, size_t size)
{
	struct cert_info info = { .not_before = 0 }, again = { .not_before = 0 };
	auto_free unsigned char *der = NULL;
	auto_key EVP_PKEY *key = NULL;
	char spki[DIGEST_TEXT_SIZE];
	size_t len = 0;

	if (cert_parse(data, size, &info, &key, &der, &len, NULL) < 0)
		return;
	if (cert_spki(key, spki, NULL) < 0 || strcmp(spki, info.spki) != 0)
		abort();
	if (cert_parse(der, len, &again, NULL, NULL, NULL, NULL) < 0 ||
		strcmp(info.fingerprint, again.fingerprint) != 0)
		abort();
}

/* A request that is good is about the key that OpenSSL's own reader finds in it. */
static void read_request(const uint8_t *data, size_t size)
{
	auto_request request = { .key = NULL };
	const unsigned char *at = data;
	char spki[DIGEST_TEXT_SIZE];
	X509_REQ *same;

	if (cert_request_parse(data, size, &request, NULL) < 0)
		return;
	same = d2i_X509_REQ(NULL, &at, (long)size);
	if (!same || cert_spki(X509_REQ_get0_pubkey(same), spki, NULL) < 0 ||
		strcmp(spki, request.spki) != 0 || X509_REQ_verify(same, request.key) != 1)
		abort();
	X509_REQ_free(same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_key EVP_PKEY *public = NULL, *private = NULL;
	auto_free unsigned char *der = NULL;
	size_t len = 0;

	read_certificate(data, size);
	read_request(data, size);
	if (cert_spki_read(data, size, &public, NULL) == 0 &&
		(cert_spki_der(public, &der, &len, NULL) < 0 || len != size ||
			memcmp(der, data, size) != 0))
		abort();
	cert_key_read((const char *)data, size, &private, NULL);
	return 0;
}
