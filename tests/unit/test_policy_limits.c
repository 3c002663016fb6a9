/* SPDX-License-Identifier: Apache-2.0 */
/* The policy document at, under and over its limits, and the spellings that are refused before any
 * of it is looked at. */
#include "proto/rule.h"
#include "tests/unit/trust_world.h"

static json_t *texts(size_t n, size_t len)
{
	json_t *list = json_array();
	auto_free char *text = mem_alloc(len + 1);

	memset(text, 'x', len);
	text[len] = '\0';
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(text));
	return list;
}

static json_t *digests(size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_sprintf("sha256:%064zx", i));
	return list;
}

static json_t *ids(size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_sprintf("dst_%032zx", i));
	return list;
}

static json_t *name(size_t len)
{
	auto_json json_t *one = texts(1, len);

	return json_incref(json_array_get(one, 0));
}

static json_t *rules(size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
			json_pack("{s:o,s:s,s:i,s:b,s:i,s:[]}", "scope", json_sprintf("s%zu", i),
				"of", "authors", "k", 1, "veto", 0, "max_age_s", 0, "objects"));
	return list;
}

/* So many keys in all of them, 32 in each but the last. */
static json_t *rules_of_keys(size_t n)
{
	json_t *list = rules((n + 31) / 32), *rule;
	size_t i;

	json_array_foreach (list, i, rule)
		json_object_set_new(rule, "of", digests(n - 32 * i < 32 ? n - 32 * i : 32));
	return list;
}

/* The document with `value`, which it takes, at a way of members with dots between them. */
static bool is_good(const char *way, json_t *value)
{
	auto_json json_t *doc = json_deep_copy(w.doc);
	struct trust_policy policy = { .doc = NULL };
	char text[64], *part = text, *dot;
	json_t *at = doc;

	snprintf(text, sizeof(text), "%s", way);
	while ((dot = strchr(part, '.'))) {
		*dot = '\0';
		at = json_is_array(at) ? json_array_get(at, (size_t)strtol(part, NULL, 10))
				       : json_object_get(at, part);
		part = dot + 1;
	}
	json_object_set_new(at, part, value);
	return trust_policy_read(w.arena, doc, &policy, NULL) == 0;
}

static void test_lengths(void)
{
	CHECK(is_good("name", name(1)) && is_good("name", name(63)) && !is_good("name", name(64)));
	CHECK(is_good("parties.approvers", digests(32)) &&
		!is_good("parties.approvers", digests(33)));
	CHECK(is_good("approval.rules", rules(64)) && !is_good("approval.rules", rules(65)));
	CHECK(is_good("approval.rules.0.of", digests(32)) &&
		!is_good("approval.rules.0.of", digests(33)));
	CHECK(is_good("approval.rules", rules_of_keys(TRUST_MAX_APPROVALS)) &&
		!is_good("approval.rules", rules_of_keys(TRUST_MAX_APPROVALS + 1)));
	CHECK(is_good("approval.rules.0.objects", ids(64)) &&
		!is_good("approval.rules.0.objects", ids(65)));
	CHECK(is_good("approval.rules.0.role", name(63)) &&
		!is_good("approval.rules.0.role", name(64)));
	CHECK(is_good("approval.rules.0.scope", name(63)) &&
		!is_good("approval.rules.0.scope", name(64)));
	CHECK(is_good("process.argv", texts(256, 1)) && !is_good("process.argv", texts(257, 1)));
	CHECK(is_good("process.argv", texts(1, 4096)) && !is_good("process.argv", texts(1, 4097)));
	CHECK(is_good("gates", json_pack("{s:n,s:n,s:o,s:n}", "max_bytes", "max_files",
				       "file_types", texts(1, 16), "minimum_rows")));
	CHECK(!is_good("gates", json_pack("{s:n,s:n,s:o,s:n}", "max_bytes", "max_files",
					"file_types", texts(1, 17), "minimum_rows")));
}

/* Each number at both of its ends, a step beyond them, and as a text. */
static void test_numbers(void)
{
	static const struct {
		const char *way;
		long long min, max;
	} rows[] = {
		{ "template.version", 1, RULE_MAX },
		{ "max_runs", 1, 1000000 },
		{ "deadline", 1, RULE_MAX },
		{ "approval.expires", 0, RULE_MAX },
		{ "approval.rules.0.max_age_s", 0, RULE_MAX },
		{ "approval.rules.0.k", 1, 1 },
		{ "limits.memory_bytes", 1 << 20, RULE_MAX },
		{ "limits.pids", 1, 32768 },
		{ "limits.wall_seconds", 1, 604800 },
		{ "limits.cpu_seconds", 1, 64 * 604800 },
		{ "limits.output_bytes", 0, RULE_MAX },
		{ "limits.output_files", 0, 1000000 },
		{ "inputs.0.version", 1, RULE_MAX },
		{ "inputs.0.size", 0, RULE_MAX },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK(is_good(rows[i].way, json_integer(rows[i].min)));
		CHECK(is_good(rows[i].way, json_integer(rows[i].max)));
		CHECK(!is_good(rows[i].way, json_integer(rows[i].min - 1)));
		CHECK(!is_good(rows[i].way, json_integer(rows[i].max + 1)));
		CHECK(!is_good(rows[i].way, json_string("1")));
		CHECK(!is_good(rows[i].way, json_real(1.0)));
		CHECK(!is_good(rows[i].way, json_null()));
	}
}

/* Two of one member, a number that JSON may write and JCS not, a lone surrogate: none is a policy.
 */
static void test_spellings(void)
{
	static const char *const swaps[][3] = {
		{ "\"max_runs\":100", "\"max_runs\":100,\"max_runs\":100", "json.duplicate" },
		{ "\"max_runs\":100", "\"max_runs\":1e2", "json.number" },
		{ "\"max_runs\":100", "\"max_runs\":100.0", "json.number" },
		{ "\"max_runs\":100", "\"max_runs\":0100", "json.syntax" },
		{ "\"max_runs\":100", "\"max_runs\": 100", "policy.not_canonical" },
		{ "\"cwd\":\"/\"", "\"cwd\":\"\\/\"", "policy.not_canonical" },
		{ "\"cwd\":\"/\"", "\"cwd\":\"\\u002f\"", "policy.not_canonical" },
		{ "\"cwd\":\"/\"", "\"cwd\":\"/\\ud800\"", "json.syntax" },
	};
	auto_free char *text = NULL;
	size_t len = 0;

	CHECK(jcs_encode(w.doc, &text, &len, &err) == 0);
	for (size_t i = 0; i < ARRAY_LEN(swaps); i++) {
		const char *at = strstr(text, swaps[i][0]);
		auto_free char *other = NULL;
		struct trust_policy policy = { .doc = NULL };

		CHECK(at != NULL);
		if (!at)
			continue;
		other = mem_printf(
			"%.*s%s%s", (int)(at - text), text, swaps[i][1], at + strlen(swaps[i][0]));
		CHECK_FAILS(trust_policy_parse(w.arena, other, strlen(other), &policy, &err), &err,
			swaps[i][2]);
	}
}

int main(void)
{
	set_up();
	test_lengths();
	test_numbers();
	test_spellings();
	tear_down();
	CHECK_DONE();
}
