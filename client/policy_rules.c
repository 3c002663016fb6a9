/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of policy_rules.h, out of the document's own slots. */
#include "client/policy_rules.h"

#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"

static const char *dataset_of(const json_t *list, const char *slot)
{
	json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		if (json_text_is(entry, "slot", slot))
			return json_text(entry, "dataset");
	}
	return NULL;
}

/* What the owner of a slot answers for: a dataset, or the application. */
static const char *object_of(const json_t *document, const char *slot)
{
	const char *input = dataset_of(json_object_get(document, "inputs"), slot);

	if (strcmp(slot, "image") == 0)
		return json_text(json_object_get(document, "app"), "id");
	return input ? input : dataset_of(json_object_get(document, "outputs"), slot);
}

static json_t *rule_of(const char *what, const char *owner, const char *object)
{
	auto_free char *scope = mem_printf("%s-owner", what);
	json_t *objects = json_array();

	if (object)
		json_array_append_new(objects, json_string(object));
	return json_pack("{s:s,s:[s],s:i,s:b,s:i,s:o}", "scope", scope, "of", owner, "k", 1, "veto",
		1, "max_age_s", 0, "objects", objects);
}

static bool has_scope(const json_t *rules, const json_t *rule)
{
	json_t *other;
	size_t i;

	json_array_foreach (rules, i, other) {
		if (json_text_is(other, "scope", json_text(rule, "scope")))
			return true;
	}
	return false;
}

/* All of a party's keys. */
static json_t *rule_of_all(const char *scope, const char *party, size_t k)
{
	return json_pack("{s:s,s:s,s:i,s:b,s:i,s:[]}", "scope", scope, "of", party, "k", (int)k,
		"veto", 1, "max_age_s", 0, "objects");
}

json_t *policy_rules(const json_t *document)
{
	const json_t *parties = json_object_get(document, "parties"),
		     *authors = json_object_get(parties, "authors"),
		     *approvers = json_object_get(parties, "approvers");
	json_t *rules = json_pack("[o]", rule_of_all("author", "authors", 1));
	const char *name;
	json_t *slot;

	if (json_array_size(approvers) > 0)
		json_array_append_new(
			rules, rule_of_all("approvers", "approvers", json_array_size(approvers)));
	json_object_foreach (json_object_get(document, "slots"), name, slot) {
		const char *owner = json_text(slot, "owner"), *object = object_of(document, name);
		auto_json json_t *rule = rule_of(object ? object : name, owner, object);

		if (!json_list_has(authors, owner) && !has_scope(rules, rule))
			json_array_append(rules, rule);
	}
	return json_pack("{s:o,s:i}", "rules", rules, "expires", 0);
}
