/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks: which are opened, and what a decision changes. */
#include "services/policy/tasks.h"

#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "proto/roles.h"
#include "services/policy/queries.h"
#include "services/policy/store_rows.h"

struct deny_body {
	const char *reason;
};

static const struct json_field deny_fields[] = {
	{ "reason", JSON_FIELD_TEXT, offsetof(struct deny_body, reason), false, 1000 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* --- opening --- */

static int open_one(struct db *db, struct web_req *req, const struct sql *sql,
	const struct record *app, struct err *err)
{
	char id[ID_SIZE];

	id_new("tsk", id);
	return db_exec(db, sql,
		DB_PARAMS(req->principal->tenant, app->id, id, req->principal->subject), NULL, err);
}

int task_open_for_app(struct db *db, struct web_req *req, const struct record *app, struct err *err)
{
	if (open_one(db, req, &SQL_TASK_OPEN_BUILD, app, err) < 0 ||
		open_one(db, req, &SQL_TASK_OPEN_DOMAINS, app, err) < 0)
		return -1;
	return db_exec(
		db, &SQL_TASK_SUPERSEDE, DB_PARAMS(req->principal->tenant, app->id), NULL, err);
}

/* --- reading --- */

static int query(struct web_req *req, struct record *record, struct err *err)
{
	static const char *const states[] = { "INPROGRESS", "SUCCESS", "DENIED", "FAILED" };
	const char *status = web_query(req, "status");

	record_add(record, status);
	for (size_t i = 0; status && i < ARRAY_LEN(states); i++) {
		if (strcmp(status, states[i]) == 0)
			return 0;
	}
	if (!status)
		return 0;
	return err_set(err, ERR_INVALID, "task.bad_status",
		"status is INPROGRESS, SUCCESS, DENIED or FAILED");
}

static json_t *text_or_null(const struct db_rows *rows, size_t i, const char *column)
{
	return db_is_null(rows, i, column) ? json_null() : json_string(db_text(rows, i, column));
}

/* Of a build: repository@manifest; of domains: their list. */
static void set_subject(json_t *record, const struct db_rows *rows, size_t i)
{
	const char *subject = db_text(rows, i, "subject");

	if (strcmp(db_text(rows, i, "type"), "BUILD_WHITELIST") == 0)
		json_object_set_new(record, "image", json_string(subject));
	else
		json_object_set_new(record, "domains", json_loads(subject, 0, NULL));
}

/* The form that others' tasks have, approvals as a list; one decision decides. */
static json_t *approvals_of(const struct db_rows *rows, size_t i)
{
	bool is_good = strcmp(db_text(rows, i, "status"), "SUCCESS") == 0;

	if (db_is_null(rows, i, "decided_by"))
		return json_array();
	return json_pack("[{s:s,s:s}]", "user", db_text(rows, i, "decided_by"), "status",
		is_good ? "APPROVED" : "DENIED");
}

static json_t *encode(const struct db_rows *rows, size_t i)
{
	json_t *record = json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:s,s:s}", "id",
		db_text(rows, i, "id"), "type", db_text(rows, i, "type"), "status",
		db_text(rows, i, "status"), "entity_id", db_text(rows, i, "app_id"), "approvals",
		approvals_of(rows, i), "reason", text_or_null(rows, i, "reason"), "decided_at",
		text_or_null(rows, i, "decided_at"), "created_by", db_text(rows, i, "created_by"),
		"created_at", db_text(rows, i, "created_at"));

	set_subject(record, rows, i);
	return record;
}

const struct record_kind task_kind = {
	.name = "task",
	.prefix = "tsk",
	.path = "/v1/tasks",
	.query = query,
	.encode = encode,
	.read = { .sql = &SQL_TASK_BY_ID, .answer = record_show },
	.list = &SQL_TASK_LIST,
};

/* --- deciding --- */

struct decision {
	struct web_req *req;
	const char *id, *reason;
	bool is_approved;
};

static int decide_work(struct db *db, void *arg, struct err *err)
{
	const struct decision *decision = arg;
	const struct principal *who = decision->req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_TASK_DECIDE,
		    DB_PARAMS(who->tenant, decision->id,
			    decision->is_approved ? "SUCCESS" : "DENIED", who->subject,
			    decision->reason),
		    &rows, err) < 0)
		return -1;
	if (db_affected(rows) != 1)
		return err_set(err, ERR_CONFLICT, "task.decided", "the task is over already");
	audit(db, &(const struct audit_act) { .action = decision->is_approved ? "approve" : "deny",
			  .on = decision->id });
	return db_exec(db, &SQL_APP_DECIDED,
		DB_PARAMS(who->tenant, decision->id,
			decision->is_approved ? "WHITELISTED" : "REJECTED"),
		NULL, err);
}

static int decide(struct web_res *res, struct decision *decision, struct err *err)
{
	struct web_req *req = decision->req;
	auto_rows struct db_rows *rows = NULL;

	if (principal_need_role(req->principal, ROLES_RULE, err) < 0 ||
		store_row_get(req, &task_kind, req->principal->tenant, decision->id, &rows, err) <
			0 ||
		db_tx(req->worker->db, DB_TENANT(req->principal->tenant), decide_work, decision,
			err) < 0)
		return -1;
	return record_answer(req, res, &task_kind, decision->id, err);
}

int task_approve(struct web_req *req, struct web_res *res, struct err *err)
{
	return decide(res,
		&(struct decision) {
			.req = req, .id = web_param(req, "task_id"), .is_approved = true },
		err);
}

int task_deny(struct web_req *req, struct web_res *res, struct err *err)
{
	struct deny_body body = { 0 };

	if (json_decode(req->arena, req->json, deny_fields, &body, err) < 0)
		return -1;
	return decide(res,
		&(struct decision) {
			.req = req, .id = web_param(req, "task_id"), .reason = body.reason },
		err);
}
