/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates: what OpenSSL's own tool made, what we make, every kind of key, and altered
 * encodings. */
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/jose.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define OPENSSL_CERT "tests/data/cert-openssl.pem"
#define FINGERPRINT "43cbd175521368f76862d3f3313f9600ac7d18329b3560363a0c8f5ed31d32ce"
#define SPKI "sha256:ff96afb31a6c5a97c70ecb9ee443d426705f0766febd51d70c23d5cc24620341"

static void test_known_certificate(void)
{
	auto_buf pem = BUF_INIT(65536);
	auto_free unsigned char *der = NULL;
	struct cert_info info = { .not_before = 0 }, again = { .not_before = 0 };
	struct err err = { .kind = ERR_NONE };
	auto_key EVP_PKEY *key = NULL;
	size_t len = 0;

	CHECK(buf_read_file(&pem, OPENSSL_CERT, &err) == 0);
	CHECK(cert_parse(pem.data, pem.len, &info, &key, &der, &len, &err) == 0);
	CHECK_TEXT(info.fingerprint, FINGERPRINT);
	CHECK_TEXT(info.spki, SPKI);
	CHECK_TEXT(info.subject, "CN=openssl made");
	CHECK_TEXT(info.serial, "1234abcd");
	CHECK_TEXT(info.algorithm, "EC-P256");
	CHECK_NUMBER(info.not_after - info.not_before, 3650LL * 86400);

	CHECK(cert_parse(der, len, &again, NULL, NULL, NULL, &err) == 0);
	CHECK_TEXT(again.fingerprint, FINGERPRINT);
}

static void test_own_certificate(EVP_PKEY *key, const char *algorithm)
{
	struct cert_info info = { .not_before = 0 };
	struct err err = { .kind = ERR_NONE };
	auto_key EVP_PKEY *read = NULL, *public = NULL;
	auto_free unsigned char *der = NULL;
	char spki[DIGEST_TEXT_SIZE] = "";
	auto_free char *pem = NULL;
	size_t len = 0;
	X509 *cert;
	BIO *bio;

	CHECK(cert_self_sign(key, "anna, of example", 30, &pem, &err) == 0);
	CHECK(cert_parse(pem, strlen(pem), &info, &read, NULL, NULL, &err) == 0);
	CHECK_TEXT(info.subject, "CN=anna\\, of example");
	CHECK_TEXT(info.algorithm, algorithm);
	CHECK_NUMBER(strlen(info.serial), 32);
	CHECK(cert_spki(read, spki, &err) == 0);
	CHECK_TEXT(spki, info.spki);
	CHECK(EVP_PKEY_eq(read, key) == 1);

	CHECK(cert_spki_der(key, &der, &len, &err) == 0);
	CHECK(cert_spki_read(der, len, &public, &err) == 0);
	CHECK(EVP_PKEY_eq(public, key) == 1);
	CHECK_FAILS(cert_spki_read(der, len - 1, &public, &err), &err, "cert.syntax");

	bio = BIO_new_mem_buf(pem, -1);
	cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	CHECK(cert && X509_verify(cert, key) == 1);
	X509_free(cert);
	BIO_free(bio);
}

static void test_signature(EVP_PKEY *key)
{
	struct err err = { .kind = ERR_NONE };
	auto_free unsigned char *sig = NULL;
	size_t len = 0;

	CHECK(cert_sign(key, "message", 7, &sig, &len, &err) == 0);
	CHECK(cert_verify(key, "message", 7, sig, len, &err) == 0);
	CHECK_FAILS(cert_verify(key, "massage", 7, sig, len, &err), &err, "cert.signature");
	CHECK_FAILS(cert_verify(key, "message", 6, sig, len, &err), &err, "cert.signature");
	CHECK_FAILS(cert_verify(key, "message", 7, sig, len - 1, &err), &err, "cert.signature");
	CHECK_FAILS(cert_verify(key, "message", 7, "", 0, &err), &err, "cert.signature");
	sig[len / 2] ^= 1;
	CHECK_FAILS(cert_verify(key, "message", 7, sig, len, &err), &err, "cert.signature");
}

