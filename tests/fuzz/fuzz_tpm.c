/* SPDX-License-Identifier: Apache-2.0 */
/* TPM structures: what is read has one spelling, so that the name of a key is that of its bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/jose.h"
#include "lib/tpm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_public(const uint8_t *data, size_t size)
{
	unsigned char digest[DIGEST_SIZE];
	auto_key EVP_PKEY *key = NULL;
	struct tpm_public public;

	if (tpm_public_parse(data, size, &public, NULL) < 0)
		return;
	digest_sha256(data, size, digest);
	if (memcmp(public.name + 2, digest, sizeof(digest)) != 0)
		abort();
	if (tpm_public_key(&public, &key, NULL) == 0 &&
		tpm_signature_verify(key, data, size, data, size, NULL) == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tpm_quote quote;

	read_public(data, size);
	if (tpm_quote_parse(data, size, &quote, NULL) == 0 &&
		(quote.pcr_select >> TPM_PCRS || quote.extra_data_len > sizeof(quote.extra_data)))
		abort();
	return 0;
}
