/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy held against what is known: the one evaluation of service, client and agent. Each clause
 * says what it asks for and what is there, so that a refusal can be read and a dry run believed.
 */
#include <stdio.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust_clause.h"

void clause_add(const struct clauses *clauses, const char *name, enum clause_result result,
	const char *code, const char *expected, const char *actual)
{
	static const char *const words[] = { "pass", "fail", "not_known" };
	auto_free char *full = mem_printf("%s%s", clauses->prefix, name);

	json_array_append_new(
		clauses->list, json_pack("{s:s,s:s,s:s,s:s,s:s?}", "clause", full, "expected",
				       expected, "actual", actual, "result", words[result], "code",
				       result == CLAUSE_FAIL ? code : NULL));
}

static long long number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* --- the machine --- */

static void explain_template(const struct clauses *clauses, const struct trust_policy *policy,
	const struct trust_facts *facts)
{
	auto_free char *expected =
		mem_printf("%s version %lld", policy->template_id, policy->template_version);
	auto_free char *actual =
		facts->template_id
			? mem_printf("%s version %lld", facts->template_id, facts->template_version)
			: mem_printf("not known");

	clause_add(clauses, "template",
		facts->template_id ? clause_when(strcmp(expected, actual) == 0) : CLAUSE_NOT_KNOWN,
		"policy.wrong_template", expected, actual);
}

static void explain_class(const struct clauses *clauses, const struct trust_policy *policy,
	const struct trust_facts *facts)
{
	const char *minimum = json_text(json_object_get(policy->doc, "evidence"), "minimum");
	auto_free char *expected = mem_printf("at least %s", minimum);
	enum clause_result result = CLAUSE_NOT_KNOWN;

	if (facts->class)
		result = clause_when(trust_class_rank(facts->class) >= trust_class_rank(minimum));
	clause_add(clauses, "evidence.minimum", result, "evidence.class_too_low", expected,
		facts->class ? facts->class : "not known");
}

/* decrypt-output is the client's to tally: it is the client that decrypts. */
static void explain_measurements(const struct clauses *clauses, const struct trust_policy *policy,
	const struct trust_facts *facts)
{
	static const char *const own[] = { "encrypt-output", "decrypt-input" };
	const json_t *measurements = json_object_get(policy->doc, "measurements");
	const char *actual = facts->measurement;

	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		const char *expected = json_text(measurements, own[i]);
		auto_free char *name = mem_printf("measurements.%s", own[i]);

		clause_add(clauses, name,
			actual ? clause_when(strcmp(expected, actual) == 0) : CLAUSE_NOT_KNOWN,
			"measurement.mismatch", expected, actual ? actual : "not known");
	}
}

static void explain_deadline(const struct clauses *clauses, const struct trust_policy *policy,
	const struct trust_facts *facts)
{
	char deadline[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];
	auto_free char *expected = NULL;

	clock_rfc3339(policy->deadline * 1000, deadline);
	clock_rfc3339(facts->now * 1000, now);
	expected = mem_printf("before %s", deadline);
	clause_add(clauses, "deadline", clause_when(facts->now < policy->deadline),
		"policy.expired", expected, now);
}

/* --- inputs --- */

static const json_t *input_of(const json_t *inputs, const char *slot)
{
	json_t *input;
	size_t i;

	json_array_foreach (inputs, i, input) {
		if (json_text_is(input, "slot", slot))
			return input;
	}
	return NULL;
}

static char *input_text(const json_t *input)
{
	const char *digest = json_text(input, "digest"), *dataset = json_text(input, "dataset");

	return mem_printf("%s version %lld %s", dataset ? dataset : "no dataset",
		number(input, "version"), digest ? digest : "of any content");
}

static bool is_same(const json_t *expected, const json_t *actual, const char *member)
{
	const json_t *value = json_object_get(expected, member);

	return !value || json_is_null(value) || json_equal(value, json_object_get(actual, member));
}

static void explain_inputs(const struct clauses *clauses, const struct trust_policy *policy,
	const struct trust_facts *facts)
{
	json_t *input;
	size_t i;

	json_array_foreach (json_object_get(policy->doc, "inputs"), i, input) {
		const char *slot = json_text(input, "slot");
		const json_t *found = input_of(facts->inputs, slot);
		auto_free char *expected = input_text(input),
			       *actual = found ? input_text(found) : mem_printf("not given"),
			       *name = mem_printf("inputs.%s", slot);

		clause_add(clauses, name,
			clause_when(found && is_same(input, found, "dataset") &&
				    is_same(input, found, "version") &&
				    is_same(input, found, "digest") &&
				    is_same(input, found, "size")),
			found ? "input.digest" : "input.missing", expected, actual);
	}
}

