/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grants: one secret for one policy, slot, run and machine key. The header is compared first, so
 * that a refusal names what is wrong; what decides is the commitment in the policy.
 */
#include "lib/jose_shape.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust_secret.h"

#define TYP "strongroom-grant+jwe"
#define SLOT_SIZE 64

static const char *const HEADER[] = { "typ", "policy", "slot", "run_nonce", "kid", NULL };

static bool is_typ(const char *text)
{
	return strcmp(text, TYP) == 0;
}

static bool is_mode(const char *text)
{
	return strcmp(text, "once") == 0 || strcmp(text, "lease") == 0;
}

static const struct rule PROTECTED[] = {
	RULE_JWE,
	{ .name = "typ", .kind = RULE_TEXT, .is = is_typ },
	{ .name = "policy", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "slot", .kind = RULE_TEXT, .is = rule_is_slot },
	{ .name = "run_nonce", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "kid", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "epk", .kind = RULE_ANY },
	{ .name = NULL },
};

static const struct rule CONTENT[] = {
	{ .name = "opening", .kind = RULE_ANY },
	{ .name = "mode", .kind = RULE_TEXT, .is = is_mode },
	{ .name = NULL },
};

/* --- making --- */

static int seal(const json_t *machine_enc_jwk, const json_t *header, const json_t *opening,
	json_t **ret_jwe, struct err *err)
{
	auto_json json_t *content = json_pack("{s:O,s:s}", "opening", opening, "mode", "once");
	char *text = NULL;
	size_t len = 0;
	int done;

	if (jcs_encode(content, &text, &len, err) < 0)
		return -1;
	done = jose_encrypt(machine_enc_jwk, header, text, len, ret_jwe, err);
	mem_wipe_free(text, len);
	return done;
}

int trust_grant_make(const json_t *machine_enc_jwk, const char *policy_hash, const char *slot,
	const char *run_nonce, const json_t *opening, json_t **ret_jwe, struct err *err)
{
	char kid[JOSE_THUMBPRINT_SIZE];
	auto_json json_t *header = NULL;

	if (jose_key_check_public(machine_enc_jwk, "enc", err) < 0 ||
		jose_key_thumbprint(machine_enc_jwk, kid, err) < 0 ||
		trust_opening_check(opening, err) < 0)
		return -1;
	if (strcmp(json_text(opening, "slot"), slot) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "grant.wrong_slot",
			"the secret is for another slot");
	header = json_pack("{s:s,s:s,s:s,s:s,s:s}", "typ", TYP, "policy", policy_hash, "slot", slot,
		"run_nonce", run_nonce, "kid", kid);
	return seal(machine_enc_jwk, header, opening, ret_jwe, err);
}

/* --- opening --- */

int trust_grant_peek(const json_t *jwe, json_t **ret_header, struct err *err)
{
	auto_json json_t *header = NULL;

	if (jose_shape_header(jwe, &header, NULL) < 0)
		return err_set(
			err, ERR_INVALID, "grant.invalid", "the grant has no readable header");
	if (rule_check(PROTECTED, header, "grant.invalid", "grant", err) < 0)
		return -1;
	*ret_header = take_ptr(header);
	return 0;
}

static int check_header(const json_t *header, const char *own_kid,
	const struct trust_policy *policy, const struct trust_order *order, struct err *err)
{
	const char *kid = json_text(header, "kid");

	if (strcmp(json_text(header, "policy"), policy->hash) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "grant.wrong_policy",
			"the grant is for another policy");
	if (!trust_policy_slot(policy, json_text(header, "slot")))
		return err_set(err, ERR_UNPROCESSABLE, "grant.wrong_slot",
			"the policy does not have this grant's slot");
	if (strcmp(json_text(header, "run_nonce"), order->run_nonce) != 0)
		return err_set(
			err, ERR_UNPROCESSABLE, "grant.wrong_run", "the grant is for another run");
	if (strcmp(kid, own_kid) != 0 || strcmp(kid, order->enc_thumbprint) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "grant.wrong_key",
			"the grant is for another machine key");
	return 0;
}

static int decrypt(const json_t *key, const json_t *jwe, json_t **ret_content, struct err *err)
{
	auto_json json_t *content = NULL;
	struct err inner = { .kind = ERR_NONE };
	unsigned char *plain = NULL;
	size_t len = 0;

	if (jose_decrypt(key, HEADER, jwe, NULL, &plain, &len, &inner) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "grant.open", "%s", inner.detail);
	content = json_parse((const char *)plain, len, NULL);
	mem_wipe_free(plain, len);
	if (rule_check(CONTENT, content, "grant.open", "grant", err) < 0)
		return -1;
	*ret_content = take_ptr(content);
	return 0;
}

/* The secret is the one the policy commits to, for the slot that the header says. */
static int check_content(
	const json_t *content, const char *slot, const struct trust_policy *policy, struct err *err)
{
	const json_t *opening = json_object_get(content, "opening");
	const json_t *expected = trust_policy_slot(policy, slot);
	char commitment[DIGEST_TEXT_SIZE];

	if (trust_commitment_of(opening, commitment, NULL) < 0 ||
		strcmp(commitment, json_text(expected, "commitment")) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "grant.commitment",
			"the secret is not the one that the policy commits to");
	if (strcmp(json_text(opening, "slot"), slot) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "grant.wrong_slot",
			"the secret is for another slot");
	if (strcmp(json_text(content, "mode"), json_text(expected, "mode")) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "grant.mode",
			"the grant is given in another mode than the policy says");
	return 0;
}

int trust_grant_open(const json_t *machine_enc_private, const struct trust_policy *policy,
	const struct trust_order *order, const json_t *jwe, json_t **ret_secret,
	char ret_slot[SLOT_SIZE], struct err *err)
{
	auto_json json_t *header = NULL, *content = NULL;
	char own_kid[JOSE_THUMBPRINT_SIZE];
	const char *slot;

	if (trust_grant_peek(jwe, &header, err) < 0 ||
		jose_key_thumbprint(machine_enc_private, own_kid, err) < 0 ||
		check_header(header, own_kid, policy, order, err) < 0 ||
		decrypt(machine_enc_private, jwe, &content, err) < 0)
		return -1;
	slot = json_text(header, "slot");
	if (check_content(content, slot, policy, err) < 0)
		return -1;
	snprintf(ret_slot, SLOT_SIZE, "%s", slot);
	*ret_secret = json_incref(json_object_get(json_object_get(content, "opening"), "secret"));
	return 0;
}
