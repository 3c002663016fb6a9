/* SPDX-License-Identifier: Apache-2.0 */
/* The statements of store_rows.h. A change is one transaction: its statement, what the kind adds,
 * and its audit record. */
#include "services/policy/store_rows.h"

#include <assert.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/service.h"

#define MAX_PARAMS (RECORD_MAX_VALUES + 4)
_Static_assert(MAX_PARAMS <= DB_MAX_PARAMS, "a record's values and its key are one statement's");

const char *store_row_route(struct web_req *req, const struct record_kind *kind)
{
	return arena_printf(req->arena, "POST %s", kind->path);
}

static int not_found(const struct record_kind *kind, struct err *err)
{
	char code[48];

	snprintf(code, sizeof(code), "%s.not_found", kind->name);
	return err_set(err, ERR_NOT_FOUND, code, "there is no such %s", kind->name);
}

static bool is_there(
	const struct web_req *req, const struct record_kind *kind, const struct db_rows *rows)
{
	return db_count(rows) > 0 && (!kind->may_see || kind->may_see(req, rows));
}

int store_row_answer(struct web_req *req, struct web_res *res, const struct db_rows *rows,
	const struct record_kind *kind, struct err *err)
{
	if (!is_there(req, kind, rows))
		return not_found(kind, err);
	web_header_add(res, "Location",
		arena_printf(req->arena, "%s/%s", kind->path, db_text(rows, 0, "id")));
	res->json = kind->encode(rows, 0);
	resource_etag(req, res, db_number(rows, 0, "revision"));
	return 0;
}

int store_row_get(struct web_req *req, const struct record_kind *kind, const char *tenant,
	const char *id, struct db_rows **ret_rows, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), kind->read.sql, DB_PARAMS(tenant, id), &rows,
		    err) < 0)
		return -1;
	if (!is_there(req, kind, rows))
		return not_found(kind, err);
	*ret_rows = rows;
	rows = NULL;
	return 0;
}

/* A statement's own parameters, and the record's behind them. */
struct params {
	const char *at[MAX_PARAMS];
	int n;
};

static struct params params_of(
	const char *const *first, int n_first, const struct record *record, const struct sql *sql)
{
	struct params params = { .n = n_first + (int)record->n_values };

	assert(params.n == sql->n_params);
	memcpy(params.at, first, sizeof(*first) * (size_t)n_first);
	memcpy(params.at + n_first, record->values, sizeof(*first) * record->n_values);
	return params;
}

int store_row_list(struct web_req *req, const struct record_kind *kind, const struct page *page,
	const struct record *query, json_t **ret_list, struct err *err)
{
	const struct principal *who = req->principal;
	const char *tenant = who->tenant;
	const struct db_scope scope = { .tenant_id = tenant,
		.space_ids = kind->read.shared ? who->spaces : NULL };
	const struct sql *sql = query->list ? query->list : kind->list;
	const struct params params =
		params_of(DB_PARAMS(tenant, page->before, page->limit), query, sql);
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, &scope, sql, params.at, params.n, &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, kind->encode);
	return 0;
}

/* --- changes --- */

struct work {
	struct web_req *req;
	const struct record_kind *kind;
	const struct record *record;
	long long revision;
};

static int also(struct db *db, const struct work *work, const char *action, struct err *err)
{
	audit(db, &(const struct audit_act) { .action = action,
			  .on = work->record->id,
			  .detail = work->record->detail,
			  .space = work->record->space });
	return work->kind->also ? work->kind->also(db, work->req, work->record, err) : 0;
}

static int insert_work(struct db *db, void *arg, struct err *err)
{
	const struct work *work = arg;
	const struct record *record = work->record;
	const struct principal *who = work->req->principal;
	const struct params params =
		params_of(DB_PARAMS(who->tenant, record->space, record->id, who->subject), record,
			work->kind->insert);

	if (resource_remember(
		    db, work->req, store_row_route(work->req, work->kind), record->id, err) < 0 ||
		db_exec(db, work->kind->insert, params.at, params.n, NULL, err) < 0)
		return -1;
	return also(db, work, "create", err);
}

static int update_work(struct db *db, void *arg, struct err *err)
{
	const struct work *work = arg;
	const struct params params = params_of(DB_PARAMS(work->req->principal->tenant,
						       work->record->id, DB_NUMBER(work->revision)),
		work->record, work->kind->update);
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, work->kind->update, params.at, params.n, &rows, err) < 0 ||
		store_row_changed(db_affected(rows), err) < 0)
		return -1;
	return also(db, work, "update", err);
}

/* A unique name that is taken, or something that is not there. */
static int refused(const struct record_kind *kind, const struct record *record, struct err *err)
{
	char code[48];

	if (strcmp(err->code, "db.unique") == 0 && record->name) {
		snprintf(code, sizeof(code), "%s.name_taken", kind->name);
		return err_set(err, ERR_CONFLICT, code, "there is a %s '%s' already", kind->name,
			record->name);
	}
	if (strcmp(err->code, "db.foreign_key") == 0 && kind->refers) {
		snprintf(code, sizeof(code), "%s.not_found", kind->refers);
		return err_set(err, ERR_UNPROCESSABLE, code, "there is no such %s", kind->refers);
	}
	return -1;
}

static int run(struct work *work, db_work *statements, struct err *err)
{
	if (db_tx(work->req->worker->db, DB_TENANT(work->req->principal->tenant), statements, work,
		    err) == 0)
		return 0;
	return refused(work->kind, work->record, err);
}

int store_row_insert(struct web_req *req, const struct record_kind *kind,
	const struct record *record, struct err *err)
{
	return run(&(struct work) { req, kind, record, 0 }, insert_work, err);
}

int store_row_update(struct web_req *req, const struct record_kind *kind,
	const struct record *record, long long revision, struct err *err)
{
	return run(&(struct work) { req, kind, record, revision }, update_work, err);
}

int store_row_delete(struct web_req *req, const struct record_kind *kind, const char *id,
	long long revision, struct err *err)
{
	const char *tenant = req->principal->tenant;
	const struct audit_act act = { .action = "delete", .on = id };
	int changed = audit_run(req->worker->db, DB_TENANT(tenant), kind->remove,
		DB_PARAMS(tenant, id, DB_NUMBER(revision)), &act, err);
	char code[48];

	if (changed < 0)
		return -1;
	if (changed == 1 || !kind->in_use)
		return store_row_changed(changed, err);
	snprintf(code, sizeof(code), "%s.in_use", kind->name);
	return err_set(err, ERR_CONFLICT, code, "%s, or it was changed meanwhile", kind->in_use);
}

int store_row_changed(long long changed, struct err *err)
{
	if (changed == 1)
		return 0;
	return err_set(err, ERR_PRECONDITION_FAILED, "resource.changed",
		"somebody else was faster: read it again");
}