/* --- approvals --- */

static void explain_rule(
	const struct clauses *clauses, const json_t *judged, const char *verdict_code)
{
	auto_free char *name = mem_printf("approval.%s", json_text(judged, "scope"));
	auto_free char *expected = mem_printf("%lld approvals", number(judged, "need"));
	auto_free char *actual =
		mem_printf("%lld, %s", number(judged, "have"), json_text(judged, "state"));
	const char *code = json_text(judged, "code");
	bool good = json_text_is(judged, "state", "approved");

	clause_add(clauses, name, clause_when(good),
		code && strcmp(code, "approval.quorum") == 0 ? verdict_code : code, expected,
		actual);
}

static void explain_approvals(const struct clauses *clauses, const struct trust_policy *policy,
	const struct trust_facts *facts)
{
	auto_json json_t *judged = trust_approvals_judge(policy, facts->approvals, facts->now);
	json_t *rule;
	size_t i;

	json_array_foreach (json_object_get(judged, "rules"), i, rule)
		explain_rule(clauses, rule, json_text(judged, "code"));
}

/* --- what no check forbids and people should read --- */

static void warn(json_t *warnings, char *text)
{
	json_array_append_new(warnings, json_string(text));
	free(text);
}

static json_t *warnings_of(const struct trust_policy *policy)
{
	const json_t *egress = json_object_get(policy->doc, "egress");
	const char *minimum = json_text(json_object_get(policy->doc, "evidence"), "minimum");
	json_t *warnings = json_array(), *domain;
	size_t i;

	if (strcmp(minimum, "none") == 0)
		warn(warnings, mem_printf("EVIDENCE none: the operator of this server can read the "
					  "image, the data and the output"));
	if (strcmp(minimum, "software-tpm") == 0)
		warn(warnings, mem_printf("measured, not confidential: the host's root can read "
					  "everything"));
	if (json_text_is(egress, "mode", "direct"))
		json_array_foreach (json_object_get(egress, "domains"), i, domain)
			warn(warnings,
				mem_printf("the app can send anything to %s, outside the receipt",
					json_string_value(domain)));
	return warnings;
}

/* --- the whole --- */

static json_t *conclude(const struct trust_policy *policy, json_t *list)
{
	const char *result = "pass", *failed = NULL;
	json_t *clause;
	size_t i;

	json_array_foreach (list, i, clause) {
		if (json_text_is(clause, "result", "not_known") && !failed)
			result = "unknown";
		if (json_text_is(clause, "result", "fail") && !failed) {
			result = "fail";
			failed = json_text(clause, "code");
		}
	}
	return json_pack("{s:s,s:s,s:s?,s:o,s:o}", "policy", policy->hash, "result", result,
		"failed", failed, "clauses", list, "warnings", warnings_of(policy));
}

json_t *trust_policy_explain(const struct trust_policy *policy, const struct trust_facts *facts)
{
	const struct clauses clauses = { json_array(), "" };

	explain_template(&clauses, policy, facts);
	explain_class(&clauses, policy, facts);
	explain_measurements(&clauses, policy, facts);
	explain_deadline(&clauses, policy, facts);
	if (facts->inputs)
		explain_inputs(&clauses, policy, facts);
	if (facts->constraints)
		trust_explain_scoped(&clauses, policy, facts->constraints);
	if (facts->approvals)
		explain_approvals(&clauses, policy, facts);
	return conclude(policy, clauses.list);
}

int trust_explanation_fail(const json_t *explanation, struct err *err)
{
	json_t *clause;
	size_t i;

	json_array_foreach (json_object_get(explanation, "clauses"), i, clause) {
		const char *code = json_text(clause, "code");

		if (json_text_is(clause, "result", "fail"))
			return err_set(err, ERR_UNPROCESSABLE, code,
				"%s: '%s' is asked for, there is '%s'", json_text(clause, "clause"),
				json_text(clause, "expected"), json_text(clause, "actual"));
	}
	return 0;
}
