/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CA's files, and issuing. A leaf is put together from encoded parts: OpenSSL makes those that
 * are the same in all leaves once, and names, times and the signature for each; the key is the
 * request's own bytes. As an X509 it would be copied and encoded three times over, which takes
 * longer than the signature.
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
#define LEAF_MAX (64 * 1024) /* a request has a quarter of that at most */
#define BACKDATE_SECONDS 300
#define SERIAL_BYTES 16
/* Extension subjectKeyIdentifier up to the digest (RFC 5280 4.2.1.2) */
#define SKI_HEAD 0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d, 0x0e, 0x04, 0x16, 0x04, 0x14
#define SKI_HEAD_LEN 11

struct ca {
	X509 *cert;
	EVP_PKEY *key;
	EVP_MD *sha1;				/* for key identifiers, which are no secret */
	struct buf algorithm, name, extensions; /* encoded, the same in every leaf */
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

/* --- encoding --- */

static void put(struct buf *out, const void *bytes, size_t len)
{
	if (buf_add(out, bytes, len, NULL) < 0)
		abort(); /* no input of that size comes here */
}

static void put_head(struct buf *out, bool constructed, size_t len, int tag, int class)
{
	unsigned char head[16], *end = head;

	ASN1_put_object(&end, constructed, (int)len, tag, class);
	put(out, head, (size_t)(end - head));
}

static void put_within(struct buf *out, const struct buf *content, int tag, int class)
{
	put_head(out, true, content->len, tag, class);
	put(out, content->data, content->len);
}

static void put_sequence(struct buf *out, const struct buf *content)
{
	put_within(out, content, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
}

/* What OpenSSL encodes; false when it cannot. */
static bool put_encoded(struct buf *out, const ASN1_ITEM *item, const void *value)
{
	unsigned char *der = NULL;
	int len = value ? ASN1_item_i2d(value, &der, item) : -1;

	if (len > 0)
		put(out, der, (size_t)len);
	OPENSSL_free(der);
	return len > 0;
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
	} fixed[] = {
		{ NID_basic_constraints, "critical,CA:FALSE" },
		{ NID_key_usage, "critical,digitalSignature" },
		{ NID_ext_key_usage, "clientAuth" },
		{ NID_authority_key_identifier, "keyid" },
		{ NID_crl_distribution_points, crl },
		{ NID_info_access, ocsp },
	};
	bool good = true;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, ca->cert, NULL, NULL, NULL, 0);
	for (size_t i = 0; good && i < ARRAY_LEN(fixed); i++) {
		X509_EXTENSION *extension =
			X509V3_EXT_conf_nid(NULL, &ctx, fixed[i].nid, fixed[i].value);

		good = put_encoded(&ca->extensions, ASN1_ITEM_rptr(X509_EXTENSION), extension);
		X509_EXTENSION_free(extension);
	}
	return good ? 0 : failed(err, "cannot make the extensions of certificates");
}

/* Its name as an issuer, and the algorithm that it signs with: a key that signs without a digest
 * names itself (RFC 8410), RSA has a NULL behind it (RFC 4055). */
static int make_parts(struct ca *ca, struct err *err)
{
	int type = EVP_PKEY_get_base_id(ca->key), nid = type;
	const EVP_MD *md = ca_digest(ca);
	X509_ALGOR *algorithm = X509_ALGOR_new();
	bool good;

	good = algorithm && (!md || OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(md), type) == 1) &&
	       X509_ALGOR_set0(algorithm, OBJ_nid2obj(nid),
		       type == EVP_PKEY_RSA ? V_ASN1_NULL : V_ASN1_UNDEF, NULL) == 1 &&
	       put_encoded(&ca->algorithm, ASN1_ITEM_rptr(X509_ALGOR), algorithm) &&
	       put_encoded(&ca->name, ASN1_ITEM_rptr(X509_NAME), X509_get_subject_name(ca->cert));
	X509_ALGOR_free(algorithm);
	ca->sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	return good && ca->sha1 ? 0 : failed(err, "cannot make the fixed parts of certificates");
}

struct ca *ca_load(
	const char *key_file, const char *certificate_file, const char *base_url, struct err *err)
{
	struct ca *ca = mem_alloc(sizeof(*ca));

	ca->algorithm.max = ca->name.max = ca->extensions.max = LEAF_MAX;
	if (read_files(ca, key_file, certificate_file, err) == 0 && make_parts(ca, err) == 0 &&
		make_extensions(ca, base_url, err) == 0)
		return ca;
	ca_free(ca);
	return NULL;
}

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	buf_release(&ca->algorithm);
	buf_release(&ca->name);
	buf_release(&ca->extensions);
	EVP_MD_free(ca->sha1);
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca->certificates_text);
	free(ca);
}

/* --- issuing --- */

static void put_serial(struct buf *out, char ret_hex[48])
{
	unsigned char bytes[SERIAL_BYTES];

	rand_bytes(bytes, sizeof(bytes));
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and of one length */
	codec_hex(bytes, sizeof(bytes), ret_hex);
	put_head(out, false, sizeof(bytes), V_ASN1_INTEGER, V_ASN1_UNIVERSAL);
	put(out, bytes, sizeof(bytes));
}

static bool put_time(struct buf *out, long long seconds)
{
	ASN1_TIME *time = ASN1_TIME_set(NULL, seconds);
	bool good = put_encoded(out, ASN1_ITEM_rptr(ASN1_TIME), time);

	ASN1_TIME_free(time);
	return good;
}

