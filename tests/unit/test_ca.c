/* SPDX-License-Identifier: Apache-2.0 */
/* Leaves of CAs of every kind of key, put together from encoded parts: OpenSSL reads, re-encodes
 * and verifies them. */
#include "services/certreg/ca.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static struct err err;

static X509 *ca_certificate_of(EVP_PKEY *key, const EVP_MD *md)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	X509V3_CTX ctx;

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_UTF8, (const unsigned char *)"the CA", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_gmtime_adj(X509_getm_notBefore(cert), -10);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	for (int i = 0; i < 2; i++) {
		X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx,
			i ? NID_subject_key_identifier : NID_basic_constraints,
			i ? "hash" : "critical,CA:TRUE");

		X509_add_ext(cert, extension, -1);
		X509_EXTENSION_free(extension);
	}
	CHECK(X509_sign(cert, key, md) > 0);
	return cert;
}

static void write_file(const char *path, EVP_PKEY *key, X509 *cert)
{
	BIO *bio = BIO_new_file(path, "w");

	CHECK(key ? PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
		  : PEM_write_bio_X509(bio, cert));
	BIO_free(bio);
}

static struct ca *load(EVP_PKEY *key, X509 *cert)
{
	char folder[] = "/tmp/strongroom-ca-XXXXXX";
	auto_free char *key_file = NULL, *cert_file = NULL;
	struct ca *ca;

	CHECK(mkdtemp(folder) != NULL);
	key_file = mem_printf("%s/key", folder);
	cert_file = mem_printf("%s/cert", folder);
	write_file(key_file, key, NULL);
	write_file(cert_file, NULL, cert);
	ca = ca_load(key_file, cert_file, "https://example.org", &err);
	CHECK(ca != NULL);
	unlink(key_file);
	unlink(cert_file);
	rmdir(folder);
	return ca;
}

static void make_request(EVP_PKEY *key, const EVP_MD *md, struct cert_request *ret_request)
{
	X509_REQ *request = X509_REQ_new();
	unsigned char *der = NULL;
	int len;

	X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8,
		(const unsigned char *)"Zo\xc3\xab, 7", -1, -1, 0);
	X509_REQ_set_pubkey(request, key);
	CHECK(X509_REQ_sign(request, key, md) > 0);
	len = i2d_X509_REQ(request, &der);
	CHECK(cert_request_parse(der, (size_t)len, ret_request, &err) == 0);
	OPENSSL_free(der);
	X509_REQ_free(request);
}

/* By the standard's own words: the identifier is SHA-1 of the key's bits. */
static void check_identifier(X509 *leaf)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	const ASN1_OCTET_STRING *identifier = X509_get0_subject_key_id(leaf);
	unsigned len = 0;

	CHECK(X509_pubkey_digest(leaf, EVP_sha1(), digest, &len) == 1);
	CHECK(identifier && ASN1_STRING_length(identifier) == (int)len &&
		memcmp(ASN1_STRING_get0_data(identifier), digest, len) == 0);
}

static void check_leaf(const struct ca_leaf *leaf, X509 *issuer)
{
	const unsigned char *at = leaf->der;
	X509 *cert = d2i_X509(NULL, &at, (long)leaf->der_len);
	struct cert_info info = { .not_before = 0 };

	CHECK(cert && at == leaf->der + leaf->der_len);
	/* cert_parse() takes the one encoding that OpenSSL writes itself, and no other */
	CHECK(cert_parse(leaf->der, leaf->der_len, &info, NULL, NULL, NULL, &err) == 0);
	CHECK_TEXT(info.subject, leaf->info.subject);
	CHECK_TEXT(info.serial, leaf->info.serial);
	CHECK_TEXT(info.spki, leaf->info.spki);
	CHECK_TEXT(info.fingerprint, leaf->info.fingerprint);
	CHECK_TEXT(info.algorithm, leaf->info.algorithm);
	CHECK_NUMBER(info.not_before, leaf->info.not_before);
	CHECK_NUMBER(info.not_after, leaf->info.not_after);
	CHECK(!info.is_ca && X509_get_version(cert) == X509_VERSION_3);
	CHECK(X509_verify(cert, X509_get0_pubkey(issuer)) == 1);
	CHECK(X509_check_issued(issuer, cert) == X509_V_OK);
	check_identifier(cert);
	X509_free(cert);
}

static void test_ca(EVP_PKEY *key, EVP_PKEY *leaf_key)
{
	const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
	X509 *cert = ca_certificate_of(key, md);
	auto_request request = { .key = NULL };
	auto_leaf leaf = { .der = NULL };
	struct ca *ca = load(key, cert);

	make_request(leaf_key, EVP_sha256(), &request);
	CHECK(ca_issue(ca, &request, "acme", request.common_name, &leaf, &err) == 0);
	CHECK_TEXT(leaf.info.subject, "CN=Zo\\C3\\AB\\, 7,O=acme");
	check_leaf(&leaf, cert);
	ca_free(ca);
	X509_free(cert);
	EVP_PKEY_free(key);
	EVP_PKEY_free(leaf_key);
}

int main(void)
{
	test_ca(EVP_EC_gen("P-256"), EVP_EC_gen("P-256"));
	test_ca(EVP_EC_gen("P-384"), EVP_RSA_gen(2048));
	test_ca(EVP_RSA_gen(2048), EVP_EC_gen("P-384"));
	test_ca(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), EVP_EC_gen("P-256"));
	CHECK_DONE();
}
