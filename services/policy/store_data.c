/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for projections, datasets and versions of data. */
#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/policy/queries.h"
#include "services/policy/store.h"
#include "services/policy/store_rows.h"

static char *compact(const json_t *value, const char *empty)
{
	return value ? json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS) : mem_strdup(empty);
}

/* --- projections --- */

static json_t *projection_row(const struct db_rows *rows, size_t i)
{
	return json_pack("{s:s,s:s,s:o,s:o,s:I,s:s,s:s}", "id", db_text(rows, i, "id"), "name",
		db_text(rows, i, "name"), "columns",
		json_loads(db_text(rows, i, "columns"), 0, NULL), "filter",
		json_loads(db_text(rows, i, "filter"), 0, NULL), "minimum_rows",
		(json_int_t)db_number(rows, i, "minimum_rows"), "created_by",
		db_text(rows, i, "created_by"), "created_at", db_text(rows, i, "created_at"));
}

struct projection_work {
	struct web_req *req;
	const struct store_projection *item;
};

static int projection_add_work(struct db *db, void *arg, struct err *err)
{
	struct projection_work *work = arg;
	const struct store_projection *item = work->item;
	const struct principal *who = work->req->principal;
	auto_free char *columns = compact(item->columns, "[]");
	auto_free char *filter = compact(item->filter, "[]");

	if (resource_remember(db, work->req, "POST /v1/projections", item->id, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "create", .on = item->id });
	return db_exec(db, &SQL_PROJECTION_INSERT,
		DB_PARAMS(who->tenant, who->space, item->id, item->name, columns, filter,
			DB_NUMBER(item->minimum_rows), who->subject),
		NULL, err);
}

int store_projection_add(struct web_req *req, const struct store_projection *item, struct err *err)
{
	struct projection_work work = { req, item };

	if (db_tx(req->worker->db, DB_TENANT(req->principal->tenant), projection_add_work, &work,
		    err) == 0)
		return 0;
	return store_name_taken("projection", item->name, err);
}

static const struct store_thing projection_thing = { "projection", "/v1/projections",
	projection_row };

static int projection_answer(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	return store_row_answer(req, res, rows, &projection_thing, err);
}

const struct web_read store_projection_read = { .sql = &SQL_PROJECTION_BY_ID,
	.answer = projection_answer };

int store_projection_get(struct web_req *req, const char *id, json_t **ret_record,
	long long *ret_revision, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (store_row_get(req, req->principal->tenant, &SQL_PROJECTION_BY_ID, id, "projection",
		    &rows, err) < 0)
		return -1;
	*ret_revision = db_number(rows, 0, "revision");
	*ret_record = projection_row(rows, 0);
	return 0;
}

int store_projection_list(
	struct web_req *req, const struct page *page, json_t **ret_list, struct err *err)
{
	return store_row_list(req, &SQL_PROJECTION_LIST, page, projection_row, ret_list, err);
}

int store_projection_update(
	struct web_req *req, const struct store_projection *item, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_free char *columns = compact(item->columns, "[]");
	auto_free char *filter = compact(item->filter, "[]");
	const struct audit_act act = { .action = "update", .on = item->id };
	int changed = audit_run(req->worker->db, DB_TENANT(tenant), &SQL_PROJECTION_UPDATE,
		DB_PARAMS(tenant, item->id, item->name, columns, filter,
			DB_NUMBER(item->minimum_rows), DB_NUMBER(item->revision)),
		&act, err);

	if (changed < 0)
		return store_name_taken("projection", item->name, err);
	return store_row_changed(changed, err);
}

int store_projection_delete(
	struct web_req *req, const char *id, long long revision, struct err *err)
{
	return store_row_delete(req, &SQL_PROJECTION_DELETE, id, revision, "projection.in_use",
		"a dataset refers to this projection, or it was changed meanwhile", err);
}

/* --- datasets --- */

static void set_text(
	json_t *record, const char *name, const struct db_rows *rows, size_t i, const char *column)
{
	json_object_set_new(record, name,
		db_is_null(rows, i, column) ? json_null() : json_string(db_text(rows, i, column)));
}

static json_t *dataset_row(const struct db_rows *rows, size_t i)
{
	json_t *record = json_pack("{s:s,s:s,s:s,s:o,s:I,s:s,s:s}", "id", db_text(rows, i, "id"),
		"name", db_text(rows, i, "name"), "direction", db_text(rows, i, "direction"),
		"labels", json_loads(db_text(rows, i, "labels"), 0, NULL), "version",
		(json_int_t)db_number(rows, i, "version"), "created_by",
		db_text(rows, i, "created_by"), "created_at", db_text(rows, i, "created_at"));

	set_text(record, "projection", rows, i, "projection_id");
	set_text(record, "object", rows, i, "object_id");
	set_text(record, "digest", rows, i, "digest");
	json_object_set_new(record, "size",
		db_is_null(rows, i, "size_bytes") ? json_null()
						  : json_integer(db_number(rows, i, "size_bytes")));
	return record;
}

struct dataset_work {
	struct web_req *req;
	const struct store_dataset *item;
};

