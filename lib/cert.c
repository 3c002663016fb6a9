/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X.509 certificates: one DER encoding in, the fields that we store out. A certificate is a carrier
 * of a key here: who may use it is decided by its SPKI digest, never by its issuer.
 */
#include "lib/cert.h"

#include <ctype.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>

#include "lib/cert_key.h"
#include "lib/cert_name.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/mem.h"

#define MAX_CERT (16u * 1024)
#define BACKDATE_SECONDS 300 /* for clocks that are a little slow */
#define SERIAL_BYTES 16

static int failed(struct err *err, const char *what)
{
	ERR_clear_error();
	return err_set(err, ERR_INVALID, "cert.syntax", "%s", what);
}

static void x509_cleanup(X509 **cert)
{
	X509_free(*cert);
}
#define auto_x509 __attribute__((cleanup(x509_cleanup))) X509

/* --- reading --- */

static const char pem_begin[] = "-----BEGIN ";
static const char pem_head[] = "-----BEGIN CERTIFICATE-----";
static const char pem_tail[] = "-----END CERTIFICATE-----";
static const char not_one[] = "the PEM text does not hold a certificate and nothing else";

static bool only_space(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isspace((unsigned char)text[i]))
			return false;
	return true;
}

/* What stands between the two lines of a PEM text that holds one certificate and nothing else;
 * NULL: it is another. `ret_rest`: what is behind the second line. */
static const char *find_base64(const char *text, size_t len, size_t *ret_len, const char **ret_rest)
{
	const char *begin = text + strlen(pem_head), *end;

	if (len <= strlen(pem_head) || memcmp(text, pem_head, strlen(pem_head)) != 0)
		return NULL;
	end = memmem(begin, len - strlen(pem_head), pem_tail, strlen(pem_tail));
	if (!end || end[-1] != '\n' || !isspace((unsigned char)*begin))
		return NULL;
	*ret_len = (size_t)(end - begin);
	*ret_rest = end + strlen(pem_tail);
	return begin;
}

/* DER of the one certificate in a PEM text. OpenSSL's reader takes longer than all else that is
 * done about a certificate that is known. */
static int unwrap_pem(
	const char *text, size_t len, unsigned char **ret_der, size_t *ret_len, struct err *err)
{
	size_t base64_len, rest_len, packed_len = 0;
	auto_free char *packed = NULL;
	const char *rest, *base64 = find_base64(text, len, &base64_len, &rest);

	if (!base64)
		return failed(err, not_one);
	rest_len = (size_t)(text + len - rest);
	if (memmem(rest, rest_len, pem_begin, strlen(pem_begin)))
		return err_set(err, ERR_INVALID, "cert.bundle",
			"the PEM text holds more than one object: send the leaf alone");
	packed = mem_alloc(base64_len);
	for (size_t i = 0; i < base64_len; i++) {
		if (!isspace((unsigned char)base64[i]))
			packed[packed_len++] = base64[i];
	}
	if (!only_space(rest, rest_len) ||
		codec_b64_decode(packed, packed_len, ret_der, ret_len, NULL) < 0)
		return failed(err, not_one);
	return 0;
}

int cert_der(
	const void *data, size_t len, unsigned char **ret_der, size_t *ret_len, struct err *err)
{
	if (len > MAX_CERT)
		return err_set(err, ERR_TOO_LARGE, "cert.too_large",
			"a certificate has at most %u bytes", MAX_CERT);
	if (len > strlen(pem_begin) && memcmp(data, pem_begin, strlen(pem_begin)) == 0)
		return unwrap_pem(data, len, ret_der, ret_len, err);
	*ret_der = mem_dup(data, len);
	*ret_len = len;
	return 0;
}

/* Parses all of the bytes, and accepts only the encoding that OpenSSL would write itself. */
static X509 *parse_der(const unsigned char *der, size_t len, struct err *err)
{
	const unsigned char *at = der;
	unsigned char *again = NULL;
	X509 *cert = d2i_X509(NULL, &at, (long)len);
	int again_len = cert ? i2d_X509(cert, &again) : -1;
	bool same = again_len > 0 && (size_t)again_len == len && memcmp(again, der, len) == 0;

	OPENSSL_free(again);
	if (same)
		return cert;
	X509_free(cert);
	failed(err, "not a DER certificate");
	return NULL;
}

static int read_serial(const X509 *cert, struct cert_info *info, struct err *err)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = number ? BN_bn2hex(number) : NULL;
	bool good = hex && strlen(hex) < sizeof(info->serial);

	for (size_t i = 0; good && i <= strlen(hex); i++)
		info->serial[i] = (char)tolower((unsigned char)hex[i]);
	OPENSSL_free(hex);
	BN_free(number);
	return good ? 0 : failed(err, "the serial number is unreadable or too long");
}

