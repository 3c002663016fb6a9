/* SPDX-License-Identifier: Apache-2.0 */
/* Scoped policies as records, and which of them a policy has to keep to. */
#include "services/policy/constraints.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "proto/roles.h"
#include "services/policy/datasets.h"
#include "services/policy/queries.h"
#include "services/policy/store_rows.h"
#include "services/policy/workflows.h"

struct constraint_body {
	json_t *document;
};

static const struct json_field fields[] = {
	{ "document", JSON_FIELD_OBJECT, offsetof(struct constraint_body, document), true, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* --- records --- */

static int may_change(struct web_req *req, const char *scope, struct err *err)
{
	return principal_need_role(
		req->principal, strcmp(scope, "dataset") == 0 ? ROLES_DATA : ROLES_RULE, err);
}

/* Whose subject it is, says who may demand something of it: only its own tenant. A workflow's lie
 * in its space, where the others read them. */
static int check_subject(struct web_req *req, const struct trust_constraints *constraints,
	struct record *record, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_rows struct db_rows *rows = NULL;

	if (strcmp(constraints->scope, "tenant") == 0)
		return strcmp(constraints->subject, tenant) == 0
			       ? 0
			       : err_set(err, ERR_UNPROCESSABLE, "constraint.wrong_subject",
					 "the subject is another tenant");
	if (strcmp(constraints->scope, "dataset") == 0)
		return store_row_get(req, &dataset_kind, tenant, constraints->subject, &rows, err);
	if (store_row_get(req, &workflow_kind, tenant, constraints->subject, &rows, err) < 0)
		return -1;
	record->space = db_text_in(rows, 0, "space_id", req->arena);
	return 0;
}

static int decode(struct web_req *req, bool is_new, struct record *record, struct err *err)
{
	struct trust_constraints constraints;
	struct constraint_body body;
	auto_free char *text = NULL;
	size_t len;

	(void)is_new;
	if (json_decode(req->arena, req->json, fields, &body, err) < 0 ||
		trust_constraints_read(req->arena, body.document, &constraints, err) < 0 ||
		may_change(req, constraints.scope, err) < 0 ||
		check_subject(req, &constraints, record, err) < 0 ||
		jcs_encode(body.document, &text, &len, err) < 0)
		return -1;
	if (len > TRUST_CONSTRAINTS_MAX)
		return err_set(err, ERR_TOO_LARGE, "constraints.too_large",
			"a scoped policy has at most %u bytes", TRUST_CONSTRAINTS_MAX);
	record->name = constraints.name;
	record->detail = arena_strdup(req->arena, constraints.hash);
	record_add(record, constraints.name);
	record_add(record, constraints.scope);
	record_add(record, constraints.subject);
	record_add(record, record->detail);
	record_add(record, arena_strdup(req->arena, text));
	return 0;
}

static int query(struct web_req *req, struct record *record, struct err *err)
{
	(void)err;
	record_add(record, web_query(req, "subject"));
	return 0;
}

static json_t *encode(const struct db_rows *rows, size_t i)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:s}", "id", db_text(rows, i, "id"), "name",
		db_text(rows, i, "name"), "scope", db_text(rows, i, "scope"), "subject",
		db_text(rows, i, "subject_id"), "hash", db_text(rows, i, "hash"), "document",
		json_loads(db_text(rows, i, "document"), 0, NULL), "created_by",
		db_text(rows, i, "created_by"), "created_at", db_text(rows, i, "created_at"));
}

const struct record_kind constraint_kind = {
	.name = "constraint",
	.prefix = "cst",
	.path = "/v1/constraints",
	.roles = ROLES_DATA,
	.decode = decode,
	.query = query,
	.encode = encode,
	.read = { .sql = &SQL_CONSTRAINT_BY_ID, .answer = record_show, .shared = true },
	.list = &SQL_CONSTRAINT_LIST,
	.insert = &SQL_CONSTRAINT_INSERT,
	.update = &SQL_CONSTRAINT_UPDATE,
	.remove = &SQL_CONSTRAINT_DELETE,
};

/* The scope of what is there decides, too: nobody gets at a tenant's by calling it a dataset's. */
static int check_stored(struct web_req *req, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (store_row_get(req, &constraint_kind, req->principal->tenant, req->params[0].value,
		    &rows, err) < 0)
		return -1;
	return may_change(req, db_text(rows, 0, "scope"), err);
}

