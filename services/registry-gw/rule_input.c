/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rule as an owner sends it, and as it is shown: what is shown may be sent again. A certificate
 * is kept as the digest that key packets are looked up by, a signer's key as it is.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cert_key.h"
#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"
#include "lib/pkcs7.h"
#include "services/registry-gw/rule.h"

#define MAX_NAMED 16
#define MAX_NAME 80
#define MAX_CERTIFICATE (24 * 1024)
#define MAX_PUBLIC_KEY 1024

struct body {
	const char *mode;
	json_t *recipients, *signers;
	long long max_recipients;
};

static const struct json_field body_fields[] = {
	{ "mode", JSON_FIELD_TEXT, offsetof(struct body, mode), true, 32 },
	{ "required_recipients", JSON_FIELD_ARRAY, offsetof(struct body, recipients), true,
		MAX_NAMED },
	{ "signers", JSON_FIELD_ARRAY, offsetof(struct body, signers), true, MAX_NAMED },
	{ "max_recipients", JSON_FIELD_COUNT, offsetof(struct body, max_recipients), true,
		OCICRYPT_MAX_RECIPIENTS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct named {
	const char *name, *certificate, *issuer_serial, *public_key, *spki;
};

static const struct json_field recipient_fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct named, name), true, MAX_NAME },
	{ "certificate", JSON_FIELD_TEXT, offsetof(struct named, certificate), false,
		MAX_CERTIFICATE },
	{ "issuer_serial", JSON_FIELD_DIGEST, offsetof(struct named, issuer_serial), false, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static const struct json_field signer_fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct named, name), true, MAX_NAME },
	{ "public_key", JSON_FIELD_TEXT, offsetof(struct named, public_key), true, MAX_PUBLIC_KEY },
	{ "spki", JSON_FIELD_DIGEST, offsetof(struct named, spki), false, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int bad_recipient(const struct named *named, const char *why, struct err *err)
{
	return err_set(err, ERR_UNPROCESSABLE, "rule.bad_recipient", "recipient '%s': %s",
		named->name, why);
}

/* PEM, or base64 of the DER. */
static int certificate_bytes(
	const char *text, unsigned char **ret_data, size_t *ret_len, struct err *err)
{
	if (strncmp(text, "-----BEGIN ", 11) != 0)
		return codec_b64_decode(text, strlen(text), ret_data, ret_len, err);
	*ret_len = strlen(text);
	*ret_data = mem_dup(text, *ret_len);
	return 0;
}

static int read_certificate(
	const struct named *named, char ret_digest[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_free unsigned char *data = NULL, *der = NULL;
	struct err inner = { .kind = ERR_NONE };
	const unsigned char *at;
	struct cert_info info;
	size_t len, der_len;
	X509 *certificate;
	int done;

	if (certificate_bytes(named->certificate, &data, &len, &inner) < 0 ||
		cert_parse(data, len, &info, NULL, &der, &der_len, &inner) < 0)
		return bad_recipient(named, inner.detail, err);
	at = der;
	certificate = d2i_X509(NULL, &at, (long)der_len);
	done = pkcs7_issuer_serial(certificate, ret_digest, &inner);
	X509_free(certificate);
	if (done < 0)
		return bad_recipient(named, inner.detail, err);
	if (strncmp(info.algorithm, "RSA-", 4) != 0)
		return bad_recipient(
			named, "PKCS #7 packets are for certificates with an RSA key", err);
	return 0;
}

static int read_recipient(struct arena *arena, json_t *item, json_t *list, struct err *err)
{
	struct named named = { .name = NULL };
	char digest[DIGEST_TEXT_SIZE];

	if (json_decode(arena, item, recipient_fields, &named, err) < 0)
		return -1;
	if (!named.certificate == !named.issuer_serial)
		return bad_recipient(
			&named, "it has a certificate, or the issuer_serial of one", err);
	if (named.certificate && read_certificate(&named, digest, err) < 0)
		return -1;
	return json_array_append_new(
		list, json_pack("{s:s, s:s}", "name", named.name, "issuer_serial",
			      named.certificate ? digest : named.issuer_serial));
}

static int bad_signer(const struct named *named, const char *why, struct err *err)
{
	return err_set(
		err, ERR_UNPROCESSABLE, "rule.bad_signer", "signer '%s': %s", named->name, why);
}

int rule_key(const char *text, EVP_PKEY **ret_key, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	long len = 0;
	int result = -1;

	if (bio && PEM_read_bio(bio, &name, &header, &der, &len) == 1 &&
		strcmp(name, PEM_STRING_PUBLIC) == 0)
		result = cert_spki_read(der, (size_t)len, ret_key, err);
	else
		err_set(err, ERR_INVALID, "cert.syntax", "not a PEM public key");
	ERR_clear_error();
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	BIO_free(bio);
	return result;
}

static int read_key(const struct named *named, char ret_spki[DIGEST_TEXT_SIZE], struct err *err)
{
	char algorithm[CERT_ALGORITHM_SIZE];
	struct err inner = { .kind = ERR_NONE };
	auto_key EVP_PKEY *key = NULL;

	if (rule_key(named->public_key, &key, &inner) < 0 ||
		cert_key_algorithm(key, algorithm, &inner) < 0 ||
		cert_spki(key, ret_spki, &inner) < 0)
		return bad_signer(named, inner.detail, err);
	if (strcmp(algorithm, "EC-P256") != 0)
		return bad_signer(named, "signatures are by ECDSA keys on P-256", err);
	if (named->spki && strcmp(named->spki, ret_spki) != 0)
		return bad_signer(named, "its spki is that of another key", err);
	return 0;
}

static int read_signer(struct arena *arena, json_t *item, json_t *list, struct err *err)
{
	struct named named = { .name = NULL };
	char spki[DIGEST_TEXT_SIZE];

	if (json_decode(arena, item, signer_fields, &named, err) < 0 ||
		read_key(&named, spki, err) < 0)
		return -1;
	return json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", named.name,
						   "public_key", named.public_key, "spki", spki));
}

