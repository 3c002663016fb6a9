/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for pipelines and their versions. */
#include <stdlib.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/policy/queries.h"
#include "services/policy/store.h"
#include "services/policy/store_rows.h"

#define ROUTE "POST /v1/pipelines"

static json_t *pipeline_row(const struct db_rows *rows, size_t i)
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

struct pipeline_work {
	struct web_req *req;
	const struct store_pipeline *item;
};

static int add_work(struct db *db, void *arg, struct err *err)
{
	struct pipeline_work *work = arg;
	const struct store_pipeline *item = work->item;
	const struct principal *who = work->req->principal;

	if (resource_remember(db, work->req, ROUTE, item->id, err) < 0 ||
		db_exec(db, &SQL_PIPELINE_INSERT,
			DB_PARAMS(who->tenant, who->space, item->id, item->name, item->template,
				item->policy_id, who->subject),
			NULL, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) {
			  .action = "create", .on = item->id, .detail = item->policy_id });
	return db_exec(db, &SQL_PIPELINE_VERSION_INSERT,
		DB_PARAMS(who->tenant, item->id, who->subject), NULL, err);
}

int store_pipeline_add(struct web_req *req, const struct store_pipeline *item, struct err *err)
{
	struct pipeline_work work = { req, item };

	if (db_tx(req->worker->db, DB_TENANT(req->principal->tenant), add_work, &work, err) == 0)
		return 0;
	return store_name_taken("pipeline", item->name, err);
}

static const struct store_thing pipeline_thing = { "pipeline", "/v1/pipelines", pipeline_row };

static int pipeline_answer(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	return store_row_answer(req, res, rows, &pipeline_thing, err);
}

const struct web_read store_pipeline_read = { .sql = &SQL_PIPELINE_BY_ID,
	.answer = pipeline_answer };

int store_pipeline_get(struct web_req *req, const char *tenant, const char *id, json_t **ret_record,
	long long *ret_revision, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (store_row_get(req, tenant, &SQL_PIPELINE_BY_ID, id, "pipeline", &rows, err) < 0)
		return -1;
	if (ret_revision)
		*ret_revision = db_number(rows, 0, "revision");
	*ret_record = pipeline_row(rows, 0);
	return 0;
}

int store_pipeline_list(
	struct web_req *req, const struct page *page, json_t **ret_list, struct err *err)
{
	return store_row_list(req, &SQL_PIPELINE_LIST, page, pipeline_row, ret_list, err);
}

static int update_work(struct db *db, void *arg, struct err *err)
{
	struct pipeline_work *work = arg;
	const struct store_pipeline *item = work->item;
	const struct principal *who = work->req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_PIPELINE_UPDATE,
		    DB_PARAMS(who->tenant, item->id, item->template, item->policy_id,
			    DB_NUMBER(item->revision)),
		    &rows, err) < 0 ||
		store_row_changed(db_affected(rows), err) < 0)
		return -1;
	audit(db, &(const struct audit_act) {
			  .action = "update", .on = item->id, .detail = item->policy_id });
	return db_exec(db, &SQL_PIPELINE_VERSION_INSERT,
		DB_PARAMS(who->tenant, item->id, who->subject), NULL, err);
}

int store_pipeline_update(struct web_req *req, const struct store_pipeline *item, struct err *err)
{
	struct pipeline_work work = { req, item };

	return db_tx(req->worker->db, DB_TENANT(req->principal->tenant), update_work, &work, err);
}

int store_pipeline_delete(struct web_req *req, const char *id, long long revision, struct err *err)
{
	return store_row_delete(req, &SQL_PIPELINE_DELETE, id, revision, "resource.changed",
		"the pipeline was changed meanwhile", err);
}
