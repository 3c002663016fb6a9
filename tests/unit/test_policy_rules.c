/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever has a secret in a policy, or is named by its plan, is asked; the author is asked once. */
#include "client/policy_rules.h"

#include <stdlib.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

/* "scope:keys or party:objects" of each rule. */
static char *rules_of(json_t *document)
{
	auto_json json_t *owned = document, *approval = policy_rules(owned);
	char *all = mem_strdup("");
	json_t *rule;
	size_t i;

	json_array_foreach (json_object_get(approval, "rules"), i, rule) {
		const json_t *of = json_object_get(rule, "of");
		const char *key = json_string_value(json_is_array(of) ? json_array_get(of, 0) : of),
			   *object = json_string_value(
				   json_array_get(json_object_get(rule, "objects"), 0));
		char *longer = mem_printf("%s%s:%s:%s:%lld ", all, json_text(rule, "scope"), key,
			object ? object : "-",
			(long long)json_integer_value(json_object_get(rule, "k")));

		CHECK(json_is_true(json_object_get(rule, "veto")));
		free(all);
		all = longer;
	}
	return all;
}

static json_t *document(const char *data_owner, json_t *approvers)
{
	return json_pack("{s:{s:[s],s:o},s:{s:{s:s},s:{s:s},s:{s:s}},s:[{s:s,s:s}],s:[]}",
		"parties", "authors", "me", "approvers", approvers, "slots", "image", "owner", "me",
		"input/a", "owner", data_owner, "output", "owner", data_owner, "inputs", "slot",
		"input/a", "dataset", "dst_1", "outputs");
}

/* With an image of somebody else's, which is an application or not. */
static json_t *image_of(const char *owner, const char *app)
{
	json_t *made = document("me", json_array());

	json_object_set_new(json_object_get(json_object_get(made, "slots"), "image"), "owner",
		json_string(owner));
	json_object_set_new(made, "app", json_pack("{s:s}", "id", app));
	return made;
}

int main(void)
{
	auto_free char *own = rules_of(document("me", json_array())),
		       *others = rules_of(document("you", json_array())),
		       *lent = rules_of(image_of("them", "app_1")),
		       *named = rules_of(document("me", json_pack("[s,s]", "x", "y")));

	CHECK_TEXT(own, "author:authors:-:1 ");
	CHECK_TEXT(others, "author:authors:-:1 dst_1-owner:you:dst_1:1 output-owner:you:-:1 ");
	CHECK_TEXT(named, "author:authors:-:1 approvers:approvers:-:2 ");
	CHECK_TEXT(lent, "author:authors:-:1 app_1-owner:them:app_1:1 ");
	CHECK_DONE();
}
