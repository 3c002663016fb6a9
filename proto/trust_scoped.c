/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy held against scoped policies. Default deny: what is pinned and not there fails, and so
 * does a text under a pin that it does not have.
 */
#include <stdio.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust_clause.h"

static const json_t *path(const json_t *doc, const char *object, const char *member)
{
	return json_object_get(json_object_get(doc, object), member);
}

/* The first entry that is not among the allowed ones; NULL when all are. */
static const char *stranger(const json_t *entries, const json_t *allowed)
{
	json_t *entry;
	size_t i;

	json_array_foreach (entries, i, entry) {
		if (!json_list_has(allowed, json_string_value(entry)))
			return json_string_value(entry);
	}
	return NULL;
}

static char *list_text(const json_t *list)
{
	size_t size = json_array_size(list);
	const char *first = json_string_value(json_array_get(list, 0));

	if (size == 0)
		return mem_printf("none is allowed");
	return size == 1 ? mem_printf("%s", first) : mem_printf("one of %zu: %s, …", size, first);
}

/* --- lists --- */

static void check_one(const struct clauses *clauses, const char *name, const json_t *allowed,
	const char *value, const char *code)
{
	auto_free char *expected = list_text(allowed);

	if (json_is_array(allowed))
		clause_add(clauses, name, clause_when(json_list_has(allowed, value)), code,
			expected, value);
}

static void check_all(const struct clauses *clauses, const char *name, const json_t *allowed,
	const json_t *entries, const char *code)
{
	auto_free char *expected = list_text(allowed);
	const char *odd = stranger(entries, allowed);

	if (json_is_array(allowed))
		clause_add(
			clauses, name, clause_when(!odd), code, expected, odd ? odd : "only these");
}

/* --- evidence and egress --- */

static void check_evidence(
	const struct clauses *clauses, const json_t *evidence, const json_t *policy)
{
	const char *minimum = json_text(evidence, "minimum"),
		   *actual = json_string_value(path(policy, "evidence", "minimum"));
	auto_free char *expected = NULL;

	if (!minimum)
		return;
	expected = mem_printf("at least %s", minimum);
	clause_add(clauses, "evidence",
		clause_when(trust_class_rank(actual) >= trust_class_rank(minimum)),
		"constraint.evidence", expected, actual);
}

/* Where a policy's app or its agent may connect: the domains, and the hosts of all locations. */
static json_t *endpoints_of(const json_t *policy)
{
	static const char *const lists[] = { "inputs", "outputs" };
	json_t *all = json_copy((json_t *)path(policy, "egress", "domains")), *entry;
	size_t i;

	for (size_t n = 0; n < ARRAY_LEN(lists); n++)
		json_array_foreach (json_object_get(policy, lists[n]), i, entry) {
			auto_free char *endpoint = trust_location_endpoint(entry);

			if (endpoint)
				json_array_append_new(all, json_string(endpoint));
		}
	return all;
}

static void check_egress(const struct clauses *clauses, const json_t *egress, const json_t *policy)
{
	auto_json json_t *endpoints = NULL;

	if (!json_is_object(egress))
		return;
	endpoints = endpoints_of(policy);
	check_one(clauses, "egress.modes", json_object_get(egress, "modes"),
		json_string_value(path(policy, "egress", "mode")), "constraint.egress");
	check_all(clauses, "egress.domains", json_object_get(egress, "domains"), endpoints,
		"constraint.egress");
}

/* --- numbers --- */

struct bound {
	const char *name, *code;
	const json_t *allowed, *actual; /* an actual that is null is no bound at all */
	bool is_least;
};

static void check_bound(const struct clauses *clauses, const struct bound *bound)
{
	long long allowed = json_integer_value(bound->allowed),
		  actual = json_integer_value(bound->actual);
	auto_free char *expected =
		mem_printf("%s %lld", bound->is_least ? "at least" : "at most", allowed);
	auto_free char *found = json_is_integer(bound->actual) ? mem_printf("%lld", actual)
							       : mem_printf("no bound");

	if (!json_is_integer(bound->allowed))
		return;
	clause_add(clauses, bound->name,
		clause_when(json_is_integer(bound->actual) &&
			    (bound->is_least ? actual >= allowed : actual <= allowed)),
		bound->code, expected, found);
}

static void check_limits(const struct clauses *clauses, const json_t *limits, const json_t *policy)
{
	const char *name;
	json_t *allowed;

	json_object_foreach ((json_t *)limits, name, allowed) {
		auto_free char *clause = mem_printf("limits.%s", name);
		const json_t *actual = strcmp(name, "max_runs") == 0 ? json_object_get(policy, name)
								     : path(policy, "limits", name);

		check_bound(clauses, &(const struct bound) {
					     clause, "constraint.limit", allowed, actual, false });
	}
}