static void forget(void *list)
{
	json_decref(list);
}

static int read_list(struct arena *arena, const json_t *items,
	int (*read)(struct arena *, json_t *, json_t *, struct err *), const json_t **ret_list,
	struct err *err)
{
	json_t *list = json_array(), *item;
	size_t i;

	arena_defer(arena, forget, list);
	json_array_foreach (items, i, item) {
		if (read(arena, item, list, err) < 0)
			return -1;
	}
	*ret_list = list;
	return 0;
}

int rule_read(struct arena *arena, json_t *body, struct rule *ret_rule, struct err *err)
{
	struct rule rule = { .revision = 0 };
	struct body read = { .mode = NULL };

	if (json_decode(arena, body, body_fields, &read, err) < 0)
		return -1;
	if (!rule_mode_of(read.mode, &rule.mode))
		return err_set(err, ERR_UNPROCESSABLE, "rule.bad_mode",
			"mode is encrypted-only, encrypted-or-signed or open");
	if (read.max_recipients < 1)
		return err_set(err, ERR_UNPROCESSABLE, "rule.bad_mode", "max_recipients is 1 to %u",
			OCICRYPT_MAX_RECIPIENTS);
	rule.max_recipients = read.max_recipients;
	if (read_list(arena, read.recipients, read_recipient, &rule.recipients, err) < 0 ||
		read_list(arena, read.signers, read_signer, &rule.signers, err) < 0)
		return -1;
	if (rule.mode == RULE_ENCRYPTED_OR_SIGNED && json_array_size(rule.signers) == 0)
		return err_set(err, ERR_UNPROCESSABLE, "rule.no_signer",
			"encrypted-or-signed needs at least one signer");
	if ((long long)json_array_size(rule.recipients) > rule.max_recipients)
		return err_set(err, ERR_UNPROCESSABLE, "rule.bad_recipient",
			"more recipients are required than allowed");
	*ret_rule = rule;
	return 0;
}

json_t *rule_json(const struct rule *rule)
{
	return json_pack("{s:s, s:O, s:O, s:I, s:s?, s:s?}", "mode", rule_mode_name(rule->mode),
		"required_recipients", rule->recipients, "signers", rule->signers, "max_recipients",
		(json_int_t)rule->max_recipients, "updated_by", rule->updated_by, "updated_at",
		rule->updated_at);
}
