/* SPDX-License-Identifier: Apache-2.0 */
/* The shared shapes of store_rows.h. */
#include "services/policy/store_rows.h"

#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/service.h"

static int not_found(struct web_req *req, const char *thing, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, arena_printf(req->arena, "%s.not_found", thing),
		"there is no such %s", thing);
}

int store_row_answer(struct web_req *req, struct web_res *res, const struct db_rows *rows,
	const struct store_thing *thing, struct err *err)
{
	if (db_count(rows) == 0)
		return not_found(req, thing->name, err);
	web_header_add(res, "Location",
		arena_printf(req->arena, "%s/%s", thing->path, db_text(rows, 0, "id")));
	res->json = thing->encode(rows, 0);
	resource_etag(req, res, db_number(rows, 0, "revision"));
	return 0;
}

int store_row_get(struct web_req *req, const char *tenant, const struct sql *sql, const char *id,
	const char *thing, struct db_rows **ret_rows, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), sql, DB_PARAMS(tenant, id), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return not_found(req, thing, err);
	*ret_rows = rows;
	rows = NULL;
	return 0;
}

int store_row_list(struct web_req *req, const struct sql *sql, const struct page *page,
	resource_row *encode, json_t **ret_list, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), sql,
		    DB_PARAMS(tenant, page->before, page->limit), &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, encode);
	return 0;
}

int store_row_delete(struct web_req *req, const struct sql *sql, const char *id, long long revision,
	const char *code, const char *detail, struct err *err)
{
	const char *tenant = req->principal->tenant;
	const struct audit_act act = { .action = "delete", .on = id };
	int changed = audit_run(req->worker->db, DB_TENANT(tenant), sql,
		DB_PARAMS(tenant, id, DB_NUMBER(revision)), &act, err);

	if (changed < 0)
		return -1;
	return changed == 1 ? 0 : err_set(err, ERR_CONFLICT, code, "%s", detail);
}

int store_row_changed(long long changed, struct err *err)
{
	if (changed == 1)
		return 0;
	return err_set(err, ERR_PRECONDITION_FAILED, "resource.changed",
		"somebody else was faster: read it again");
}

int store_name_taken(const char *thing, const char *name, struct err *err)
{
	char code[48];

	if (strcmp(err->code, "db.unique") != 0)
		return -1;
	snprintf(code, sizeof(code), "%s.name_taken", thing);
	return err_set(err, ERR_CONFLICT, code, "there is a %s '%s' already", thing, name);
}
