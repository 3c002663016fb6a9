/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines and their versions; the orchestrator's view of one. */
#include "services/policy/pipelines.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/roles.h"
#include "services/policy/name.h"
#include "services/policy/queries.h"
#include "services/policy/store.h"
#include "services/policy/store_rows.h"

struct pipeline_body {
	const char *name, *template, *policy;
};

/* An update has all but the first. */
static const struct json_field fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct pipeline_body, name), true, 63 },
	{ "template", JSON_FIELD_TEXT, offsetof(struct pipeline_body, template), true, 63 },
	{ "policy", JSON_FIELD_TEXT, offsetof(struct pipeline_body, policy), true, ID_SIZE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* The policy must be there, and name the same template. */
static int check_policy(struct web_req *req, const struct pipeline_body *body, struct err *err)
{
	struct trust_policy policy;
	const char *canonical;

	if (store_policy_text(req, body->policy, &canonical, err) < 0 ||
		trust_policy_parse(req->arena, canonical, strlen(canonical), &policy, err) < 0)
		return -1;
	if (strcmp(policy.template_id, body->template) == 0)
		return 0;
	return err_set(err, ERR_UNPROCESSABLE, "pipeline.other_template",
		"the policy is for the template '%s'", policy.template_id);
}

static int decode(struct web_req *req, bool is_new, struct record *record, struct err *err)
{
	struct pipeline_body body = { 0 };

	if (json_decode(req->arena, req->json, is_new ? fields : fields + 1, &body, err) < 0 ||
		(is_new && name_check(body.name, "/name", err) < 0) ||
		check_policy(req, &body, err) < 0)
		return -1;
	record->name = body.name;
	record->detail = body.policy;
	record_add(record, body.template);
	record_add(record, body.policy);
	if (is_new)
		record_add(record, body.name);
	return 0;
}

static int add_version(
	struct db *db, struct web_req *req, const struct record *record, struct err *err)
{
	return db_exec(db, &SQL_PIPELINE_VERSION_INSERT,
		DB_PARAMS(req->principal->tenant, record->id, req->principal->subject), NULL, err);
}

static json_t *encode(const struct db_rows *rows, size_t i)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:I,s:s,s:s,s:s,s:s,s:s,s:I,s:I}", "id",
		db_text(rows, i, "id"), "tenant", db_text(rows, i, "tenant_id"), "space",
		db_text(rows, i, "space_id"), "name", db_text(rows, i, "name"), "version",
		(json_int_t)db_number(rows, i, "version"), "template", db_text(rows, i, "template"),
		"policy", db_text(rows, i, "policy_id"), "policy_hash",
		db_text(rows, i, "policy_hash"), "created_by", db_text(rows, i, "created_by"),
		"created_at", db_text(rows, i, "created_at"), "max_runs",
		(json_int_t)db_number(rows, i, "max_runs"), "deadline",
		(json_int_t)db_number(rows, i, "deadline"));
}

const struct record_kind pipeline_kind = {
	.name = "pipeline",
	.prefix = "pip",
	.path = "/v1/pipelines",
	.roles = ROLES_WORK,
	.decode = decode,
	.also = add_version,
	.encode = encode,
	.read = { .sql = &SQL_PIPELINE_BY_ID,
		.several = &SQL_PIPELINE_SEVERAL,
		.answer = record_show },
	.list = &SQL_PIPELINE_LIST,
	.insert = &SQL_PIPELINE_INSERT,
	.update = &SQL_PIPELINE_UPDATE,
	.remove = &SQL_PIPELINE_DELETE,
};

int pipeline_internal(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (store_row_get(req, &pipeline_kind, web_param(req, "tenant_id"),
		    web_param(req, "pipeline_id"), &rows, err) < 0)
		return -1;
	res->json = encode(rows, 0);
	return 0;
}
