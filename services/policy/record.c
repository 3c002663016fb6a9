/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers of record.h. */
#include "services/policy/record.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/policy/store_rows.h"

void record_add(struct record *record, const char *value)
{
	assert(record->n_values < RECORD_MAX_VALUES);
	record->values[record->n_values++] = value;
}

void record_add_number(struct web_req *req, struct record *record, long long value)
{
	record_add(record, arena_printf(req->arena, "%lld", value));
}

void record_add_json(
	struct web_req *req, struct record *record, const json_t *value, const char *empty)
{
	auto_free char *text = value ? json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

	record_add(record, text ? arena_strdup(req->arena, text) : empty);
}

int record_show(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	return store_row_answer(req, res, rows, req->of, err);
}

int record_answer(struct web_req *req, struct web_res *res, const struct record_kind *kind,
	const char *id, struct err *err)
{
	return web_read_answer(req, res, &kind->read, id, err);
}

int record_create(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct record_kind *kind = req->of;
	const char *known;
	char id[ID_SIZE];
	struct record record = { .id = id, .space = req->principal->space };

	if (principal_need_role(req->principal, kind->roles, err) < 0 ||
		resource_replayed(req, res, store_row_route(req, kind), &known, err) < 0)
		return -1;
	if (known)
		return record_answer(req, res, kind, known, err);
	id_new(kind->prefix, id);
	if (kind->decode(req, true, &record, err) < 0 ||
		store_row_insert(req, kind, &record, err) < 0)
		return -1;
	res->status = 201;
	return record_answer(req, res, kind, id, err);
}

int record_list(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct record_kind *kind = req->of;
	struct record query = { 0 };
	struct page page;

	if (resource_page(req, &page, err) < 0 ||
		(kind->query && kind->query(req, &query, err) < 0))
		return -1;
	return store_row_list(req, kind, &page, &query, &res->json, err);
}

int record_match(struct web_req *req, const struct record_kind *kind, const char *id,
	long long *ret_revision, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (store_row_get(req, kind, req->principal->tenant, id, &rows, err) < 0)
		return -1;
	*ret_revision = db_number(rows, 0, "revision");
	return resource_if_match(req, *ret_revision, err);
}

int record_update(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct record_kind *kind = req->of;
	struct record record = { .id = req->params[0].value };
	long long revision;

	if (principal_need_role(req->principal, kind->roles, err) < 0 ||
		kind->decode(req, false, &record, err) < 0 ||
		record_match(req, kind, record.id, &revision, err) < 0 ||
		store_row_update(req, kind, &record, revision, err) < 0)
		return -1;
	return record_answer(req, res, kind, record.id, err);
}

int record_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct record_kind *kind = req->of;
	const char *id = req->params[0].value;
	long long revision;

	if (principal_need_role(req->principal, kind->roles, err) < 0 ||
		record_match(req, kind, id, &revision, err) < 0 ||
		store_row_delete(req, kind, id, revision, err) < 0)
		return -1;
	res->status = 204;
	return 0;
}
