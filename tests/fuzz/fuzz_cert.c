/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and keys from outside: what parses must come out the same when its DER is parsed
 * again. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/cert.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_key EVP_PKEY *public = NULL, *private = NULL;
	auto_free unsigned char *der = NULL;
	size_t len = 0;

	read_certificate(data, size);
	if (cert_spki_read(data, size, &public, NULL) == 0 &&
		(cert_spki_der(public, &der, &len, NULL) < 0 || len != size ||
			memcmp(der, data, size) != 0))
		abort();
	cert_key_read((const char *)data, size, &private, NULL);
	return 0;
}