static bool put_validity(struct buf *out, const struct ca *ca, struct cert_info *info)
{
	long long now = clock_unix_ms() / 1000, end = now + CA_DAYS * 86400LL;
	auto_buf times = BUF_INIT(LEAF_MAX);

	info->not_before = now - BACKDATE_SECONDS;
	info->not_after = end < ca->not_after ? end : ca->not_after;
	if (!put_time(&times, info->not_before) || !put_time(&times, info->not_after))
		return false;
	put_sequence(out, &times);
	return true;
}

static bool add_name(X509_NAME *name, int nid, const char *value)
{
	return X509_NAME_add_entry_by_NID(
		       name, nid, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0) == 1;
}

static bool put_subject(
	struct buf *out, const char *organisation, const char *common_name, struct cert_info *info)
{
	X509_NAME *name = X509_NAME_new();
	bool good = name && add_name(name, NID_organizationName, organisation) &&
		    add_name(name, NID_commonName, common_name) &&
		    cert_name_text(name, info->subject, NULL) == 0 &&
		    put_encoded(out, ASN1_ITEM_rptr(X509_NAME), name);

	X509_NAME_free(name);
	return good;
}

/* The subject key identifier (RFC 5280 4.2.1.2, the first way), and what is the same in every leaf.
 */
static bool put_extensions(struct buf *out, const struct ca *ca, const struct cert_request *request)
{
	unsigned char identifier[] = { SKI_HEAD, [SKI_HEAD_LEN + SHA_DIGEST_LENGTH - 1] = 0 };
	auto_buf list = BUF_INIT(LEAF_MAX), sequence = BUF_INIT(LEAF_MAX);

	if (EVP_Digest(request->key_bits, request->key_bits_len, identifier + SKI_HEAD_LEN, NULL,
		    ca->sha1, NULL) != 1)
		return false;
	put(&list, identifier, sizeof(identifier));
	put(&list, ca->extensions.data, ca->extensions.len);
	put_sequence(&sequence, &list);
	put_within(out, &sequence, 3, V_ASN1_CONTEXT_SPECIFIC);
	return true;
}

/* TBSCertificate of RFC 5280 4.1. */
static bool put_body(struct buf *out, const struct ca *ca, const struct cert_request *request,
	const char *organisation, const char *common_name, struct cert_info *info)
{
	static const unsigned char version_3[] = { 0xa0, 3, V_ASN1_INTEGER, 1, 2 };
	auto_buf body = BUF_INIT(LEAF_MAX);

	put(&body, version_3, sizeof(version_3));
	put_serial(&body, info->serial);
	put(&body, ca->algorithm.data, ca->algorithm.len);
	put(&body, ca->name.data, ca->name.len);
	if (!put_validity(&body, ca, info) || !put_subject(&body, organisation, common_name, info))
		return false;
	put(&body, request->key_der, request->key_der_len);
	if (!put_extensions(&body, ca, request))
		return false;
	put_sequence(out, &body);
	return true;
}

static bool make_leaf(const struct ca *ca, const struct cert_request *request,
	const char *organisation, const char *common_name, struct ca_leaf *leaf)
{
	static const unsigned char no_spare_bits = 0;
	auto_buf content = BUF_INIT(LEAF_MAX), whole = BUF_INIT(LEAF_MAX);
	auto_free unsigned char *signature = NULL;
	size_t len;

	if (!put_body(&content, ca, request, organisation, common_name, &leaf->info) ||
		cert_sign(ca->key, content.data, content.len, &signature, &len, NULL) < 0)
		return false;
	put(&content, ca->algorithm.data, ca->algorithm.len);
	put_head(&content, false, len + 1, V_ASN1_BIT_STRING, V_ASN1_UNIVERSAL);
	put(&content, &no_spare_bits, 1);
	put(&content, signature, len);
	put_sequence(&whole, &content);
	leaf->der_len = whole.len;
	leaf->der = take_ptr(whole.data);
	return true;
}

int ca_issue(const struct ca *ca, const struct cert_request *request, const char *organisation,
	const char *common_name, struct ca_leaf *ret_leaf, struct err *err)
{
	struct ca_leaf leaf = { .der = NULL };

	if (!make_leaf(ca, request, organisation, common_name, &leaf))
		return failed(err, "cannot issue a certificate");
	cert_fingerprint(leaf.der, leaf.der_len, leaf.info.fingerprint);
	memcpy(leaf.info.spki, request->spki, sizeof(leaf.info.spki));
	memcpy(leaf.info.algorithm, request->algorithm, sizeof(leaf.info.algorithm));
	*ret_leaf = leaf;
	return 0;
}

void ca_leaf_release(struct ca_leaf *leaf)
{
	free(take_ptr(leaf->der));
}

/* --- as EST wants it --- */

/* SignedData without content or signers, a bag of certificates: OIDs, version and the empty sets.
 */
static const unsigned char signed_data[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x07, 0x02 };
static const unsigned char empty_content[] = { 0x02, 0x01, 0x01, 0x31, 0x00, 0x30, 0x0b, 0x06, 0x09,
	0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01 };
static const unsigned char no_signers[] = { 0x31, 0x00 };

char *ca_certs_only(const void *der, size_t len)
{
	auto_buf bag = BUF_INIT(LEAF_MAX), inner = BUF_INIT(LEAF_MAX), outer = BUF_INIT(LEAF_MAX),
		 whole = BUF_INIT(LEAF_MAX);

	put(&bag, empty_content, sizeof(empty_content));
	put_head(&bag, true, len, 0, V_ASN1_CONTEXT_SPECIFIC);
	put(&bag, der, len);
	put(&bag, no_signers, sizeof(no_signers));
	put_sequence(&inner, &bag);
	put(&outer, signed_data, sizeof(signed_data));
	put_within(&outer, &inner, 0, V_ASN1_CONTEXT_SPECIFIC);
	put_sequence(&whole, &outer);
	return codec_b64_lines(whole.data, whole.len);
}
