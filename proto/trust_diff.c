/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two policies, member by member, and who has to agree to it again. */
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust_constraints.h"

static char *below(const char *pointer, const char *name)
{
	char escaped[256];
	size_t len = 0;

	for (; *name && len + 2 < sizeof(escaped); name++) {
		bool special = *name == '~' || *name == '/';

		escaped[len++] = special ? '~' : *name;
		if (special)
			escaped[len++] = *name == '~' ? '0' : '1';
	}
	escaped[len] = '\0';
	return mem_printf("%s/%s", pointer, escaped);
}

static void compare(json_t *changes, const char *pointer, const json_t *from, const json_t *to);

static void compare_objects(
	json_t *changes, const char *pointer, const json_t *from, const json_t *to)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)from, name, value) {
		auto_free char *path = below(pointer, name);

		compare(changes, path, value, json_object_get(to, name));
	}
	json_object_foreach ((json_t *)to, name, value) {
		auto_free char *path = below(pointer, name);

		if (!json_object_get(from, name))
			compare(changes, path, NULL, value);
	}
}

/* What names an entry of a list, where it has a name of its own. */
static const char *name_of(const json_t *entry)
{
	static const char *const members[] = { "slot", "scope", "path" };

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (json_text(entry, members[i]))
			return json_text(entry, members[i]);
	return NULL;
}

static bool is_named(const json_t *list)
{
	json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		if (!name_of(entry))
			return false;
	}
	return true;
}

static json_t *by_name(const json_t *list)
{
	json_t *map = json_object(), *entry;
	size_t i;

	json_array_foreach (list, i, entry)
		json_object_set(map, name_of(entry), entry);
	return map;
}

static void compare(json_t *changes, const char *pointer, const json_t *from, const json_t *to)
{
	if (from && to && json_equal(from, to))
		return;
	if (json_is_object(from) && json_is_object(to)) {
		compare_objects(changes, pointer, from, to);
	} else if (json_is_array(from) && json_is_array(to) && is_named(from) && is_named(to)) {
		auto_json json_t *before = by_name(from), *after = by_name(to);

		compare_objects(changes, pointer, before, after);
	} else {
		json_array_append_new(changes, json_pack("{s:s,s:O?,s:O?,s:[]}", "path", pointer,
						       "from", from, "to", to, "approvals"));
	}
}

static bool has_path(const json_t *changes, const char *path)
{
	json_t *change;
	size_t i;

	json_array_foreach (changes, i, change) {
		if (json_text_is(change, "path", path))
			return true;
	}
	return false;
}

/* An entry that went over to another owner's rule left these terms, though it is in both policies:
 * then it is the rules that changed them. */
static bool has_moved(const json_t *changes, const json_t *own)
{
	json_t *change;
	size_t i;

	json_array_foreach (own, i, change) {
		if (!has_path(changes, json_text(change, "path")))
			return true;
	}
	return false;
}

/* Whose terms a change touches: those in whose own two documents it is a change, too. */
static void add_approvals(json_t *changes, const json_t *from, const json_t *to, const char *scope)
{
	auto_json json_t *before = trust_policy_terms_document(from, scope),
			 *after = trust_policy_terms_document(to, scope), *own = json_array();
	bool moved;
	json_t *change;
	size_t i;

	compare(own, "", before, after);
	moved = before && has_moved(changes, own);
	json_array_foreach (changes, i, change) {
		const char *path = json_text(change, "path");

		if (!before || has_path(own, path) ||
			(moved && strncmp(path, "/approval/", 10) == 0))
			json_array_append_new(
				json_object_get(change, "approvals"), json_string(scope));
	}
}

json_t *trust_policy_diff(const struct trust_policy *from, const struct trust_policy *to)
{
	json_t *changes = json_array(), *rule;
	size_t i;

	compare(changes, "", from->doc, to->doc);
	json_array_foreach (trust_policy_rules(to->doc), i, rule)
		add_approvals(changes, from->doc, to->doc, json_text(rule, "scope"));
	return changes;
}
