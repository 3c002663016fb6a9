/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judgement over all approvals of a policy. Every rule must be satisfied: k distinct keys whose
 * newest word of the rule's scope approves, and none with a veto that declines. What is old is only
 * looked at after the newest word was found: an approval does not come back to life because the
 * word that took it back has expired.
 */
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust_secret.h"

struct judge {
	const struct trust_policy *policy;
	long long now;
	json_t *words;	  /* {scope: {spki: payload}} */
	struct err first; /* why the first of the envelopes that do not count does not */
};

static long long number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static bool approves(const json_t *word)
{
	return json_text_is(word, "decision", "approve");
}

/* Keeps the newest word of each key in each scope; of two at one time the one against. */
static void remember(struct judge *judge, json_t *payload)
{
	const char *scope = json_text(payload, "scope"), *spki = json_text(payload, "spki");
	json_t *words = json_object_get(judge->words, scope);
	const json_t *known;

	if (!words) {
		words = json_object();
		json_object_set_new(judge->words, scope, words);
	}
	known = json_object_get(words, spki);
	if (!known || number(payload, "iat") > number(known, "iat") ||
		(number(payload, "iat") == number(known, "iat") && !approves(payload)))
		json_object_set(words, spki, payload);
}

static void hear(struct judge *judge, const json_t *envelopes)
{
	json_t *envelope;
	size_t i;

	json_array_foreach (envelopes, i, envelope) {
		auto_json json_t *payload = NULL;
		struct err *report = judge->first.kind == ERR_NONE ? &judge->first : NULL;

		if (trust_approval_open(judge->policy, envelope, &payload, report) < 0)
			continue;
		if (approves(payload) && number(payload, "iat") > judge->now + TRUST_CLOCK_SKEW)
			(void)trust_approval_times(judge->policy, payload, judge->now, report);
		else
			remember(judge, payload);
	}
}

/* Why a key's newest word is no approval, or "" when it is one. */
static const char *objection(const struct judge *judge, const json_t *word, struct err *err)
{
	if (json_text_is(word, "decision", "decline"))
		return "approval.declined";
	if (json_text_is(word, "decision", "withdraw"))
		return "approval.withdrawn";
	return trust_approval_times(judge->policy, word, judge->now, err) < 0 ? err->code : "";
}

static json_t *vote_of(const json_t *word, const char *code)
{
	return json_pack("{s:O,s:O,s:O,s:O,s:O,s:s?}", "spki", json_object_get(word, "spki"),
		"decision", json_object_get(word, "decision"), "reason",
		json_object_get(word, "reason"), "iat", json_object_get(word, "iat"), "exp",
		json_object_get(word, "exp"), "code", code[0] ? code : NULL);
}

struct tally {
	long long have;
	char code[sizeof(((struct err *)0)->code)]; /* the first objection */
	bool is_rejected;
	json_t *votes, *missing;
};

static void count(const struct judge *judge, const json_t *rule, struct tally *tally)
{
	const json_t *keys = trust_rule_keys(judge->policy->doc, rule),
		     *words = json_object_get(judge->words, json_text(rule, "scope"));
	json_t *key;
	size_t i;

	json_array_foreach (keys, i, key) {
		const json_t *word = json_object_get(words, json_string_value(key));
		struct err err = { .kind = ERR_NONE };
		const char *code = word ? objection(judge, word, &err) : "";

		if (word)
			json_array_append_new(tally->votes, vote_of(word, code));
		if (word && !code[0]) {
			tally->have++;
			continue;
		}
		json_array_append(tally->missing, key);
		if (!tally->code[0])
			snprintf(tally->code, sizeof(tally->code), "%s", code);
		if (json_text_is(word, "decision", "decline") &&
			json_is_true(json_object_get(rule, "veto")))
			tally->is_rejected = true;
	}
}

static json_t *judge_rule(const struct judge *judge, const json_t *rule)
{
	struct tally tally = { .votes = json_array(), .missing = json_array() };
	const json_t *role = json_object_get(rule, "role");
	const char *state = "pending", *code = NULL;
	long long need = number(rule, "k");

	count(judge, rule, &tally);
	if (tally.is_rejected) {
		state = "rejected";
		code = "approval.declined";
	} else if (tally.have >= need) {
		state = "approved";
	} else {
		code = tally.code[0] ? tally.code : "approval.quorum";
	}
	return json_pack("{s:O,s:O?,s:I,s:I,s:s,s:s?,s:o,s:o}", "scope",
		json_object_get(rule, "scope"), "role", role, "need", (json_int_t)need, "have",
		(json_int_t)tally.have, "state", state, "code", code, "votes", tally.votes,
		"missing", tally.missing);
}

/* The rule that decides: one that rejects before one that waits; NULL when all are satisfied. */
static const json_t *decisive(const json_t *rules)
{
	const json_t *found = NULL;
	json_t *rule;
	size_t i;

	json_array_foreach (rules, i, rule) {
		if (json_text_is(rule, "state", "rejected"))
			return rule;
		if (!found && !json_text_is(rule, "state", "approved"))
			found = rule;
	}
	return found;
}

/* An envelope that would have counted but for one thing says more than the number. */
static json_t *verdict(const struct judge *judge, json_t *rules)
{
	const json_t *rule = decisive(rules);
	long long expires = number(json_object_get(judge->policy->doc, "approval"), "expires");
	const char *state = "approved", *code = NULL;
	auto_free char *detail = NULL;

	if (rule) {
		state = json_text(rule, "state");
		code = json_text(rule, "code");
		if (strcmp(state, "pending") == 0 && expires > 0 && judge->now >= expires)
			state = "expired";
		detail = mem_printf("%lld of %lld approvals with the scope '%s'",
			number(rule, "have"), number(rule, "need"), json_text(rule, "scope"));
	}
	if (code && strcmp(code, "approval.quorum") == 0 && judge->first.kind != ERR_NONE) {
		code = judge->first.code;
		free(detail);
		detail = mem_printf("%s", judge->first.detail);
	}
	return json_pack("{s:s,s:s?,s:s?,s:o}", "state", state, "code", code, "detail", detail,
		"rules", rules);
}

json_t *trust_approvals_judge(
	const struct trust_policy *policy, const json_t *envelopes, long long now)
{
	auto_json json_t *words = json_object();
	struct judge judge = { .policy = policy, .now = now, .words = words };
	json_t *rules = json_array(), *rule;
	size_t i;

	if (json_is_array(envelopes) && json_array_size(envelopes) <= TRUST_MAX_APPROVALS)
		hear(&judge, envelopes);
	else
		err_set(&judge.first, ERR_INVALID, "approval.invalid",
			"approvals are a list of at most %d", TRUST_MAX_APPROVALS);
	json_array_foreach (trust_policy_rules(policy->doc), i, rule)
		json_array_append_new(rules, judge_rule(&judge, rule));
	return verdict(&judge, rules);
}

int trust_approvals_satisfy(
	const struct trust_policy *policy, const json_t *envelopes, long long now, struct err *err)
{
	auto_json json_t *judged = trust_approvals_judge(policy, envelopes, now);
	const char *code = json_text(judged, "code");

	if (json_text_is(judged, "state", "approved"))
		return 0;
	return err_set(err, strcmp(code, "approval.invalid") == 0 ? ERR_INVALID : ERR_UNPROCESSABLE,
		code, "%s", json_text(judged, "detail"));
}
