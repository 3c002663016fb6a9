/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of scoped policies. A member that is null says nothing; they are never laxer than the
 * policy, because nothing here grants. */
#include "proto/trust_constraints.h"

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust_shape.h"

#define VERSION "strongroom-constraints-1"
#define MAX_LIST 256

static bool is_version(const char *text)
{
	return strcmp(text, VERSION) == 0;
}

static bool is_name(const char *text)
{
	return text[0] && strlen(text) <= 63;
}

static const struct rule LABEL = SHAPE_TEXT("", rule_is_label);
static const struct rule MODE = SHAPE_TEXT("", shape_is_egress);

static const struct rule EGRESS[] = {
	SHAPE_SET("modes", 0, 3, &MODE),
	SHAPE_SET("domains", 0, SHAPE_MAX_DOMAINS, &shape_endpoint),
	SHAPE_END,
};

/* Greatest values; those of the policy are checked against them one by one. */
#define LIMIT(n)                                                                                   \
	{                                                                                          \
		.name = (n), .kind = RULE_NUMBER, .max = RULE_MAX, .optional = true                \
	}
static const struct rule LIMITS[] = {
	LIMIT("memory_bytes"),
	LIMIT("pids"),
	LIMIT("wall_seconds"),
	LIMIT("cpu_seconds"),
	LIMIT("output_bytes"),
	LIMIT("output_files"),
	LIMIT("max_runs"),
	SHAPE_END,
};

static const struct rule CONSTRAINTS[] = {
	SHAPE_TEXT("v", is_version),
	SHAPE_TEXT("scope", shape_is_level),
	SHAPE_TEXT("subject", id_is_any),
	SHAPE_TEXT("name", is_name),
	SHAPE_SET_OR_NULL("images", 0, MAX_LIST, &shape_digest),
	SHAPE_SET_OR_NULL("templates", 0, MAX_LIST, &LABEL),
	SHAPE_SET_OR_NULL("runners", 0, MAX_LIST, &shape_digest),
	SHAPE_SET_OR_NULL("recipients", 0, MAX_LIST, &shape_digest),
	SHAPE_OBJECT_OR_NULL("evidence", shape_evidence),
	SHAPE_OBJECT_OR_NULL("egress", EGRESS),
	SHAPE_OBJECT_OR_NULL("limits", LIMITS),
	SHAPE_OBJECT_OR_NULL("gates", shape_gates),
	SHAPE_NUMBER_OR_NULL("not_after", 1, RULE_MAX),
	SHAPE_END,
};

/* The subject's id is one of the scope's kind. */
static int check_subject(const json_t *doc, struct err *err)
{
	static const char *const kinds[][2] = { { "tenant", "tnt" }, { "dataset", "dst" },
		{ "workflow", "wfl" } };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (json_text_is(doc, "scope", kinds[i][0]) &&
			id_is(json_text(doc, "subject"), kinds[i][1]))
			return 0;
	err_set(err, ERR_INVALID, "constraints.invalid", "the subject is no %s",
		json_text(doc, "scope"));
	return err_field(err, "/subject", "field.value", "is no id of the scope's kind");
}

static void release_document(void *doc)
{
	json_decref(doc);
}

int trust_constraints_read(
	struct arena *arena, json_t *doc, struct trust_constraints *ret, struct err *err)
{
	struct trust_constraints constraints = { .doc = doc };

	if (rule_check(CONSTRAINTS, doc, "constraints.invalid", "constraints", err) < 0 ||
		check_subject(doc, err) < 0 || jcs_digest(doc, constraints.hash, err) < 0)
		return -1;
	constraints.scope = json_text(doc, "scope");
	constraints.subject = json_text(doc, "subject");
	constraints.name = json_text(doc, "name");
	arena_defer(arena, release_document, json_incref(doc));
	*ret = constraints;
	return 0;
}

int trust_constraints_parse(struct arena *arena, const char *text, size_t len,
	struct trust_constraints *ret, struct err *err)
{
	auto_json json_t *doc = NULL;

	if (jcs_parse(text, len, "constraints.not_canonical", "scoped policy", &doc, err) < 0)
		return -1;
	return trust_constraints_read(arena, doc, ret, err);
}
