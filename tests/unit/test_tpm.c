/* SPDX-License-Identifier: Apache-2.0 */
/* TPM structures on a real run, each damaged in turn; a credential opened again as a TPM would. */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "lib/cert.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/tpm.h"
#include "tests/unit/vtpm_run.h"

static json_t *run;
static struct err err;

static void test_public(void)
{
	struct bytes ak = run_bytes(run, "AKPUB"), ek = run_bytes(run, "EKPUB"),
		     name = run_bytes(run, "AKNAME"), cert = run_bytes(run, "EKCERT");
	auto_key EVP_PKEY *of_area = NULL, *of_cert = NULL;
	const unsigned char *der = cert.data;
	struct tpm_public public;
	X509 *x509 = d2i_X509(NULL, &der, (long)cert.len);

	CHECK(tpm_public_parse(ak.data, ak.len, &public, &err) == 0);
	CHECK(public.attributes == TPM_AK_ATTRIBUTES && public.curve == 3 &&
		public.scheme == 0x18 && public.hash == 0x0b);
	CHECK(name.len == TPM_NAME_SIZE && memcmp(name.data, public.name, name.len) == 0);
	CHECK_FAILS(tpm_public_parse(ak.data, ak.len - 1, &public, &err), &err, "tpm.structure");
	CHECK_FAILS(tpm_public_parse(ak.data, ak.len + 1, &public, &err), &err, "tpm.structure");
	ak.data[3] = 0x0c;
	CHECK_FAILS(tpm_public_parse(ak.data, ak.len, &public, &err), &err, "tpm.unsupported");
	ak.data[3] = 0x0b;
	ak.data[17] = 0x04; /* P-384 */
	CHECK_FAILS(tpm_public_parse(ak.data, ak.len, &public, &err), &err, "tpm.unsupported");
	ak.data[17] = 0x03;
	ak.data[ak.len - 1] ^= 1; /* no point of the curve */
	CHECK(tpm_public_parse(ak.data, ak.len, &public, &err) == 0);
	CHECK_FAILS(tpm_public_key(&public, &of_area, &err), &err, "tpm.structure");

	CHECK(tpm_public_parse(ek.data, ek.len, &public, &err) == 0);
	CHECK(tpm_public_key(&public, &of_area, &err) == 0);
	of_cert = X509_get_pubkey(x509);
	CHECK(EVP_PKEY_eq(of_area, of_cert) == 1);
	X509_free(x509);
}

static void test_quote(void)
{
	struct bytes attest = run_bytes(run, "ATTEST");
	struct tpm_quote quote;

	CHECK(tpm_quote_parse(attest.data, attest.len, &quote, &err) == 0);
	CHECK(quote.pcr_select == 0x3ff && quote.extra_data_len == DIGEST_SIZE);
	CHECK_FAILS(
		tpm_quote_parse(attest.data, attest.len - 1, &quote, &err), &err, "tpm.structure");
	CHECK_FAILS(
		tpm_quote_parse(attest.data, attest.len + 1, &quote, &err), &err, "tpm.structure");
	for (size_t i = 0; i < 6; i++) {
		attest.data[i] ^= 1;
		CHECK_FAILS(tpm_quote_parse(attest.data, attest.len, &quote, &err), &err,
			"tpm.not_a_quote");
		attest.data[i] ^= 1;
	}
	CHECK_FAILS(tpm_quote_parse(attest.data, 5, &quote, &err), &err, "tpm.not_a_quote");
}

static void test_signature(void)
{
	struct bytes attest = run_bytes(run, "ATTEST"), sig = run_bytes(run, "SIG"),
		     ak = run_bytes(run, "AKPUB");
	auto_key EVP_PKEY *key = NULL;
	struct tpm_public public;

	CHECK(tpm_public_parse(ak.data, ak.len, &public, &err) == 0);
	CHECK(tpm_public_key(&public, &key, &err) == 0);
	CHECK(tpm_signature_verify(key, attest.data, attest.len, sig.data, sig.len, &err) == 0);
	CHECK_FAILS(tpm_signature_verify(key, attest.data, attest.len, sig.data, sig.len + 1, &err),
		&err, "tpm.structure");
	attest.data[20] ^= 1;
	CHECK_FAILS(tpm_signature_verify(key, attest.data, attest.len, sig.data, sig.len, &err),
		&err, "tpm.signature");
	sig.data[3] = 0x0c; /* SHA-384 */
	CHECK_FAILS(tpm_signature_verify(key, attest.data, attest.len, sig.data, sig.len, &err),
		&err, "tpm.unsupported");
}

