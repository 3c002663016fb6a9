/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endorsement key's certificate (TCG EK Credential Profile): who made this TPM, for whom. The
 * root is the verifier's own; of what the report brings only intermediate CAs are used.
 */
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/evidence_inner.h"
#include "lib/jose.h"
#include "lib/mem.h"

#define EK_USAGE "2.23.133.8.1" /* tcg-kp-EKCertificate */
#define EK_BITS 2048

static void free_certificate(X509 **certificate)
{
	X509_free(*certificate);
}
#define auto_x509 __attribute__((cleanup(free_certificate)))

static X509 *read_der(const struct evidence_bytes *bytes)
{
	const unsigned char *at = bytes->data;
	X509 *certificate = d2i_X509(NULL, &at, (long)bytes->len);

	if (certificate && at != bytes->data + bytes->len) {
		X509_free(certificate);
		return NULL;
	}
	return certificate;
}

static X509 *read_pem(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	return certificate;
}

/* --- form --- */

static bool is_for_ek(X509 *certificate)
{
	EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
	bool found = false;
	char text[64];

	for (int i = 0; i < sk_ASN1_OBJECT_num(usages); i++) {
		OBJ_obj2txt(text, sizeof(text), sk_ASN1_OBJECT_value(usages, i), 1);
		found |= strcmp(text, EK_USAGE) == 0;
	}
	EXTENDED_KEY_USAGE_free(usages);
	return found;
}

static const char *fault_of(X509 *certificate)
{
	EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;

	if (!certificate)
		return "no certificate";
	if (!key || !EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) != EK_BITS)
		return "a key of another kind";
	if (X509_check_ca(certificate) != 0)
		return "a CA's certificate";
	if (!is_for_ek(certificate))
		return "a certificate of another use";
	return NULL;
}

int evidence_ek_key(const struct evidence_bytes *bytes, EVP_PKEY **ret_key, struct err *err)
{
	auto_x509 X509 *certificate = read_der(bytes);
	const char *fault = fault_of(certificate);

	if (fault)
		return err_set(err, ERR_UNPROCESSABLE, "evidence.ek_certificate",
			"the endorsement key's certificate is %s", fault);
	*ret_key = X509_get_pubkey(certificate);
	return 0;
}

/* --- chain --- */

/* NULL when it is right, else why not. */
static const char *fault_of_chain(X509 *leaf, X509 *root, STACK_OF(X509) * others, long long now)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	const char *fault = "cannot be verified";

	if (X509_STORE_add_cert(store, root) == 1 &&
		X509_STORE_CTX_init(ctx, store, leaf, others) == 1) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);

		X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
		X509_VERIFY_PARAM_set_depth(param, EVIDENCE_CHAIN_MAX);
		X509_VERIFY_PARAM_set_time(param, (time_t)now);
		fault = X509_verify_cert(ctx) == 1
				? NULL
				: X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return fault;
}

static void fingerprint(X509 *certificate, char ret_text[DIGEST_TEXT_SIZE])
{
	unsigned char digest[DIGEST_SIZE] = { 0 };
	unsigned len = 0;

	X509_digest(certificate, EVP_sha256(), digest, &len);
	digest_format(digest, ret_text);
}

static const char *verify_chain(
	const struct evidence_report *report, X509 *leaf, X509 *root, long long now)
{
	STACK_OF(X509) *others = sk_X509_new_null();
	const char *fault = NULL;
	X509 *certificate;

	for (size_t i = 0; i < report->chain_len && !fault; i++) {
		certificate = read_der(&report->chain[i]);
		if (!certificate)
			fault = "one of the chain is no certificate";
		else
			sk_X509_push(others, certificate);
	}
	if (!fault)
		fault = fault_of_chain(leaf, root, others, now);
	sk_X509_pop_free(others, X509_free);
	return fault;
}

static void check_chain(const struct evidence_report *report, X509 *leaf,
	const struct evidence_expect *expect, json_t *checks)
{
	auto_x509 X509 *root = expect->vtpm_ca ? read_pem(expect->vtpm_ca) : NULL;
	char expected[DIGEST_TEXT_SIZE + 16] = "a root of one's own";
	const char *fault = "none is trusted";
	char text[DIGEST_TEXT_SIZE];

	if (root) {
		fingerprint(root, text);
		snprintf(expected, sizeof(expected), "to %s", text);
		fault = leaf ? verify_chain(report, leaf, root, expect->now) : "no certificate";
	}
	evidence_note(checks, "evidence.ek_chain", "endorsement key: chain to the vTPM CA",
		fault ? EVIDENCE_FAILED : EVIDENCE_OK, expected, fault ? fault : expected);
}

/* --- subject --- */

static void subject_of(X509 *certificate, char *ret_text, size_t size)
{
	const X509_NAME *name = certificate ? X509_get_subject_name(certificate) : NULL;
	int at = name ? X509_NAME_get_index_by_NID(name, NID_commonName, -1) : -1;
	const ASN1_STRING *text;

	snprintf(ret_text, size, "no name");
	if (at < 0)
		return;
	if (X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0) {
		snprintf(ret_text, size, "several names");
		return;
	}
	text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
	if (strnlen((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)) ==
		(size_t)ASN1_STRING_length(text))
		snprintf(ret_text, size, "%.*s", ASN1_STRING_length(text),
			ASN1_STRING_get0_data(text));
}

static void check_subject(X509 *certificate, const char *expected, json_t *checks)
{
	char actual[128];

	subject_of(certificate, actual, sizeof(actual));
	evidence_note(checks, "evidence.ek_subject", "endorsement key: made for this sandbox",
		expected && strcmp(expected, actual) == 0 ? EVIDENCE_OK : EVIDENCE_FAILED, expected,
		actual);
}

void evidence_check_ek(
	const struct evidence_report *report, const struct evidence_expect *expect, json_t *checks)
{
	static const char form[] = "RSA-2048, an endorsement key's";
	auto_x509 X509 *certificate = read_der(&report->ek_certificate);
	const char *fault = fault_of(certificate);

	evidence_note(checks, "evidence.ek_certificate", "endorsement key: certificate",
		fault ? EVIDENCE_FAILED : EVIDENCE_OK, form, fault ? fault : form);
	check_chain(report, certificate, expect, checks);
	check_subject(certificate, expect->subject, checks);
}