static int read_time(const ASN1_TIME *time, long long *ret_seconds, struct err *err)
{
	struct tm parts = { 0 };

	if (ASN1_TIME_to_tm(time, &parts) != 1)
		return failed(err, "a time of the certificate is unreadable");
	*ret_seconds = timegm(&parts);
	return 0;
}

void cert_fingerprint(const void *der, size_t len, char ret_text[CERT_FINGERPRINT_SIZE])
{
	unsigned char digest[DIGEST_SIZE];

	digest_sha256(der, len, digest);
	codec_hex(digest, sizeof(digest), ret_text);
}

/* A certificate that names itself as its issuer must be signed by its own key. */
static int read_issuer(X509 *cert, EVP_PKEY *key, struct cert_info *info, struct err *err)
{
	info->is_ca = (X509_get_extension_flags(cert) & (EXFLAG_CA | EXFLAG_INVALID)) != 0;
	info->is_self_signed =
		X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
	if (!info->is_self_signed || X509_verify(cert, key) == 1)
		return 0;
	ERR_clear_error();
	return err_set(err, ERR_UNPROCESSABLE, "cert.self_signature",
		"the certificate is not signed by its own key, though it says so");
}

static int read_fields(
	X509 *cert, const unsigned char *der, size_t len, struct cert_info *info, struct err *err)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);

	cert_fingerprint(der, len, info->fingerprint);
	if (!key)
		return failed(err, "the certificate's key is unreadable");
	if (cert_key_algorithm(key, info->algorithm, err) < 0 ||
		cert_spki(key, info->spki, err) < 0)
		return -1;
	if (cert_name_text(X509_get_subject_name(cert), info->subject, err) < 0 ||
		cert_name_check_others(cert, err) < 0 || read_serial(cert, info, err) < 0)
		return -1;
	if (read_time(X509_get0_notBefore(cert), &info->not_before, err) < 0 ||
		read_time(X509_get0_notAfter(cert), &info->not_after, err) < 0)
		return -1;
	return read_issuer(cert, key, info, err);
}

int cert_parse(const void *data, size_t len, struct cert_info *ret_info, EVP_PKEY **ret_key,
	unsigned char **ret_der, size_t *ret_der_len, struct err *err)
{
	auto_free unsigned char *der = NULL;
	struct cert_info info = { .not_before = 0 };
	auto_x509 *cert = NULL;
	size_t der_len = 0;

	if (cert_der(data, len, &der, &der_len, err) < 0)
		return -1;
	cert = parse_der(der, der_len, err);
	if (!cert || read_fields(cert, der, der_len, &info, err) < 0)
		return -1;

	*ret_info = info;
	if (ret_key)
		*ret_key = X509_get_pubkey(cert);
	if (ret_der_len)
		*ret_der_len = der_len;
	if (ret_der)
		*ret_der = take_ptr(der);
	return 0;
}

/* --- making --- */

static bool set_serial(X509 *cert)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *number;
	bool good;

	rand_bytes(bytes, sizeof(bytes));
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and of one length */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
	BN_free(number);
	return good;
}

static bool set_names(X509 *cert, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(cert);

	return X509_NAME_add_entry_by_txt(
		       subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(cert, subject) == 1;
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	bool good;

	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return good;
}

static X509 *make(EVP_PKEY *key, const char *name, int days)
{
	const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
	auto_x509 *cert = X509_new();

	if (!cert || X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) ||
		!set_names(cert, name) || X509_set_pubkey(cert, key) != 1)
		return NULL;
	if (!X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE_SECONDS) ||
		!X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL))
		return NULL;
	if (!add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") ||
		!add_extension(cert, NID_key_usage, "critical,digitalSignature") ||
		!add_extension(cert, NID_subject_key_identifier, "hash"))
		return NULL;
	return X509_sign(cert, key, md) > 0 ? take_ptr(cert) : NULL;
}

int cert_self_sign(EVP_PKEY *key, const char *name, int days, char **ret_pem, struct err *err)
{
	auto_x509 *cert = make(key, name, days);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long len = 0;

	if (cert && bio && PEM_write_bio_X509(bio, cert) == 1)
		len = BIO_get_mem_data(bio, &text);
	if (len > 0)
		*ret_pem = mem_strndup(text, (size_t)len);
	BIO_free(bio);
	return len > 0 ? 0 : failed(err, "cannot make a certificate of this name and key");
}
