/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How tenants come together: a founder's word that a key may join a space, and that key's word that
 * it does (trust.md 4). Members show both to each other; the server only keeps them.
 */
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust_secret.h"

#define INVITATION_TYP "strongroom-space-invitation+jws"
#define ACCEPTANCE_TYP "strongroom-space-acceptance+jws"

static const struct rule INVITATION[] = {
	{ .name = "space", .kind = RULE_TEXT, .is = rule_is_space },
	{ .name = "name", .kind = RULE_TEXT, .is = rule_is_label },
	{ .name = "tenant", .kind = RULE_TEXT, .is = rule_is_label },
	{ .name = "to", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "nonce", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "spki", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "iat", .kind = RULE_NUMBER, .min = 1, .max = RULE_MAX },
	{ .name = "exp", .kind = RULE_NUMBER, .min = 1, .max = RULE_MAX },
	{ .name = NULL },
};

static const struct rule ACCEPTANCE[] = {
	{ .name = "invitation", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "tenant", .kind = RULE_TEXT, .is = rule_is_label },
	{ .name = "spki", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "iat", .kind = RULE_NUMBER, .min = 1, .max = RULE_MAX },
	{ .name = NULL },
};

/* --- invitation --- */

int trust_invitation_make(EVP_PKEY *key, const struct trust_invitation *invitation,
	json_t **ret_envelope, struct err *err)
{
	unsigned char nonce[TRUST_NONCE_SIZE];
	auto_free char *nonce_text = NULL;
	auto_json json_t *payload = NULL;

	rand_bytes(nonce, sizeof(nonce));
	nonce_text = codec_b64url_text(nonce, sizeof(nonce));
	payload = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I}", "space", invitation->space, "name",
		invitation->name, "tenant", invitation->tenant, "to", invitation->to, "nonce",
		nonce_text, "iat", (json_int_t)invitation->issued_at, "exp",
		(json_int_t)invitation->expires_at);
	return trust_envelope_make(key, INVITATION_TYP, payload, ret_envelope, err);
}

static struct trust_invitation words_of(struct arena *arena, const json_t *payload)
{
	return (struct trust_invitation) {
		.space = arena_strdup(arena, json_text(payload, "space")),
		.name = arena_strdup(arena, json_text(payload, "name")),
		.tenant = arena_strdup(arena, json_text(payload, "tenant")),
		.to = arena_strdup(arena, json_text(payload, "to")),
		.issued_at = json_integer_value(json_object_get(payload, "iat")),
		.expires_at = json_integer_value(json_object_get(payload, "exp")),
	};
}

int trust_invitation_check(struct arena *arena, const json_t *envelope, long long now,
	struct trust_invitation *ret_invitation, char ret_spki[DIGEST_TEXT_SIZE],
	char ret_digest[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_json json_t *payload = NULL;

	if (trust_envelope_open(envelope, INVITATION_TYP, &payload, ret_spki, err) < 0 ||
		rule_check(INVITATION, payload, "space_invitation.invalid", "invitation", err) <
			0 ||
		jcs_digest(payload, ret_digest, err) < 0)
		return -1;
	*ret_invitation = words_of(arena, payload);
	if (ret_invitation->issued_at > now + TRUST_CLOCK_SKEW)
		return err_set(err, ERR_UNPROCESSABLE, "space_invitation.not_yet_valid",
			"the invitation was signed in the future");
	if (ret_invitation->expires_at <= now)
		return err_set(err, ERR_UNPROCESSABLE, "space_invitation.expired",
			"the invitation has expired");
	return 0;
}

/* --- acceptance --- */

int trust_acceptance_make(EVP_PKEY *key, const char *invitation_digest, const char *tenant,
	long long issued_at, json_t **ret_envelope, struct err *err)
{
	auto_json json_t *payload = json_pack("{s:s,s:s,s:I}", "invitation", invitation_digest,
		"tenant", tenant, "iat", (json_int_t)issued_at);

	return trust_envelope_make(key, ACCEPTANCE_TYP, payload, ret_envelope, err);
}

int trust_acceptance_check(const json_t *envelope, const struct trust_invitation *invitation,
	const char *invitation_digest, const char *tenant, struct err *err)
{
	auto_json json_t *payload = NULL;
	char spki[DIGEST_TEXT_SIZE];

	if (trust_envelope_open(envelope, ACCEPTANCE_TYP, &payload, spki, err) < 0 ||
		rule_check(ACCEPTANCE, payload, "space_invitation.invalid", "acceptance", err) < 0)
		return -1;
	if (strcmp(spki, invitation->to) != 0 ||
		strcmp(json_text(payload, "invitation"), invitation_digest) != 0 ||
		strcmp(json_text(payload, "tenant"), tenant) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "space_invitation.wrong_acceptance",
			"the acceptance is by another key, or for another invitation or tenant");
	return 0;
}
