/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terms: the part of a policy that the keys of one rule agree to. What is left out belongs to
 * objects of others, who answer for it; everything that decides what runs, on which machine and who
 * reads the result is in everybody's terms.
 */
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

#define VERSION "strongroom-terms-1"

/* Objects that other rules list and this one does not. */
static json_t *foreign_objects(const json_t *doc, const json_t *own)
{
	const json_t *mine = json_object_get(own, "objects");
	json_t *foreign = json_object(), *rule, *object;
	size_t i, n;

	json_array_foreach (trust_policy_rules(doc), i, rule) {
		json_array_foreach (json_object_get(rule, "objects"), n, object) {
			if (!json_list_has(mine, json_string_value(object)))
				json_object_set_new(
					foreign, json_string_value(object), json_true());
		}
	}
	return foreign;
}

static bool is_foreign(const json_t *entry, const json_t *foreign)
{
	const char *dataset = json_text(entry, "dataset");

	return dataset && json_object_get(foreign, dataset);
}

/* Entries of inputs or outputs, with their slots. */
static void drop_entries(json_t *doc, const char *list, const json_t *foreign)
{
	json_t *entries = json_object_get(doc, list), *slots = json_object_get(doc, "slots");

	for (size_t i = json_array_size(entries); i-- > 0;) {
		const json_t *entry = json_array_get(entries, i);

		if (!is_foreign(entry, foreign))
			continue;
		json_object_del(slots, json_text(entry, "slot"));
		json_array_remove(entries, i);
	}
}

static void drop_ports(json_t *ports, const json_t *foreign)
{
	const char *port, *name;
	json_t *names, *entry;
	void *next;

	json_object_foreach (ports, port, names) {
		json_object_foreach_safe(names, next, name, entry)
		{
			if (is_foreign(entry, foreign))
				json_object_del(names, name);
		}
	}
}

/* Rules of others over objects of theirs. */
static void drop_rules(json_t *doc, const char *scope)
{
	json_t *rules = json_object_get(json_object_get(doc, "approval"), "rules");

	for (size_t i = json_array_size(rules); i-- > 0;) {
		const json_t *rule = json_array_get(rules, i);

		if (!json_text_is(rule, "scope", scope) &&
			json_array_size(json_object_get(rule, "objects")) > 0)
			json_array_remove(rules, i);
	}
}

json_t *trust_policy_terms_document(const json_t *doc, const char *scope)
{
	const json_t *rule = trust_policy_rule(doc, scope);
	auto_json json_t *foreign = NULL;
	json_t *terms;

	if (!rule)
		return NULL;
	terms = json_deep_copy(doc);
	if (json_array_size(json_object_get(rule, "objects")) == 0)
		return terms;
	foreign = foreign_objects(doc, rule);
	drop_entries(terms, "inputs", foreign);
	drop_entries(terms, "outputs", foreign);
	drop_ports(json_object_get(terms, "ports"), foreign);
	drop_rules(terms, scope);
	json_object_del(terms, "max_runs");
	json_object_del(terms, "deadline");
	return terms;
}

int trust_policy_terms(const struct trust_policy *policy, const char *scope,
	char ret_terms[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_json json_t *document = trust_policy_terms_document(policy->doc, scope), *terms = NULL;

	if (!document)
		return err_set(err, ERR_UNPROCESSABLE, "approval.wrong_scope",
			"the policy has no rule of the scope '%s'", scope);
	terms = json_pack("{s:s,s:s,s:O}", "v", VERSION, "scope", scope, "document", document);
	return jcs_digest(terms, ret_terms, err);
}
