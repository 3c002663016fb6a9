/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for runs, their steps and events. */
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/orchestrator/queries.h"
#include "services/orchestrator/store.h"
#include "services/orchestrator/store_rows.h"

bool run_is_final(const char *state)
{
	return strcmp(state, "succeeded") == 0 || strcmp(state, "failed") == 0 ||
	       strcmp(state, "refused") == 0 || strcmp(state, "cancelled") == 0;
}

struct add_work {
	struct web_req *req;
	const struct run *run;
};

static int add_work(struct db *db, void *arg, struct err *err)
{
	struct add_work *work = arg;
	const struct run *run = work->run;
	const struct principal *who = work->req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (resource_remember(db, work->req, "POST /v1/runs", run->id, err) < 0 ||
		db_exec(db, &SQL_POLICY_LOCK, DB_PARAMS(run->space, run->policy_hash), NULL, err) <
			0 ||
		db_exec(db, &SQL_INPUTS_KEEP, DB_PARAMS(who->tenant, run->inputs), NULL, err) < 0 ||
		db_exec(db, &SQL_RUN_INSERT,
			DB_PARAMS(who->tenant, run->space, run->id, run->pipeline, run->policy_hash,
				run->repository, run->manifest, run->inputs,
				DB_NUMBER(run->deadline), run->sandbox, run->order, run->run_nonce,
				who->subject, DB_NUMBER(run->max_runs)),
			&rows, err) < 0)
		return -1;
	if (db_affected(rows) == 0)
		return err_set(err, ERR_CONFLICT, "run.max_runs",
			"the policy allows %lld runs and they are used up", run->max_runs);
	audit(db, &(const struct audit_act) { .action = "create",
			  .on = run->id,
			  .detail = run->order,
			  .space = run->space });
	return db_exec(db, &SQL_OUTBOX_INSERT, DB_PARAMS("run", run->id), NULL, err);
}

int store_run_add(struct web_req *req, const struct run *run, struct err *err)
{
	struct add_work work = { req, run };

	/* max_runs is for the runs of all tenants of the space together. */
	if (db_tx(req->worker->db, DB_SPACES(req->principal->tenant, run->space), add_work, &work,
		    err) == 0)
		return 0;
	return store_run_taken(req->worker->db, req->principal->tenant, run->sandbox, err);
}

int store_run_taken(struct db *db, const char *tenant, const char *sandbox, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (strcmp(err->code, "db.unique") != 0)
		return -1;
	if (!strstr(err->detail, "run_one_per_sandbox"))
		return err_set(
			err, ERR_CONFLICT, "run.order_used", "the order was used for another run");
	if (db_run(db, DB_TENANT(tenant), &SQL_RUN_IN_SANDBOX, DB_PARAMS(tenant, sandbox), &rows,
		    err) < 0)
		return -1;
	return err_set(err, ERR_CONFLICT, "run.sandbox_busy", "the sandbox has a run, %s",
		db_count(rows) ? db_text(rows, 0, "id") : "over by now: try again");
}

static void read_run(const struct db_rows *rows, struct arena *arena, struct run *ret_run)
{
#define TEXT(column) db_text_in(rows, 0, column, arena)
#define NUMBER(column) db_number(rows, 0, column)
	*ret_run = (struct run) {
		.tenant = TEXT("tenant_id"),
		.space = TEXT("space_id"),
		.id = TEXT("id"),
		.pipeline = TEXT("pipeline_id"),
		.policy_hash = TEXT("policy_hash"),
		.repository = TEXT("repository"),
		.manifest = TEXT("manifest"),
		.inputs = TEXT("inputs"),
		.sandbox = TEXT("sandbox_id"),
		.order = TEXT("order_id"),
		.run_nonce = TEXT("run_nonce"),
		.state = TEXT("state"),
		.step = TEXT("step"),
		.created_by = TEXT("created_by"),
		.failure_code = TEXT("failure_code"),
		.failure_detail = TEXT("failure_detail"),
		.awaiting = TEXT("awaiting"),
		.egress = TEXT("egress"),
		.output_object = TEXT("output_object"),
		.output_digest = TEXT("output_digest"),
		.receipt = TEXT("receipt"),
		.created_at = TEXT("created_at"),
		.updated_at = TEXT("updated_at"),
		.ended_at = TEXT("ended_at"),
		.deadline = NUMBER("deadline"),
		.boot = NUMBER("boot"),
		.fence = NUMBER("fence"),
		.revision = NUMBER("revision"),
		.event_seq = NUMBER("event_seq"),
		.output_size = db_is_null(rows, 0, "output_size") ? 0 : NUMBER("output_size"),
	};
#undef TEXT
#undef NUMBER
}

