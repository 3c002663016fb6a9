/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Issuing by OpenSSL's X.509 code. Two of its habits are avoided, since each costs more than the
 * signature (OpenSSL 3.0): X509_set_pubkey() encodes the key and decodes it again, so that the
 * request's own bytes are put in; and extensions from texts are made once, not for each leaf.
 */
#include "services/certreg/ca.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cert_name.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/mem.h"

#define FILE_MAX (64 * 1024)
#define BACKDATE_SECONDS 300
#define SERIAL_BYTES 16
#define N_FIXED 6

struct ca {
	X509 *cert;
	EVP_PKEY *key;
	X509_EXTENSION *fixed[N_FIXED]; /* the same in every leaf */
	char *certificates_text;
	long long not_after;
};

static int failed(struct err *err, const char *what)
{
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "internal.crypto", "%s", what);
}

X509 *ca_certificate(const struct ca *ca)
{
	return ca->cert;
}

EVP_PKEY *ca_key(const struct ca *ca)
{
	return ca->key;
}

const EVP_MD *ca_digest(const struct ca *ca)
{
	return EVP_PKEY_get_base_id(ca->key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
}

const char *ca_certificates_text(const struct ca *ca)
{
	return ca->certificates_text;
}

/* --- reading it --- */

static int read_files(
	struct ca *ca, const char *key_file, const char *certificate_file, struct err *err)
{
	auto_buf key = BUF_INIT(FILE_MAX), cert = BUF_INIT(FILE_MAX);
	auto_free unsigned char *der = NULL;
	const unsigned char *at;
	struct cert_info info;
	size_t len = 0;

	if (buf_read_file(&key, key_file, err) < 0 ||
		cert_key_read((const char *)key.data, key.len, &ca->key, err) < 0)
		return err_wrap(err, "ca_key '%s'", key_file);
	if (buf_read_file(&cert, certificate_file, err) < 0 ||
		cert_parse(cert.data, cert.len, &info, NULL, &der, &len, err) < 0)
		return err_wrap(err, "ca_certificate '%s'", certificate_file);
	at = der;
	ca->cert = d2i_X509(NULL, &at, (long)len);
	ca->certificates_text = ca_certs_only(der, len);
	ca->not_after = info.not_after;
	if (!ca->cert || !info.is_ca || X509_check_private_key(ca->cert, ca->key) != 1 ||
		info.not_after <= clock_unix_ms() / 1000) {
		ERR_clear_error();
		return err_set(err, ERR_INVALID, "ca.bad_certificate",
			"'%s' is no CA certificate of that key, or it has expired",
			certificate_file);
	}
	return 0;
}

static int make_extensions(struct ca *ca, const char *base_url, struct err *err)
{
	auto_free char *crl = mem_printf("URI:%s/v1/crl", base_url);
	auto_free char *ocsp = mem_printf("OCSP;URI:%s/v1/ocsp", base_url);
	const struct {
		int nid;
		const char *value;
	} fixed[N_FIXED] = {
		{ NID_basic_constraints, "critical,CA:FALSE" },
		{ NID_key_usage, "critical,digitalSignature" },
		{ NID_ext_key_usage, "clientAuth" },
		{ NID_authority_key_identifier, "keyid" },
		{ NID_crl_distribution_points, crl },
		{ NID_info_access, ocsp },
	};
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, ca->cert, NULL, NULL, NULL, 0);
	for (size_t i = 0; i < N_FIXED; i++) {
		ca->fixed[i] = X509V3_EXT_conf_nid(NULL, &ctx, fixed[i].nid, fixed[i].value);
		if (!ca->fixed[i])
			return failed(err, "cannot make the extensions of certificates");
	}
	return 0;
}

struct ca *ca_load(
	const char *key_file, const char *certificate_file, const char *base_url, struct err *err)
{
	struct ca *ca = mem_alloc(sizeof(*ca));

	if (read_files(ca, key_file, certificate_file, err) == 0 &&
		make_extensions(ca, base_url, err) == 0)
		return ca;
	ca_free(ca);
	return NULL;
}

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	for (size_t i = 0; i < N_FIXED; i++)
		X509_EXTENSION_free(ca->fixed[i]);
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca->certificates_text);
	free(ca);
}

/* --- issuing --- */

static bool set_serial(X509 *cert, char ret_hex[48])
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *number;
	bool good;

	rand_bytes(bytes, sizeof(bytes));
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and of one length */
	codec_hex(bytes, sizeof(bytes), ret_hex);
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
	BN_free(number);
	return good;
}

static bool set_times(const struct ca *ca, X509 *cert, struct cert_info *info)
{
	long long now = clock_unix_ms() / 1000, end = now + CA_DAYS * 86400LL;

	info->not_before = now - BACKDATE_SECONDS;
	info->not_after = end < ca->not_after ? end : ca->not_after;
	return ASN1_TIME_set(X509_getm_notBefore(cert), info->not_before) &&
	       ASN1_TIME_set(X509_getm_notAfter(cert), info->not_after);
}

static bool add_name(X509_NAME *name, int nid, const char *value)
{
	return X509_NAME_add_entry_by_NID(
		       name, nid, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0) == 1;
}

static bool set_names(
	const struct ca *ca, X509 *cert, const char *organisation, const char *common_name)
{
	X509_NAME *subject = X509_get_subject_name(cert);

	return add_name(subject, NID_organizationName, organisation) &&
	       add_name(subject, NID_commonName, common_name) &&
	       X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1;
}