/* --- the TPM's side of a credential, by OpenSSL's own KDF in counter mode (SP 800-108) --- */

static void derive(const unsigned char *seed, const char *label, const unsigned char *context,
	size_t len, unsigned char *ret_key, size_t size)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "KBKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[6], *p = params;
	char digest[] = "SHA256", mac[] = "HMAC";
	auto_free char *salt = mem_strdup(label);
	auto_free void *info = mem_dup(context ? context : seed, len), *key = mem_dup(seed, 32);

	*p++ = OSSL_PARAM_construct_utf8_string("digest", digest, 0);
	*p++ = OSSL_PARAM_construct_utf8_string("mac", mac, 0);
	*p++ = OSSL_PARAM_construct_octet_string("key", key, 32);
	*p++ = OSSL_PARAM_construct_octet_string("salt", salt, strlen(salt));
	*p++ = OSSL_PARAM_construct_octet_string("info", info, len);
	*p = OSSL_PARAM_construct_end();
	CHECK(EVP_KDF_derive(ctx, ret_key, size, params) == 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

static void open_seed(
	EVP_PKEY *key, const struct tpm_credential *credential, unsigned char ret_seed[32])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	unsigned char plain[256];
	size_t len = sizeof(plain);

	CHECK(EVP_PKEY_decrypt_init(ctx) == 1);
	CHECK(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1);
	CHECK(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1);
	CHECK(EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, OPENSSL_memdup("IDENTITY", 9), 9) == 1);
	CHECK(EVP_PKEY_decrypt(ctx, plain, &len, credential->secret, credential->secret_len) == 1);
	CHECK(len == 32);
	memcpy(ret_seed, plain, 32);
	EVP_PKEY_CTX_free(ctx);
}

static void test_credential(void)
{
	auto_key EVP_PKEY *key = EVP_RSA_gen(2048), *small = EVP_RSA_gen(1024);
	unsigned char name[TPM_NAME_SIZE] = { 0, 0x0b, 7 }, secret[32], seed[32], storage[16],
		      integrity[32], mac[32], opened[34], signed_bytes[34 + TPM_NAME_SIZE];
	static const unsigned char iv[16];
	struct tpm_credential credential;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int len = 0;

	rand_bytes(secret, sizeof(secret));
	CHECK(tpm_make_credential(key, name, secret, sizeof(secret), &credential, &err) == 0);
	CHECK(credential.blob_len == 2 + 32 + 34 && credential.secret_len == 256);
	open_seed(key, &credential, seed);
	derive(seed, "STORAGE", name, sizeof(name), storage, sizeof(storage));
	derive(seed, "INTEGRITY", NULL, 0, integrity, sizeof(integrity));
	CHECK(EVP_DecryptInit_ex(ctx, EVP_aes_128_cfb128(), NULL, storage, iv) == 1);
	CHECK(EVP_DecryptUpdate(ctx, opened, &len, credential.blob + 34, 34) == 1);
	CHECK(opened[0] == 0 && opened[1] == 32 && memcmp(opened + 2, secret, 32) == 0);
	memcpy(signed_bytes, credential.blob + 34, 34);
	memcpy(signed_bytes + 34, name, sizeof(name));
	digest_hmac_sha256(integrity, 32, signed_bytes, sizeof(signed_bytes), mac);
	CHECK(credential.blob[1] == 32 && memcmp(credential.blob + 2, mac, 32) == 0);
	EVP_CIPHER_CTX_free(ctx);
	CHECK_FAILS(tpm_make_credential(small, name, secret, 32, &credential, &err), &err,
		"tpm.unsupported");
	CHECK_FAILS(tpm_make_credential(key, name, secret, 33, &credential, &err), &err,
		"tpm.unsupported");
}

int main(void)
{
	run = run_read("base");
	CHECK(run != NULL);
	test_public();
	test_quote();
	test_signature();
	test_credential();
	json_decref(run);
	CHECK_DONE();
}