static void check_file_types(
	const struct clauses *clauses, const json_t *allowed, const json_t *actual)
{
	auto_free char *expected = list_text(allowed);
	const char *odd = stranger(actual, allowed);

	if (json_is_array(allowed))
		clause_add(clauses, "gates.file_types", clause_when(json_is_array(actual) && !odd),
			"constraint.gate", expected,
			!json_is_array(actual) ? "any type"
			: odd		       ? odd
					       : "only these");
}

static void check_gates(const struct clauses *clauses, const json_t *gates, const json_t *policy)
{
	static const struct {
		const char *member, *clause;
		bool is_least;
	} bounds[] = {
		{ "max_bytes", "gates.max_bytes", false },
		{ "max_files", "gates.max_files", false },
		{ "minimum_rows", "gates.minimum_rows", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
		check_bound(clauses,
			&(const struct bound) { bounds[i].clause, "constraint.gate",
				json_object_get(gates, bounds[i].member),
				path(policy, "gates", bounds[i].member), bounds[i].is_least });
	check_file_types(
		clauses, json_object_get(gates, "file_types"), path(policy, "gates", "file_types"));
}

/* A policy must not outlive the word that allows it. */
static void check_not_after(
	const struct clauses *clauses, const json_t *not_after, const struct trust_policy *policy)
{
	char latest[CLOCK_TEXT_SIZE], deadline[CLOCK_TEXT_SIZE];
	auto_free char *expected = NULL;

	if (!json_is_integer(not_after))
		return;
	clock_rfc3339(json_integer_value(not_after) * 1000, latest);
	clock_rfc3339(policy->deadline * 1000, deadline);
	expected = mem_printf("a deadline not after %s", latest);
	clause_add(clauses, "not_after",
		clause_when(policy->deadline <= json_integer_value(not_after)),
		"constraint.not_after", expected, deadline);
}

/* --- one, and all of them --- */

static void check_document(
	const struct clauses *clauses, const json_t *doc, const struct trust_policy *policy)
{
	const json_t *parties = json_object_get(policy->doc, "parties");

	check_one(clauses, "images", json_object_get(doc, "images"), policy->manifest_digest,
		"constraint.image");
	check_one(clauses, "templates", json_object_get(doc, "templates"), policy->template_id,
		"constraint.template");
	check_all(clauses, "runners", json_object_get(doc, "runners"),
		json_object_get(parties, "runners"), "constraint.runner");
	check_all(clauses, "recipients", json_object_get(doc, "recipients"),
		json_object_get(parties, "recipients"), "constraint.recipient");
	check_evidence(clauses, json_object_get(doc, "evidence"), policy->doc);
	check_egress(clauses, json_object_get(doc, "egress"), policy->doc);
	check_limits(clauses, json_object_get(doc, "limits"), policy->doc);
	check_gates(clauses, json_object_get(doc, "gates"), policy->doc);
	check_not_after(clauses, json_object_get(doc, "not_after"), policy);
}

/* The text of that very hash, which is about the pinned subject. */
static bool find(
	struct arena *arena, const json_t *texts, const json_t *pin, struct trust_constraints *ret)
{
	json_t *text;
	size_t i;

	json_array_foreach (texts, i, text) {
		const char *bytes = json_string_value(text);
		char hash[DIGEST_TEXT_SIZE];

		if (!bytes)
			continue;
		digest_text(bytes, strlen(bytes), hash);
		if (json_text_is(pin, "hash", hash) &&
			trust_constraints_parse(arena, bytes, strlen(bytes), ret, NULL) == 0)
			return json_text_is(pin, "scope", ret->scope) &&
			       json_text_is(pin, "subject", ret->subject);
	}
	return false;
}

void trust_explain_scoped(
	const struct clauses *clauses, const struct trust_policy *policy, const json_t *texts)
{
	auto_arena struct arena *arena = arena_new();
	json_t *pin;
	size_t i;

	json_array_foreach (json_object_get(policy->doc, "constraints"), i, pin) {
		auto_free char *prefix =
			mem_printf("%s %s: ", json_text(pin, "scope"), json_text(pin, "subject"));
		const struct clauses scoped = { clauses->list, prefix };
		struct trust_constraints found = { .doc = NULL };
		bool is_there = find(arena, texts, pin, &found);

		clause_add(&scoped, "document", clause_when(is_there), "constraint.missing",
			json_text(pin, "hash"), is_there ? found.name : "not given");
		if (is_there)
			check_document(&scoped, found.doc, policy);
	}
}