/* The request's own SubjectPublicKeyInfo. */
static bool set_key(X509 *cert, const struct cert_request *request)
{
	unsigned char *bits = OPENSSL_memdup(request->key_bits, request->key_bits_len);
	const ASN1_OBJECT *object;
	const void *value;
	int type;

	X509_ALGOR_get0(&object, &type, &value, request->key_algorithm);
	if (bits && X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(cert), OBJ_dup(object), type,
			    type == V_ASN1_OBJECT ? OBJ_dup(value) : NULL, bits,
			    (int)request->key_bits_len) == 1)
		return true;
	OPENSSL_free(bits);
	return false;
}

static bool add_extensions(const struct ca *ca, X509 *cert)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	ASN1_OCTET_STRING *identifier = ASN1_OCTET_STRING_new();
	unsigned len;
	bool good;

	good = identifier && X509_pubkey_digest(cert, EVP_sha1(), digest, &len) == 1 &&
	       ASN1_OCTET_STRING_set(identifier, digest, (int)len) == 1 &&
	       X509_add1_ext_i2d(cert, NID_subject_key_identifier, identifier, 0, 0) == 1;
	for (size_t i = 0; good && i < N_FIXED; i++)
		good = X509_add_ext(cert, ca->fixed[i], -1) == 1;
	ASN1_OCTET_STRING_free(identifier);
	return good;
}

static bool make_leaf(const struct ca *ca, const struct cert_request *request,
	const char *organisation, const char *common_name, struct ca_leaf *leaf)
{
	X509 *cert = leaf->cert;
	unsigned char *der = NULL;
	int len;

	if (!cert || X509_set_version(cert, X509_VERSION_3) != 1 ||
		!set_serial(cert, leaf->info.serial) || !set_times(ca, cert, &leaf->info) ||
		!set_names(ca, cert, organisation, common_name) || !set_key(cert, request) ||
		!add_extensions(ca, cert) || X509_sign(cert, ca->key, ca_digest(ca)) <= 0)
		return false;
	len = i2d_X509(cert, &der);
	if (len <= 0)
		return false;
	leaf->der = mem_dup(der, (size_t)len);
	leaf->der_len = (size_t)len;
	OPENSSL_free(der);
	return true;
}

int ca_issue(const struct ca *ca, const struct cert_request *request, const char *organisation,
	const char *common_name, struct ca_leaf *ret_leaf, struct err *err)
{
	struct ca_leaf leaf = { .cert = X509_new() };

	if (!make_leaf(ca, request, organisation, common_name, &leaf)) {
		ca_leaf_release(&leaf);
		return failed(err, "cannot issue a certificate");
	}
	if (cert_name_text(X509_get_subject_name(leaf.cert), leaf.info.subject, err) < 0) {
		ca_leaf_release(&leaf);
		return -1;
	}
	cert_fingerprint(leaf.der, leaf.der_len, leaf.info.fingerprint);
	memcpy(leaf.info.spki, request->spki, sizeof(leaf.info.spki));
	memcpy(leaf.info.algorithm, request->algorithm, sizeof(leaf.info.algorithm));
	*ret_leaf = leaf;
	return 0;
}

void ca_leaf_release(struct ca_leaf *leaf)
{
	X509_free(leaf->cert);
	free(leaf->der);
	*leaf = (struct ca_leaf) { .cert = NULL };
}

/* --- as EST wants it --- */

/* SignedData without content or signers, a bag of certificates: what stands before them, each part
 * from its first element on, and what stands behind. */
static const unsigned char signed_data[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x07, 0x02 };
static const unsigned char empty_content[] = { 0x02, 0x01, 0x01, 0x31, 0x00, 0x30, 0x0b, 0x06, 0x09,
	0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01 };
static const unsigned char no_signers[] = { 0x31, 0x00 };

static void put(unsigned char **at, const void *bytes, size_t len)
{
	memcpy(*at, bytes, len);
	*at += len;
}

/* OpenSSL's PKCS7 would take as long as a signature to copy the certificate. */
char *ca_certs_only(const void *der, size_t len)
{
	int certs = ASN1_object_size(1, (int)len, 0);
	int inner_len = (int)sizeof(empty_content) + certs + (int)sizeof(no_signers);
	int inner = ASN1_object_size(1, inner_len, V_ASN1_SEQUENCE);
	int outer_len = (int)sizeof(signed_data) + ASN1_object_size(1, inner, 0);
	size_t total = (size_t)ASN1_object_size(1, outer_len, V_ASN1_SEQUENCE);
	auto_free unsigned char *bag = mem_alloc(total);
	unsigned char *at = bag;

	ASN1_put_object(&at, 1, outer_len, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
	put(&at, signed_data, sizeof(signed_data));
	ASN1_put_object(&at, 1, inner, 0, V_ASN1_CONTEXT_SPECIFIC);
	ASN1_put_object(&at, 1, inner_len, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
	put(&at, empty_content, sizeof(empty_content));
	ASN1_put_object(&at, 1, (int)len, 0, V_ASN1_CONTEXT_SPECIFIC);
	put(&at, der, len);
	put(&at, no_signers, sizeof(no_signers));
	return codec_b64_lines(bag, total);
}
