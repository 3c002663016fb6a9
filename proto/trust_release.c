/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Releases: the word of a slot's owner that this very grant is his. A grant by itself tells a
 * server nothing about who wrapped it; the release does, and it is good for one grant only.
 */
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust_secret.h"

#define TYP "strongroom-release+jws"

static const struct rule RELEASE[] = {
	{ .name = "policy", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "run_nonce", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "slot", .kind = RULE_TEXT, .is = rule_is_slot },
	{ .name = "grant", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "spki", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "iat", .kind = RULE_NUMBER, .min = 1, .max = RULE_MAX },
	{ .name = NULL },
};

static int digest_of(const json_t *grant, char ret_digest[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_free char *text = NULL;
	size_t len;

	if (jcs_encode(grant, &text, &len, err) < 0)
		return -1;
	digest_text(text, len, ret_digest);
	return 0;
}

int trust_release_make(EVP_PKEY *key, const json_t *grant, long long issued_at,
	json_t **ret_envelope, struct err *err)
{
	auto_json json_t *header = NULL, *payload = NULL;
	char digest[DIGEST_TEXT_SIZE];

	if (trust_grant_peek(grant, &header, err) < 0 || digest_of(grant, digest, err) < 0)
		return -1;
	payload = json_pack("{s:O,s:O,s:O,s:s,s:I}", "policy", json_object_get(header, "policy"),
		"run_nonce", json_object_get(header, "run_nonce"), "slot",
		json_object_get(header, "slot"), "grant", digest, "iat", (json_int_t)issued_at);
	return trust_envelope_make(key, TYP, payload, ret_envelope, err);
}

/* Header and release say the same, and the release is for these bytes. */
static int check_grant(const json_t *payload, const json_t *grant, struct err *err)
{
	static const char *const same[] = { "policy", "run_nonce", "slot" };
	auto_json json_t *header = NULL;
	char digest[DIGEST_TEXT_SIZE];

	if (trust_grant_peek(grant, &header, err) < 0 || digest_of(grant, digest, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		if (strcmp(json_text(payload, same[i]), json_text(header, same[i])) != 0)
			return err_set(err, ERR_UNPROCESSABLE, "release.wrong_grant",
				"the release is for another %s than the grant", same[i]);
	}
	if (strcmp(json_text(payload, "grant"), digest) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "release.wrong_grant",
			"the release is for another grant");
	return 0;
}

int trust_release_check(const struct trust_policy *policy, const json_t *grant,
	const json_t *envelope, struct err *err)
{
	auto_json json_t *payload = NULL;
	char spki[DIGEST_TEXT_SIZE];
	const json_t *slot;

	if (trust_envelope_open(envelope, TYP, &payload, spki, err) < 0 ||
		rule_check(RELEASE, payload, "release.invalid", "release", err) < 0 ||
		check_grant(payload, grant, err) < 0)
		return -1;
	if (strcmp(json_text(payload, "policy"), policy->hash) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "release.wrong_policy",
			"the release is for another policy");
	slot = trust_policy_slot(policy, json_text(payload, "slot"));
	if (!slot || strcmp(json_text(slot, "owner"), spki) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "release.not_the_owner",
			"the key of this release does not own the slot '%s'",
			json_text(payload, "slot"));
	return 0;
}