static int dataset_add_work(struct db *db, void *arg, struct err *err)
{
	struct dataset_work *work = arg;
	const struct store_dataset *item = work->item;
	const struct principal *who = work->req->principal;
	auto_free char *labels = compact(item->labels, "{}");

	if (resource_remember(db, work->req, "POST /v1/datasets", item->id, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "create", .on = item->id });
	return db_exec(db, &SQL_DATASET_INSERT,
		DB_PARAMS(who->tenant, who->space, item->id, item->name, item->direction,
			item->projection_id, labels, who->subject),
		NULL, err);
}

/* A unique name that is taken, or a projection that is not there. */
static int dataset_failure(const struct store_dataset *item, struct err *err)
{
	if (strcmp(err->code, "db.foreign_key") == 0)
		return err_set(err, ERR_UNPROCESSABLE, "projection.not_found",
			"there is no projection '%s'", item->projection_id);
	return store_name_taken("dataset", item->name, err);
}

int store_dataset_add(struct web_req *req, const struct store_dataset *item, struct err *err)
{
	struct dataset_work work = { req, item };

	if (db_tx(req->worker->db, DB_TENANT(req->principal->tenant), dataset_add_work, &work,
		    err) == 0)
		return 0;
	return dataset_failure(item, err);
}

static const struct store_thing dataset_thing = { "dataset", "/v1/datasets", dataset_row };

static int dataset_answer(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	return store_row_answer(req, res, rows, &dataset_thing, err);
}

const struct web_read store_dataset_read = { .sql = &SQL_DATASET_BY_ID, .answer = dataset_answer };

int store_dataset_get(struct web_req *req, const char *id, json_t **ret_record,
	long long *ret_revision, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (store_row_get(
		    req, req->principal->tenant, &SQL_DATASET_BY_ID, id, "dataset", &rows, err) < 0)
		return -1;
	if (ret_revision)
		*ret_revision = db_number(rows, 0, "revision");
	*ret_record = dataset_row(rows, 0);
	return 0;
}

int store_dataset_list(
	struct web_req *req, const struct page *page, json_t **ret_list, struct err *err)
{
	return store_row_list(req, &SQL_DATASET_LIST, page, dataset_row, ret_list, err);
}

int store_dataset_update(struct web_req *req, const struct store_dataset *item, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_free char *labels = compact(item->labels, "{}");
	const struct audit_act act = { .action = "update", .on = item->id };
	int changed = audit_run(req->worker->db, DB_TENANT(tenant), &SQL_DATASET_UPDATE,
		DB_PARAMS(tenant, item->id, item->name, item->projection_id, labels,
			DB_NUMBER(item->revision)),
		&act, err);

	if (changed < 0)
		return dataset_failure(item, err);
	return store_row_changed(changed, err);
}

int store_dataset_delete(struct web_req *req, const char *id, long long revision, struct err *err)
{
	return store_row_delete(req, &SQL_DATASET_DELETE, id, revision, "resource.changed",
		"the dataset was changed meanwhile", err);
}

/* --- versions of the data --- */

struct version_work {
	struct web_req *req;
	struct store_version *item;
	long long wanted;
};

static int version_add_work(struct db *db, void *arg, struct err *err)
{
	struct version_work *work = arg;
	struct store_version *item = work->item;
	const struct principal *who = work->req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_DATASET_NEXT_VERSION, DB_PARAMS(who->tenant, item->dataset_id), &rows,
		    err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "dataset.not_found", "there is no dataset '%s'",
			item->dataset_id);
	item->version = db_number(rows, 0, "version");
	if (work->wanted && work->wanted != item->version)
		return err_set(err, ERR_CONFLICT, "dataset.version_taken",
			"the next version is %lld", item->version);
	audit(db, &(const struct audit_act) {
			  .action = "renew", .on = item->dataset_id, .detail = item->digest });
	return db_exec(db, &SQL_DATASET_VERSION_INSERT,
		DB_PARAMS(who->tenant, who->space, item->dataset_id, DB_NUMBER(item->version),
			item->object, item->digest, DB_NUMBER(item->size), who->subject),
		NULL, err);
}

int store_version_add(struct web_req *req, struct store_version *item, struct err *err)
{
	struct version_work work = { req, item, item->version };

	return db_tx(
		req->worker->db, DB_TENANT(req->principal->tenant), version_add_work, &work, err);
}

static json_t *version_row(const struct db_rows *rows, size_t i)
{
	return json_pack("{s:I,s:s,s:s,s:I,s:s}", "version",
		(json_int_t)db_number(rows, i, "version"), "object", db_text(rows, i, "object_id"),
		"digest", db_text(rows, i, "digest"), "size",
		(json_int_t)db_number(rows, i, "size_bytes"), "created_at",
		db_text(rows, i, "created_at"));
}

int store_version_list(
	struct web_req *req, const char *dataset_id, json_t **ret_list, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_rows struct db_rows *dataset = NULL, *rows = NULL;
	json_t *items;

	if (store_row_get(req, tenant, &SQL_DATASET_BY_ID, dataset_id, "dataset", &dataset, err) <
			0 ||
		db_run(req->worker->db, DB_TENANT(tenant), &SQL_DATASET_VERSIONS,
			DB_PARAMS(tenant, dataset_id), &rows, err) < 0)
		return -1;
	items = json_array();
	for (size_t i = 0; i < db_count(rows); i++)
		json_array_append_new(items, version_row(rows, i));
	*ret_list = json_pack("{s:o,s:n}", "items", items, "next_page_token");
	return 0;
}