int constraint_update(struct web_req *req, struct web_res *res, struct err *err)
{
	return check_stored(req, err) < 0 ? -1 : record_update(req, res, err);
}

int constraint_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	return check_stored(req, err) < 0 ? -1 : record_delete(req, res, err);
}

/* --- what applies to a policy --- */

void constraints_release(struct constraints *constraints)
{
	json_decref(constraints->texts);
	json_decref(constraints->left_out);
}

static void add_datasets(struct arena *arena, const json_t *doc, const char *list, char **subjects)
{
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(doc, list), i, entry) {
		*subjects = arena_printf(arena, "%s,%s", *subjects, json_text(entry, "dataset"));
	}
}

static const char *subjects_of(struct web_req *req, const struct trust_policy *policy)
{
	const json_t *runtime = json_object_get(json_object_get(policy->doc, "app"), "runtime");
	const char *named = json_text(json_object_get(runtime, "workflow"), "workflow_id");
	char *subjects = arena_strdup(req->arena, req->principal->tenant);
	json_t *pin;
	size_t i;

	json_array_foreach (json_object_get(policy->doc, "constraints"), i, pin)
		subjects = arena_printf(req->arena, "%s,%s", subjects, json_text(pin, "subject"));
	add_datasets(req->arena, policy->doc, "inputs", &subjects);
	add_datasets(req->arena, policy->doc, "outputs", &subjects);
	if (named && id_is(named, "wfl"))
		subjects = arena_printf(req->arena, "%s,%s", subjects, named);
	return subjects;
}

static bool is_pinned(const struct trust_policy *policy, const struct db_rows *rows, size_t row)
{
	json_t *pin;
	size_t i;

	json_array_foreach (json_object_get(policy->doc, "constraints"), i, pin) {
		if (json_text_is(pin, "hash", db_text(rows, row, "hash")) &&
			json_text_is(pin, "scope", db_text(rows, row, "scope")) &&
			json_text_is(pin, "subject", db_text(rows, row, "subject_id")))
			return true;
	}
	return false;
}

int constraints_of(struct web_req *req, const struct trust_policy *policy, struct constraints *ret,
	struct err *err)
{
	const struct principal *who = req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces),
		    &SQL_CONSTRAINTS_APPLICABLE, DB_PARAMS(who->tenant, subjects_of(req, policy)),
		    &rows, err) < 0)
		return -1;
	*ret = (struct constraints) { json_array(), json_array() };
	for (size_t i = 0; i < db_count(rows); i++) {
		if (is_pinned(policy, rows, i))
			json_array_append_new(
				ret->texts, json_string(db_text(rows, i, "document")));
		else
			json_array_append_new(ret->left_out,
				json_pack("{s:s,s:s,s:s,s:s}", "scope", db_text(rows, i, "scope"),
					"subject", db_text(rows, i, "subject_id"), "name",
					db_text(rows, i, "name"), "hash",
					db_text(rows, i, "hash")));
	}
	return 0;
}

int constraints_check(
	const struct trust_policy *policy, const struct constraints *constraints, struct err *err)
{
	const json_t *left_out = json_array_get(constraints->left_out, 0);
	const struct trust_facts facts = { .now = clock_unix_ms() / 1000,
		.constraints = constraints->texts };
	auto_json json_t *explanation = NULL;

	if (left_out)
		return err_set(err, ERR_UNPROCESSABLE, "constraint.left_out",
			"the scoped policy '%s' of the %s applies and is not pinned: %s",
			json_text(left_out, "name"), json_text(left_out, "scope"),
			json_text(left_out, "hash"));
	explanation = trust_policy_explain(policy, &facts);
	return trust_explanation_fail(explanation, err);
}

int constraints_of_workflow(struct db *db, const char *tenant, const char *workflow,
	const struct trust_policy *policy, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_CONSTRAINTS_APPLICABLE, DB_PARAMS(tenant, workflow), &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++) {
		if (!is_pinned(policy, rows, i))
			return err_set(err, ERR_UNPROCESSABLE, "constraint.left_out",
				"the scoped policy '%s' of the workflow is not pinned: %s",
				db_text(rows, i, "name"), db_text(rows, i, "hash"));
	}
	return 0;
}
