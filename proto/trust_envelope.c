/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope around what people sign. The key travels with the signature; it counts only through
 * its SPKI digest, which the header, the payload and the caller's policy must all name.
 */
#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust_secret.h"

#define MAX_SPKI_TEXT 3000

static const struct rule ENVELOPE[] = {
	{ .name = "jws", .kind = RULE_ANY },
	{ .name = "spki", .kind = RULE_TEXT, .min = 1, .max = MAX_SPKI_TEXT },
	{ .name = NULL },
};

static const char *const KID[] = { "kid", NULL };

int trust_envelope_make(
	EVP_PKEY *key, const char *typ, json_t *payload, json_t **ret_envelope, struct err *err)
{
	auto_json json_t *header = NULL, *jws = NULL;
	auto_free unsigned char *der = NULL;
	char spki[DIGEST_TEXT_SIZE];
	auto_free char *text = NULL;
	size_t len = 0;

	if (cert_spki_der(key, &der, &len, err) < 0)
		return -1;
	digest_text(der, len, spki);
	header = json_pack("{s:s}", "kid", spki);
	json_object_set_new(payload, "spki", json_string(spki));
	if (jose_sign(key, typ, header, payload, &jws, err) < 0)
		return -1;
	text = codec_b64_text(der, len);
	*ret_envelope = json_pack("{s:O,s:s}", "jws", jws, "spki", text);
	return 0;
}

static int read_key(const json_t *envelope, EVP_PKEY **ret_key, char ret_spki[DIGEST_TEXT_SIZE],
	struct err *err)
{
	const json_t *text = json_object_get(envelope, "spki");
	auto_free unsigned char *der = NULL;
	size_t len = 0;

	if (codec_b64_decode(json_string_value(text), json_string_length(text), &der, &len, NULL) <
			0 ||
		cert_spki_read(der, len, ret_key, NULL) < 0)
		return err_set(err, ERR_INVALID, "trust.envelope",
			"'spki' is not the base64 of a public key that may sign");
	digest_text(der, len, ret_spki);
	return 0;
}

static bool names(const json_t *object, const char *member, const char *spki)
{
	const char *text = json_text(object, member);

	return text && strcmp(text, spki) == 0;
}

int trust_envelope_open(const json_t *envelope, const char *typ, json_t **ret_payload,
	char ret_spki[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_json json_t *header = NULL, *payload = NULL;
	auto_key EVP_PKEY *key = NULL;
	struct err inner = { .kind = ERR_NONE };
	char spki[DIGEST_TEXT_SIZE];

	if (rule_check(ENVELOPE, envelope, "trust.envelope", "envelope", err) < 0 ||
		read_key(envelope, &key, spki, err) < 0)
		return -1;
	if (jose_verify(key, typ, KID, json_object_get(envelope, "jws"), &header, &payload,
		    &inner) < 0) {
		bool forged = strcmp(inner.code, "jose.signature") == 0;

		return err_set(err, forged ? ERR_UNPROCESSABLE : ERR_INVALID,
			forged ? "trust.signature" : "trust.envelope", "%s", inner.detail);
	}
	if (!names(header, "kid", spki) || !names(payload, "spki", spki))
		return err_set(err, ERR_UNPROCESSABLE, "trust.spki_mismatch",
			"the signed object names another key than the one it is signed with");
	*ret_payload = take_ptr(payload);
	snprintf(ret_spki, DIGEST_TEXT_SIZE, "%s", spki);
	return 0;
}
