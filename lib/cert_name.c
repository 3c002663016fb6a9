/* SPDX-License-Identifier: Apache-2.0 */
/* Reading distinguished names and alternative names. */
#include "lib/cert_name.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

static int failed(struct err *err, const char *what)
{
	ERR_clear_error();
	return err_set(err, ERR_INVALID, "cert.syntax", "%s", what);
}

static int has_nul(struct err *err)
{
	return err_set(
		err, ERR_INVALID, "cert.name_nul", "a name in the certificate has a NUL inside");
}

/* As UTF-8, since some encodings are full of zeros by nature. */
static int check_entry(const ASN1_STRING *value, struct err *err)
{
	unsigned char *text = NULL;
	int len = ASN1_STRING_to_UTF8(&text, value);
	bool found = len > 0 && memchr(text, 0, (size_t)len);

	OPENSSL_free(text);
	if (len < 0)
		return failed(err, "a name in the certificate is unreadable");
	return found ? has_nul(err) : 0;
}

static int check_name(const X509_NAME *name, struct err *err)
{
	for (int i = 0; i < X509_NAME_entry_count(name); i++) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);

		if (check_entry(X509_NAME_ENTRY_get_data(entry), err) < 0)
			return -1;
	}
	return 0;
}

int cert_name_text(const X509_NAME *name, char ret_text[CERT_SUBJECT_SIZE], struct err *err)
{
	BIO *bio;
	char *text = NULL;
	long len = -1;
	bool good;

	if (check_name(name, err) < 0)
		return -1;
	bio = BIO_new(BIO_s_mem());
	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
		len = BIO_get_mem_data(bio, &text);
	good = len >= 0 && len < (long)CERT_SUBJECT_SIZE;
	if (good) {
		memcpy(ret_text, text ? text : "", (size_t)len);
		ret_text[len] = '\0';
	}
	BIO_free(bio);
	return good ? 0 : failed(err, "the subject is unreadable or too long");
}

static int check_alternative(GENERAL_NAME *name, struct err *err)
{
	int type;
	const void *value = GENERAL_NAME_get0_value(name, &type);

	if (type != GEN_DNS && type != GEN_EMAIL && type != GEN_URI)
		return 0;
	return memchr(ASN1_STRING_get0_data(value), 0, (size_t)ASN1_STRING_length(value))
		       ? has_nul(err)
		       : 0;
}

int cert_name_check_others(X509 *cert, struct err *err)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int result = check_name(X509_get_issuer_name(cert), err);

	for (int i = 0; result == 0 && i < sk_GENERAL_NAME_num(names); i++)
		result = check_alternative(sk_GENERAL_NAME_value(names, i), err);
	GENERAL_NAMES_free(names);
	return result;
}