static int get(struct db *db, struct arena *arena, const struct db_scope *scope, const char *id,
	struct run *ret_run, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, scope, &SQL_RUN_BY_ID, DB_PARAMS(scope->tenant_id, id), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "run.not_found", "there is no run '%s'", id);
	read_run(rows, arena, ret_run);
	return 0;
}

int store_run_get(struct db *db, struct arena *arena, const char *tenant, const char *id,
	struct run *ret_run, struct err *err)
{
	return get(db, arena, DB_TENANT(tenant), id, ret_run, err);
}

int store_run_read(struct web_req *req, const char *id, struct run *ret_run, struct err *err)
{
	const struct principal *who = req->principal;

	return get(
		req->worker->db, req->arena, DB_SPACES(who->tenant, who->spaces), id, ret_run, err);
}

static json_t *list_row(const struct db_rows *rows, size_t i)
{
	json_t *record = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:s,s:s,s:s}", "id",
		db_text(rows, i, "id"), "tenant", db_text(rows, i, "tenant_id"), "space",
		db_text(rows, i, "space_id"), "order", db_text(rows, i, "order_id"), "pipeline",
		db_text(rows, i, "pipeline_id"), "policy_hash", db_text(rows, i, "policy_hash"),
		"sandbox", db_text(rows, i, "sandbox_id"), "state", db_text(rows, i, "state"),
		"fence", (json_int_t)db_number(rows, i, "fence"), "run_nonce",
		db_text(rows, i, "run_nonce"), "created_by", db_text(rows, i, "created_by"),
		"created_at", db_text(rows, i, "created_at"), "updated_at",
		db_text(rows, i, "updated_at"));

	store_set_text(record, "step", rows, i, "step");
	store_set_text(record, "failure_code", rows, i, "failure_code");
	store_set_text(record, "ended_at", rows, i, "ended_at");
	return record;
}

int store_run_list(struct web_req *req, const struct page *page, const struct run_filter *filter,
	json_t **ret_list, struct err *err)
{
	const struct principal *who = req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces), &SQL_RUN_LIST,
		    DB_PARAMS(who->tenant, page->before, page->limit, filter->state, filter->order,
			    who->spaces),
		    &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, list_row);
	return 0;
}

int store_run_steps(struct db *db, const struct run *run, json_t **ret_steps, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	json_t *steps;

	if (db_run(db, DB_TENANT(run->tenant), &SQL_RUN_STEPS, DB_PARAMS(run->tenant, run->id),
		    &rows, err) < 0)
		return -1;
	steps = json_array();
	for (size_t i = 0; i < db_count(rows); i++) {
		json_t *step = json_pack("{s:s,s:s,s:I,s:s}", "name", db_text(rows, i, "name"),
			"state", db_text(rows, i, "state"), "attempts",
			(json_int_t)db_number(rows, i, "attempts"), "started_at",
			db_text(rows, i, "started_at"));

		store_set_text(step, "detail", rows, i, "detail");
		store_set_text(step, "ended_at", rows, i, "ended_at");
		json_array_append_new(steps, step);
	}
	*ret_steps = steps;
	return 0;
}

int store_run_events(
	struct db *db, const struct run *run, long long after, json_t **ret_events, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	json_t *events;

	if (db_run(db, DB_TENANT(run->tenant), &SQL_RUN_EVENTS,
		    DB_PARAMS(run->tenant, run->id, DB_NUMBER(after)), &rows, err) < 0)
		return -1;
	events = json_array();
	for (size_t i = 0; i < db_count(rows); i++) {
		json_t *event =
			json_pack("{s:I,s:s,s:s,s:I}", "id", (json_int_t)db_number(rows, i, "seq"),
				"time", db_text(rows, i, "at"), "type", db_text(rows, i, "type"),
				"fence", (json_int_t)db_number(rows, i, "fence"));

		store_set_text(event, "step", rows, i, "step");
		store_set_text(event, "state", rows, i, "state");
		store_set_text(event, "detail", rows, i, "detail");
		json_array_append_new(events, event);
	}
	*ret_events = events;
	return 0;
}
