/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of a dataset's data: one of our objects, or a place elsewhere. */
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/service.h"
#include "lib/url.h"
#include "services/policy/datasets.h"
#include "services/policy/queries.h"
#include "services/policy/store_rows.h"

struct version {
	const char *dataset_id, *object, *digest;
	json_t *location;
	long long size;
	long long version; /* in: 0 or the one that must come next (dataset.version_taken); out: the
			      one made */
};

static const struct json_field fields[] = {
	{ "object", JSON_FIELD_TEXT, offsetof(struct version, object), false, ID_SIZE },
	{ "location", JSON_FIELD_OBJECT, offsetof(struct version, location), false, 1 },
	{ "digest", JSON_FIELD_DIGEST, offsetof(struct version, digest), false, 0 },
	{ "size", JSON_FIELD_COUNT, offsetof(struct version, size), false, 0 },
	{ "version", JSON_FIELD_COUNT, offsetof(struct version, version), false, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int dataset_location_check(const json_t *location, struct err *err)
{
	const char *text = json_text(location, "url");
	struct url url;

	if (json_object_size(location) != 1 || !text)
		return err_set(
			err, ERR_INVALID, "dataset.bad_location", "'location' is {\"url\": text}");
	if (url_parse(text, &url, err) < 0)
		return -1;
	if (url.query)
		return err_set(err, ERR_INVALID, "dataset.bad_location",
			"a location has no query string: it is part of the sealed credentials");
	if (strcmp(url.scheme, "s3") == 0 && (url.is_address || !url.path[0] || !url.path[1]))
		return err_set(err, ERR_INVALID, "dataset.bad_location",
			"a place in S3 is s3://bucket/key");
	return 0;
}

/* One of our objects, whole, or a location. */
static int check(const struct version *item, const json_t *body, struct err *err)
{
	if (!item->object == !item->location)
		return err_set(err, ERR_INVALID, "dataset.bad_object",
			"a version is an 'object' or a 'location'");
	if (item->location)
		return dataset_location_check(item->location, err);
	if (!id_is(item->object, "obj") || !item->digest || !json_object_get(body, "size"))
		return err_set(err, ERR_INVALID, "dataset.bad_object",
			"'object' is an object's id, with its digest and size");
	return 0;
}

struct work {
	struct web_req *req;
	struct version *item;
	long long wanted;
};

static int insert(struct db *db, const struct work *work, struct err *err)
{
	const struct version *item = work->item;
	const struct principal *who = work->req->principal;

	return db_exec(db, &SQL_DATASET_VERSION_INSERT,
		DB_PARAMS(who->tenant, who->space, item->dataset_id, DB_NUMBER(item->version),
			item->object, json_text(item->location, "url"), item->digest,
			json_object_get(work->req->json, "size") ? DB_NUMBER(item->size) : NULL,
			who->subject),
		NULL, err);
}

static int add_work(struct db *db, void *arg, struct err *err)
{
	struct work *work = arg;
	struct version *item = work->item;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_DATASET_NEXT_VERSION,
		    DB_PARAMS(work->req->principal->tenant, item->dataset_id), &rows, err) < 0)
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
	return insert(db, work, err);
}

int dataset_version_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct version item = { .dataset_id = web_param(req, "dataset_id") };
	struct work work = { req, &item, 0 };

	if (principal_need_role(req->principal, dataset_kind.roles, err) < 0 ||
		json_decode(req->arena, req->json, fields, &item, err) < 0 ||
		check(&item, req->json, err) < 0)
		return -1;
	work.wanted = item.version;
	if (db_tx(req->worker->db, DB_TENANT(req->principal->tenant), add_work, &work, err) < 0)
		return -1;
	res->status = 201;
	res->json =
		json_pack("{s:s,s:I}", "id", item.dataset_id, "version", (json_int_t)item.version);
	return 0;
}

static json_t *encode(const struct db_rows *rows, size_t i)
{
	json_t *record =
		json_pack("{s:I,s:s}", "version", (json_int_t)db_number(rows, i, "version"),
			"created_at", db_text(rows, i, "created_at"));

	dataset_put_data(record, rows, i);
	return record;
}

int dataset_version_list(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct principal *who = req->principal;
	const char *id = web_param(req, "dataset_id");
	auto_rows struct db_rows *dataset = NULL, *rows = NULL;
	const struct db_scope *scope = DB_SPACES(who->tenant, who->spaces);
	json_t *items;

	if (db_run(req->worker->db, scope, &SQL_DATASET_BY_ID, DB_PARAMS(who->tenant, id), &dataset,
		    err) < 0)
		return -1;
	if (db_count(dataset) == 0)
		return err_set(err, ERR_NOT_FOUND, "dataset.not_found", "there is no such dataset");
	if (db_run(req->worker->db, scope, &SQL_DATASET_VERSIONS, DB_PARAMS(who->tenant, id), &rows,
		    err) < 0)
		return -1;
	items = json_array();
	for (size_t i = 0; i < db_count(rows); i++)
		json_array_append_new(items, encode(rows, i));
	res->json = json_pack("{s:o,s:n}", "items", items, "next_page_token");
	return 0;
}
