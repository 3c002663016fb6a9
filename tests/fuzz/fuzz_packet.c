/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key packets of image layers from strangers: PKCS #7 (first byte even) and JWE (odd), opened with
 * keys that they are not for. A packet that names recipients names them within its own bytes.
 */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/mem.h"
#include "lib/ocicrypt_packet.h"
#include "lib/pkcs7.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *rsa, *ec;
static X509 *certificate;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	rsa = EVP_RSA_gen(2048);
	ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	certificate = X509_new();
	X509_set_pubkey(certificate, rsa);
	return 0;
}

static void must_be_within(const struct span *span, const uint8_t *data, size_t size)
{
	if (span->at < data || span->len > size || span->at + span->len > data + size)
		abort();
}

static void read_pkcs7(const uint8_t *data, size_t size)
{
	struct pkcs7_recipient recipient;
	unsigned char *plain = NULL;
	struct pkcs7 pkcs7;
	size_t len = 0;

	if (pkcs7_parse(data, size, &pkcs7)) {
		must_be_within(&pkcs7.content, data, size);
		while (pkcs7_next(&pkcs7.recipients, &recipient)) {
			must_be_within(&recipient.issuer, data, size);
			must_be_within(&recipient.serial, data, size);
			must_be_within(&recipient.key, data, size);
		}
	}
	if (pkcs7_open(certificate, rsa, data, size, &plain, &len))
		mem_wipe_free(plain, len);
}

static void read_jwe(const uint8_t *data, size_t size)
{
	EVP_PKEY *const keys[] = { rsa, ec };
	unsigned char *plain = NULL;
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (ocicrypt_jwe_open(keys[i], (const char *)data, size, &plain, &len))
			mem_wipe_free(plain, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (*data % 2 == 0)
		read_pkcs7(data + 1, size - 1);
	else
		read_jwe(data + 1, size - 1);
	return 0;
}
