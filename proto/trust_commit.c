/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commitments to secrets, and the associated data of what is encrypted with them. An opening is a
 * secret: its canonical bytes are wiped, its JSON by lib/jose_key.c's allocator.
 */
#include <stdlib.h>

#include "lib/codec.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/credentials.h"
#include "proto/rule.h"
#include "proto/trust.h"
#include "proto/trust_secret.h"

#define VERSION "strongroom-commitment-1"
#define DATA_VERSION "strongroom-data-1"
#define SALT_SIZE 32

static bool is_version(const char *text)
{
	return strcmp(text, VERSION) == 0;
}

static const struct rule OPENING[] = {
	{ .name = "v", .kind = RULE_TEXT, .is = is_version },
	{ .name = "slot", .kind = RULE_TEXT, .is = rule_is_slot },
	{ .name = "salt", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "secret", .kind = RULE_ANY },
	{ .name = NULL },
};

static const struct rule KEY_SECRET[] = {
	{ .name = "key", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = NULL },
};

static const struct rule IMAGE_SECRET[] = {
	{ .name = "jwk", .kind = RULE_ANY },
	{ .name = NULL },
};

/* The image's slot holds a private P-256 key for encryption. */
static int check_image_key(const json_t *jwk, struct err *err)
{
	auto_json json_t *public = jose_key_public(jwk);
	auto_key EVP_PKEY *key = NULL;

	if (!json_is_object(jwk) || !json_object_get(jwk, "d") ||
		jose_key_check_public(public, "enc", NULL) < 0 ||
		jose_key_to_evp(jwk, &key, NULL) < 0)
		return err_set(err, ERR_INVALID, "commitment.invalid",
			"the image's secret is not a private P-256 JWK with use enc");
	return 0;
}

static int check_credentials(const json_t *secret, struct err *err)
{
	struct err inner = { .kind = ERR_NONE };

	if (credentials_secret_check(secret, &inner) == 0)
		return 0;
	return err_set(err, ERR_INVALID, "commitment.invalid", "%s", inner.detail);
}

int trust_opening_check(const json_t *opening, struct err *err)
{
	const json_t *secret = json_object_get(opening, "secret");
	const char *code = "commitment.invalid";

	if (rule_check(OPENING, opening, code, "opening", err) < 0)
		return -1;
	if (strncmp(json_text(opening, "slot"), "credentials/", 12) == 0)
		return check_credentials(secret, err);
	if (strcmp(json_text(opening, "slot"), "image") != 0)
		return rule_check(KEY_SECRET, secret, code, "secret", err);
	if (rule_check(IMAGE_SECRET, secret, code, "secret", err) < 0)
		return -1;
	return check_image_key(json_object_get(secret, "jwk"), err);
}

int trust_commitment_of(
	const json_t *opening, char ret_commitment[DIGEST_TEXT_SIZE], struct err *err)
{
	char *text = NULL;
	size_t len = 0;

	if (trust_opening_check(opening, err) < 0 || jcs_encode(opening, &text, &len, err) < 0)
		return -1;
	digest_text(text, len, ret_commitment);
	mem_wipe_free(text, len);
	return 0;
}

int trust_commit(const char *slot, json_t *secret, json_t **ret_opening,
	char ret_commitment[DIGEST_TEXT_SIZE], struct err *err)
{
	unsigned char salt[SALT_SIZE];
	auto_json json_t *opening = NULL;
	char *salt_text;

	rand_bytes(salt, sizeof(salt));
	salt_text = codec_b64url_text(salt, sizeof(salt));
	opening = json_pack("{s:s,s:s,s:s,s:O}", "v", VERSION, "slot", slot, "salt", salt_text,
		"secret", secret);
	explicit_bzero(salt, sizeof(salt));
	mem_wipe_free(salt_text, strlen(salt_text));
	if (trust_commitment_of(opening, ret_commitment, err) < 0)
		return -1;
	*ret_opening = take_ptr(opening);
	return 0;
}

/* --- associated data --- */

int trust_input_aad(
	const char *dataset, long long version, char **ret_text, size_t *ret_len, struct err *err)
{
	auto_json json_t *aad = json_pack("{s:s,s:s,s:s,s:I}", "v", DATA_VERSION, "role", "input",
		"dataset", dataset, "version", (json_int_t)version);

	return jcs_encode(aad, ret_text, ret_len, err);
}

int trust_output_aad(const char *policy_hash, const char *run_nonce, const char *name,
	char **ret_text, size_t *ret_len, struct err *err)
{
	auto_json json_t *aad = json_pack("{s:s,s:s,s:s,s:s,s:s}", "v", DATA_VERSION, "role",
		"output", "policy", policy_hash, "run_nonce", run_nonce, "name", name);

	return jcs_encode(aad, ret_text, ret_len, err);
}
