/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing and opening of credentials.h. The location's digest stands in the protected header, so
 * that a server cannot hand out one dataset's credentials for another. */
#include "proto/credentials.h"

#include <string.h>

#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"

#define TYP "strongroom-credentials+jwe"
#define QUERY_MAX_BASE64 16384
#define MAX_TEXT (32u * 1024)

static const char *const HEADER[] = { "typ", "kid", "location", NULL };
static const char *const MEMBERS[] = { "protected", "encrypted_key", "iv", "ciphertext", "tag",
	NULL };

static bool is_typ(const char *text)
{
	return strcmp(text, TYP) == 0;
}

static bool is_hex_key(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* What may stand behind the '?' of a URL. */
static bool is_query(const char *text)
{
	auto_free unsigned char *data = NULL;
	size_t len;

	if (codec_b64_decode(text, strlen(text), &data, &len, NULL) < 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (data[i] <= ' ' || data[i] >= 0x7f || strchr("#\"<>\\^`{|}", data[i]))
			return false;
	}
	return len > 0;
}

static const struct rule PROTECTED[] = {
	RULE_JWE,
	{ .name = "typ", .kind = RULE_TEXT, .is = is_typ },
	{ .name = "kid", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "location", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "epk", .kind = RULE_ANY },
	{ .name = NULL },
};

static const struct rule ENCRYPTION[] = {
	{ .name = "key", .kind = RULE_TEXT, .is = is_hex_key },
	{ .name = NULL },
};

static const struct rule SECRET[] = {
	{ .name = "query_string",
		.kind = RULE_TEXT,
		.min = 4,
		.max = QUERY_MAX_BASE64,
		.or_null = true },
	{ .name = "encryption", .kind = RULE_OBJECT, .of = ENCRYPTION, .or_null = true },
	{ .name = NULL },
};

static void location_of(const char *url, char ret_location[DIGEST_TEXT_SIZE])
{
	digest_text(url, strlen(url), ret_location);
}

int credentials_check(const json_t *jwe, const char *url, struct err *err)
{
	auto_json json_t *header = NULL;
	char location[DIGEST_TEXT_SIZE];

	if (!jose_shape_is(jwe, MEMBERS, NULL) ||
		jose_shape_texts(jwe, MEMBERS, MAX_TEXT, NULL) < 0 ||
		jose_shape_header(jwe, &header, NULL) < 0)
		return err_set(err, ERR_INVALID, "credentials.invalid",
			"credentials are a flattened JWE to their owner's key");
	if (rule_check(PROTECTED, header, "credentials.invalid", "credentials", err) < 0)
		return -1;
	location_of(url, location);
	if (!json_text_is(header, "location", location))
		return err_set(err, ERR_UNPROCESSABLE, "credentials.wrong_location",
			"the credentials were sealed for another location: seal them again");
	return 0;
}

int credentials_secret_check(const json_t *secret, struct err *err)
{
	const char *query = json_text(secret, "query_string");

	if (rule_check(SECRET, secret, "credentials.bad_secret", "credentials", err) < 0)
		return -1;
	if (query && !is_query(query))
		return err_set(err, ERR_INVALID, "credentials.bad_secret",
			"query_string is not the base64 of what stands behind a URL's '?'");
	return 0;
}

int credentials_seal(const json_t *public_jwk, const char *url, const json_t *secret,
	json_t **ret_jwe, struct err *err)
{
	char kid[JOSE_THUMBPRINT_SIZE], location[DIGEST_TEXT_SIZE];
	auto_json json_t *header = NULL;
	char *text = NULL;
	size_t len = 0;
	int result;

	if (credentials_secret_check(secret, err) < 0)
		return -1;
	if (json_is_null(json_object_get(secret, "query_string")) &&
		json_is_null(json_object_get(secret, "encryption")))
		return err_set(err, ERR_INVALID, "credentials.bad_secret",
			"there is neither a query string nor a key");
	location_of(url, location);
	if (jose_key_thumbprint(public_jwk, kid, err) < 0 ||
		jcs_encode(secret, &text, &len, err) < 0)
		return -1;
	header = json_pack("{s:s,s:s,s:s}", "typ", TYP, "kid", kid, "location", location);
	result = jose_encrypt(public_jwk, header, text, len, ret_jwe, err);
	mem_wipe_free(text, len);
	return result;
}

int credentials_open(const json_t *private_jwk, const char *url, const json_t *jwe,
	json_t **ret_secret, struct err *err)
{
	auto_json json_t *secret = NULL;
	struct err inner = { .kind = ERR_NONE };
	unsigned char *plain = NULL;
	size_t len = 0;

	if (credentials_check(jwe, url, err) < 0)
		return -1;
	if (jose_decrypt(private_jwk, HEADER, jwe, NULL, &plain, &len, &inner) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "credentials.open",
			"this key does not open the credentials: %s", inner.detail);
	secret = json_parse((const char *)plain, len, NULL);
	mem_wipe_free(plain, len);
	if (credentials_secret_check(secret, err) < 0)
		return -1;
	*ret_secret = take_ptr(secret);
	return 0;
}