static void test_kinds(void)
{
	EVP_PKEY *keys[] = { EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_RSA_gen(2048),
		EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") };
	const char *names[] = { "EC-P256", "EC-P384", "RSA-2048", "Ed25519" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		test_own_certificate(keys[i], names[i]);
		test_signature(keys[i]);
		EVP_PKEY_free(keys[i]);
	}
}

static char *foreign_certificate(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	unsigned char *der = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL, *copy;
	long len;

	X509_set_pubkey(cert, key);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 100);
	X509_sign(cert, key, EVP_sha256());
	PEM_write_bio_X509(bio, cert);
	len = BIO_get_mem_data(bio, &text);
	copy = mem_strndup(text, (size_t)len);
	OPENSSL_free(der);
	BIO_free(bio);
	X509_free(cert);
	return copy;
}

static void test_refused_keys(void)
{
	EVP_PKEY *keys[] = { EVP_RSA_gen(1024), EVP_EC_gen("P-521"), EVP_EC_gen("secp256k1"),
		EVP_EC_gen("P-256") };
	struct cert_info info = { .not_before = 0 };
	struct err err;

	EVP_PKEY_set_utf8_string_param(keys[3], "point-format", "compressed");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		auto_free char *pem = foreign_certificate(keys[i]);

		CHECK_FAILS(cert_parse(pem, strlen(pem), &info, NULL, NULL, NULL, &err), &err,
			i == 0 ? "cert.key_weak" : "cert.key_type");
		CHECK_TEXT(info.fingerprint, "");
		EVP_PKEY_free(keys[i]);
	}
}

/* Every truncation and every flipped byte is either refused or, inside the unchecked signature,
 * still parsed. */
static void test_altered(void)
{
	struct cert_info info = { .not_before = 0 };
	auto_free unsigned char *der = NULL;
	auto_buf pem = BUF_INIT(65536);
	struct err err = { .kind = ERR_NONE };
	auto_free char *twice = NULL;
	size_t len = 0;

	CHECK(buf_read_file(&pem, OPENSSL_CERT, &err) == 0);
	CHECK(cert_parse(pem.data, pem.len, &info, NULL, &der, &len, &err) == 0);
	for (size_t i = 0; i < len; i++)
		CHECK_FAILS(cert_parse(der, i, &info, NULL, NULL, NULL, &err), &err, "cert.syntax");
	for (size_t i = 0; i < len; i++) {
		der[i] ^= 0x41;
		if (cert_parse(der, len, &info, NULL, NULL, NULL, &err) == 0)
			CHECK(strcmp(info.fingerprint, FINGERPRINT) != 0);
		der[i] ^= 0x41;
	}
	twice = mem_printf("%s%s", (char *)pem.data, (char *)pem.data);
	CHECK_FAILS(cert_parse(twice, strlen(twice), &info, NULL, NULL, NULL, &err), &err,
		"cert.bundle");
	CHECK_FAILS(cert_parse("", 0, &info, NULL, NULL, NULL, &err), &err, "cert.syntax");
}

static void test_too_large(void)
{
	struct cert_info info = { .not_before = 0 };
	auto_free char *big = mem_alloc(20000);
	EVP_PKEY *key = NULL;
	struct err err;

	CHECK_FAILS(cert_parse(big, 20000, &info, NULL, NULL, NULL, &err), &err, "cert.too_large");
	CHECK_FAILS(cert_key_read(big, 20000, &key, &err), &err, "cert.too_large");
	CHECK_FAILS(cert_spki_read(big, 20000, &key, &err), &err, "cert.too_large");
}

static void test_key_files(void)
{
	auto_key EVP_PKEY *key = NULL, *again = NULL;
	struct err err = { .kind = ERR_NONE };
	char *pem = NULL;

	CHECK(cert_key_new(&key, &err) == 0);
	CHECK(cert_key_write(key, &pem, &err) == 0);
	CHECK(strncmp(pem, "-----BEGIN PRIVATE KEY-----\n", 28) == 0);
	CHECK(cert_key_read(pem, strlen(pem), &again, &err) == 0);
	CHECK(EVP_PKEY_eq(key, again) == 1);
	pem[60] ^= 1;
	EVP_PKEY_free(again);
	again = NULL;
	CHECK_FAILS(cert_key_read(pem, 40, &again, &err), &err, "cert.syntax");
	mem_wipe_free(pem, strlen(pem));
}

int main(void)
{
	test_known_certificate();
	test_kinds();
	test_refused_keys();
	test_altered();
	test_too_large();
	test_key_files();
	CHECK_DONE();
}
