/* SPDX-License-Identifier: Apache-2.0 */
/* Approvals, and the policy's rule over them: k approvals by distinct keys of one party list; a
 * key's latest word counts. */
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust_secret.h"

#define TYP "strongroom-approval+jws"
#define MAX_APPROVALS 128

static bool is_decision(const char *text)
{
	return strcmp(text, "approve") == 0 || strcmp(text, "decline") == 0;
}

static const struct rule APPROVAL[] = {
	{ .name = "policy", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "decision", .kind = RULE_TEXT, .is = is_decision },
	{ .name = "scope", .kind = RULE_TEXT, .is = rule_is_label },
	{ .name = "space", .kind = RULE_TEXT, .is = rule_is_space },
	{ .name = "spki", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "iat", .kind = RULE_NUMBER, .min = 1, .max = RULE_MAX },
	{ .name = "exp", .kind = RULE_NUMBER, .min = 1, .max = RULE_MAX },
	RULE_LOG_HEAD,
	{ .name = NULL },
};

/* NOLINTNEXTLINE(readability-function-size): every parameter is a word of the approval */
int trust_approval_make(EVP_PKEY *key, const struct trust_policy *policy, const char *scope,
	bool approve, long long iat, long long exp, json_t *log_head, json_t **ret_envelope,
	struct err *err)
{
	auto_json json_t *payload =
		json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:O?}", "policy", policy->hash, "decision",
			approve ? "approve" : "decline", "scope", scope, "space", policy->space,
			"iat", (json_int_t)iat, "exp", (json_int_t)exp, "log_head", log_head);

	return trust_envelope_make(key, TYP, payload, ret_envelope, err);
}

static long long number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static int check_words(
	const struct trust_policy *policy, const json_t *payload, const char *spki, struct err *err)
{
	if (strcmp(json_text(payload, "policy"), policy->hash) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "approval.wrong_policy",
			"the approval is for another policy");
	if (strcmp(json_text(payload, "space"), policy->space) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "approval.wrong_space",
			"the approval is for another space");
	if (!trust_policy_names(policy, "authors", spki) &&
		!trust_policy_names(policy, "approvers", spki))
		return err_set(err, ERR_UNPROCESSABLE, "approval.not_a_party",
			"the policy names this approval's key neither as author nor as approver");
	return 0;
}

static int check_times(const json_t *payload, long long now, struct err *err)
{
	if (number(payload, "iat") > now + TRUST_CLOCK_SKEW)
		return err_set(err, ERR_UNPROCESSABLE, "approval.not_yet_valid",
			"the approval was signed in the future");
	if (number(payload, "exp") <= now)
		return err_set(
			err, ERR_UNPROCESSABLE, "approval.expired", "the approval has expired");
	return 0;
}

static int open_approval(const struct trust_policy *policy, const json_t *envelope, long long now,
	json_t **ret_payload, struct err *err)
{
	auto_json json_t *payload = NULL;
	char spki[DIGEST_TEXT_SIZE];

	if (trust_envelope_open(envelope, TYP, &payload, spki, err) < 0 ||
		rule_check(APPROVAL, payload, "approval.invalid", "approval", err) < 0 ||
		check_words(policy, payload, spki, err) < 0 || check_times(payload, now, err) < 0)
		return -1;
	*ret_payload = take_ptr(payload);
	return 0;
}

int trust_approval_check(
	const struct trust_policy *policy, const json_t *envelope, long long now, struct err *err)
{
	auto_json json_t *payload = NULL;

	return open_approval(policy, envelope, now, &payload, err);
}

/* Keeps the latest word of each key; of two at one time the decline. */
static void remember(json_t *words, json_t *payload)
{
	const char *spki = json_text(payload, "spki");
	const json_t *known = json_object_get(words, spki);
	bool declines = strcmp(json_text(payload, "decision"), "decline") == 0;

	if (!known || number(payload, "iat") > number(known, "iat") ||
		(number(payload, "iat") == number(known, "iat") && declines))
		json_object_set(words, spki, payload);
}

static long long count_approvals(const struct trust_policy *policy, json_t *words)
{
	const json_t *rule = json_object_get(policy->doc, "approval");
	long long count = 0;
	const char *spki;
	json_t *word;

	json_object_foreach (words, spki, word) {
		if (strcmp(json_text(word, "decision"), "approve") == 0 &&
			strcmp(json_text(word, "scope"), json_text(rule, "scope")) == 0 &&
			trust_policy_names(policy, json_text(rule, "of"), spki))
			count++;
	}
	return count;
}

int trust_approvals_satisfy(
	const struct trust_policy *policy, const json_t *envelopes, long long now, struct err *err)
{
	const json_t *rule = json_object_get(policy->doc, "approval");
	struct err first = { .kind = ERR_NONE };
	auto_json json_t *words = json_object();
	long long have, need = number(rule, "k");
	json_t *envelope;
	size_t i;

	if (!json_is_array(envelopes) || json_array_size(envelopes) > MAX_APPROVALS)
		return err_set(err, ERR_INVALID, "approval.invalid",
			"approvals are a list of at most %d", MAX_APPROVALS);
	json_array_foreach (envelopes, i, envelope) {
		auto_json json_t *payload = NULL;
		struct err *report = first.kind == ERR_NONE ? &first : NULL;

		if (open_approval(policy, envelope, now, &payload, report) == 0)
			remember(words, payload);
	}
	have = count_approvals(policy, words);
	if (have >= need)
		return 0;
	if (first.kind != ERR_NONE && err) { /* one that would have counted but for this */
		*err = first;
		return -1;
	}
	return err_set(err, ERR_UNPROCESSABLE, "approval.quorum",
		"%lld of %lld approvals with the scope '%s' by keys of '%s'", have, need,
		json_text(rule, "scope"), json_text(rule, "of"));
}
