/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers of shares.h. */
#include "services/policy/shares.h"

#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/service.h"
#include "lib/wake.h"
#include "services/policy/queries.h"
#include "services/policy/store.h"
#include "services/policy/store_rows.h"

struct share_body {
	const char *space;
};

static const struct json_field fields[] = {
	{ "space", JSON_FIELD_TEXT, offsetof(struct share_body, space), true, ID_SIZE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static json_t *encode(const struct db_rows *rows, size_t i)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s}", "id", db_text(rows, i, "id"), "object",
		db_text(rows, i, "object_id"), "space", db_text(rows, i, "space_id"), "created_by",
		db_text(rows, i, "created_by"), "created_at", db_text(rows, i, "created_at"));
}

static int answer(struct web_req *req, struct web_res *res, const char *id, struct err *err)
{
	const struct record_kind *kind = req->of;
	const char *tenant = req->principal->tenant;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), &SQL_SHARE_BY_ID, DB_PARAMS(tenant, id),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0) /* taken back meanwhile */
		return err_set(err, ERR_NOT_FOUND, "share.not_found", "there is no such share");
	web_header_add(res, "Location",
		arena_printf(req->arena, "%s/%s/shares/%s", kind->path,
			db_text(rows, 0, "object_id"), id));
	res->json = encode(rows, 0);
	resource_etag(req, res, db_number(rows, 0, "revision"));
	return 0;
}

/* The thing is the caller's tenant's own, whoever else it is shared with. */
static int check_owner(struct web_req *req, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	return store_row_get(
		req, req->of, req->principal->tenant, req->params[0].value, &rows, err);
}

/* --- making --- */

struct work {
	struct web_req *req;
	const char *route, *id, *space;
};

static int create_work(struct db *db, void *arg, struct err *err)
{
	const struct work *work = arg;
	const struct principal *who = work->req->principal;
	const char *object = work->req->params[0].value;

	if (resource_remember(db, work->req, work->route, work->id, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) {
			  .action = "share", .on = object, .detail = work->space });
	return db_exec(db, &SQL_SHARE_INSERT,
		DB_PARAMS(who->tenant, work->space, work->id, object, who->subject), NULL, err);
}

static int insert(struct work *work, struct err *err)
{
	struct web_req *req = work->req;

	if (db_tx(req->worker->db, DB_TENANT(req->principal->tenant), create_work, work, err) == 0)
		return 0;
	if (strcmp(err->code, "db.unique") == 0)
		return err_set(err, ERR_CONFLICT, "share.exists", "that space has it already");
	return -1;
}

int share_create(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct record_kind *kind = req->of;
	struct work work = { .req = req };
	struct share_body body;
	const char *known;
	char id[ID_SIZE];

	work.route =
		arena_printf(req->arena, "POST %s/%s/shares", kind->path, req->params[0].value);
	if (principal_need_role(req->principal, kind->roles, err) < 0 ||
		resource_replayed(req, res, work.route, &known, err) < 0)
		return -1;
	if (known)
		return answer(req, res, known, err);
	if (json_decode(req->arena, req->json, fields, &body, err) < 0 || check_owner(req, err) < 0)
		return -1;
	if (!principal_in_space(req->principal, body.space))
		return err_set(err, ERR_UNPROCESSABLE, "share.wrong_space",
			"the caller is in no such space");
	id_new("shr", id);
	work.id = id;
	work.space = body.space;
	if (insert(&work, err) < 0)
		return -1;
	res->status = 201;
	return answer(req, res, id, err);
}

/* --- the others --- */

int share_list(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_rows struct db_rows *rows = NULL;
	struct page page;

	if (resource_page(req, &page, err) < 0 || check_owner(req, err) < 0 ||
		db_run(req->worker->db, DB_TENANT(tenant), &SQL_SHARE_LIST,
			DB_PARAMS(tenant, page.before, page.limit, req->params[0].value), &rows,
			err) < 0)
		return -1;
	res->json = resource_list(rows, &page, encode);
	return 0;
}

int share_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct record_kind *kind = req->of;
	const char *tenant = req->principal->tenant, *object = req->params[0].value,
		   *id = req->params[1].value;
	const struct audit_act act = { .action = "share.revoke", .on = object, .detail = id };
	int changed;

	if (principal_need_role(req->principal, kind->roles, err) < 0)
		return -1;
	changed = audit_run(req->worker->db, DB_TENANT(tenant), &SQL_SHARE_REVOKE,
		DB_PARAMS(tenant, id, object), &act, err);
	if (changed < 0)
		return -1;
	if (changed == 0)
		return err_set(err, ERR_NOT_FOUND, "share.not_found", "there is no such share");
	wake_ring(req->worker->wake, STORE_ORDER_TOPIC, id);
	res->status = 204;
	return 0;
}
