/* SPDX-License-Identifier: Apache-2.0 */
/* Approvals: making one, and whether it is a word about this policy by a key that may say it. */
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust_secret.h"

#define TYP "strongroom-approval+jws"
#define MAX_REASON 1000

static bool is_decision(const char *text)
{
	return strcmp(text, "approve") == 0 || strcmp(text, "decline") == 0 ||
	       strcmp(text, "withdraw") == 0;
}

static bool is_scope(const char *text)
{
	return text[0] && strlen(text) <= 63; /* which ones there are, the policy says */
}

static const struct rule APPROVAL[] = {
	{ .name = "policy", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "terms", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "decision", .kind = RULE_TEXT, .is = is_decision },
	{ .name = "reason", .kind = RULE_TEXT, .min = 1, .max = MAX_REASON, .or_null = true },
	{ .name = "scope", .kind = RULE_TEXT, .is = is_scope },
	{ .name = "space", .kind = RULE_TEXT, .is = rule_is_space },
	{ .name = "spki", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "iat", .kind = RULE_NUMBER, .min = 1, .max = RULE_MAX },
	{ .name = "exp", .kind = RULE_NUMBER, .min = 1, .max = RULE_MAX },
	RULE_LOG_HEAD,
	{ .name = NULL },
};

int trust_approval_make(EVP_PKEY *key, const struct trust_policy *policy,
	const struct trust_vote *vote, json_t **ret_envelope, struct err *err)
{
	char terms[DIGEST_TEXT_SIZE];
	auto_json json_t *payload = NULL;

	if (trust_policy_terms(policy, vote->scope, terms, err) < 0)
		return -1;
	payload = json_pack("{s:s,s:s,s:s,s:s?,s:s,s:s,s:I,s:I,s:O?}", "policy", policy->hash,
		"terms", terms, "decision", vote->decision, "reason", vote->reason, "scope",
		vote->scope, "space", policy->space, "iat", (json_int_t)vote->iat, "exp",
		(json_int_t)vote->exp, "log_head", vote->log_head);
	return trust_envelope_make(key, TYP, payload, ret_envelope, err);
}

static long long number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* The terms decide: they may have been agreed to in an earlier version. Against a policy also a
 * word counts whose terms are wrong. */
static int check_terms(const struct trust_policy *policy, const json_t *payload, struct err *err)
{
	bool same_policy = json_text_is(payload, "policy", policy->hash);
	char terms[DIGEST_TEXT_SIZE];

	if (trust_policy_terms(policy, json_text(payload, "scope"), terms, err) < 0)
		return -1;
	if (json_text_is(payload, "terms", terms) ||
		(same_policy && !json_text_is(payload, "decision", "approve")))
		return 0;
	if (same_policy)
		return err_set(err, ERR_UNPROCESSABLE, "approval.wrong_terms",
			"the approval is for other terms than the policy's for its scope");
	return err_set(err, ERR_UNPROCESSABLE, "approval.wrong_policy",
		"the approval is for another policy, whose terms were others");
}

static int check_words(
	const struct trust_policy *policy, const json_t *payload, const char *spki, struct err *err)
{
	const char *scope = json_text(payload, "scope");
	const json_t *rule = trust_policy_rule(policy->doc, scope);

	if (!json_text_is(payload, "space", policy->space))
		return err_set(err, ERR_UNPROCESSABLE, "approval.wrong_space",
			"the approval is for another space");
	if (!rule)
		return err_set(err, ERR_UNPROCESSABLE, "approval.wrong_scope",
			"the policy has no rule of the scope '%s'", scope);
	if (!json_list_has(trust_rule_keys(policy->doc, rule), spki))
		return err_set(err, ERR_UNPROCESSABLE, "approval.not_a_party",
			"the policy does not name this approval's key in the rule '%s'", scope);
	return check_terms(policy, payload, err);
}

int trust_approval_times(
	const struct trust_policy *policy, const json_t *payload, long long now, struct err *err)
{
	const json_t *rule = trust_policy_rule(policy->doc, json_text(payload, "scope"));
	long long max_age = number(rule, "max_age_s"), iat = number(payload, "iat"),
		  expires = number(json_object_get(policy->doc, "approval"), "expires");

	if (!json_text_is(payload, "decision", "approve"))
		return 0;
	if (iat > now + TRUST_CLOCK_SKEW)
		return err_set(err, ERR_UNPROCESSABLE, "approval.not_yet_valid",
			"the approval was signed in the future");
	if (number(payload, "exp") <= now || (max_age > 0 && now - iat >= max_age))
		return err_set(
			err, ERR_UNPROCESSABLE, "approval.expired", "the approval has expired");
	if (expires > 0 && iat >= expires)
		return err_set(err, ERR_UNPROCESSABLE, "approval.too_late",
			"the approval was signed when the time for it was over");
	return 0;
}

int trust_approval_open(const struct trust_policy *policy, const json_t *envelope,
	json_t **ret_payload, struct err *err)
{
	auto_json json_t *payload = NULL;
	char spki[DIGEST_TEXT_SIZE];

	if (trust_envelope_open(envelope, TYP, &payload, spki, err) < 0 ||
		rule_check(APPROVAL, payload, "approval.invalid", "approval", err) < 0 ||
		check_words(policy, payload, spki, err) < 0)
		return -1;
	*ret_payload = take_ptr(payload);
	return 0;
}

int trust_approval_check(
	const struct trust_policy *policy, const json_t *envelope, long long now, struct err *err)
{
	auto_json json_t *payload = NULL;

	if (trust_approval_open(policy, envelope, &payload, err) < 0)
		return -1;
	return trust_approval_times(policy, payload, now, err);
}
