/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of /v1/projections, and the rule for columns and filters. */
#include "services/policy/projections.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/roles.h"
#include "services/policy/name.h"
#include "services/policy/record.h"
#include "services/policy/store.h"

#define MAX_COLUMNS 500
#define MAX_CLAUSES 32

struct projection_body {
	const char *name;
	json_t *columns, *filter;
	long long minimum_rows;
};

static const struct json_field fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct projection_body, name), true, 63 },
	{ "columns", JSON_FIELD_ARRAY, offsetof(struct projection_body, columns), true,
		MAX_COLUMNS },
	{ "filter", JSON_FIELD_ARRAY, offsetof(struct projection_body, filter), false,
		MAX_CLAUSES },
	{ "minimum_rows", JSON_FIELD_COUNT, offsetof(struct projection_body, minimum_rows), false,
		1000000000 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int projection_columns_check(const json_t *columns, struct err *err)
{
	json_t *column, *other;
	size_t i, j;

	if (json_array_size(columns) == 0)
		return err_set(
			err, ERR_INVALID, "projection.bad_columns", "name at least one column");
	json_array_foreach (columns, i, column) {
		if (!json_is_string(column) || json_string_length(column) == 0)
			return err_set(err, ERR_INVALID, "projection.bad_columns",
				"column %zu is no text", i);
		json_array_foreach (columns, j, other) {
			if (j < i && json_equal(column, other))
				return err_set(err, ERR_INVALID, "projection.bad_columns",
					"column %zu stands twice", i);
		}
	}
	return 0;
}

static bool is_text_list(const json_t *value)
{
	json_t *item;
	size_t i;

	if (json_array_size(value) == 0)
		return false;
	json_array_foreach (value, i, item) {
		if (!json_is_string(item))
			return false;
	}
	return true;
}

static bool clause_is_valid(const json_t *clause)
{
	static const char *const ops[] = { "=", "!=", "<", "<=", ">", ">=" };
	const char *column = json_text(clause, "column"), *op = json_text(clause, "op");
	const json_t *value = json_object_get(clause, "value");

	if (json_object_size(clause) != 3 || !column || !*column || !op)
		return false;
	if (strcmp(op, "in") == 0)
		return is_text_list(value);
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (strcmp(op, ops[i]) == 0)
			return json_is_string(value);
	}
	return false;
}

int projection_filter_check(const json_t *filter, struct err *err)
{
	json_t *clause;
	size_t i;

	json_array_foreach (filter, i, clause) {
		if (!clause_is_valid(clause))
			return err_set(err, ERR_INVALID, "projection.bad_filter",
				"clause %zu is not {column, op, value} with op one of = != < <= > "
				">= in",
				i);
	}
	return 0;
}

static int decode(struct web_req *req, struct projection_body *ret_body, struct err *err)
{
	*ret_body = (struct projection_body) { 0 };
	if (json_decode(req->arena, req->json, fields, ret_body, err) < 0 ||
		name_check(ret_body->name, "/name", err) < 0 ||
		projection_columns_check(ret_body->columns, err) < 0)
		return -1;
	return ret_body->filter ? projection_filter_check(ret_body->filter, err) : 0;
}

static const struct record_kind kind = { "/v1/projections", "projection_id", ROLES_DATA,
	&store_projection_read, store_projection_get, store_projection_list,
	store_projection_delete };

int projection_list(struct web_req *req, struct web_res *res, struct err *err)
{
	return record_list(req, res, &kind, err);
}

int projection_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	return record_delete(req, res, &kind, err);
}

int projection_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct projection_body body;
	struct store_projection item;
	char id[ID_SIZE];
	bool is_done;

	if (record_create(req, res, &kind, &is_done, err) < 0)
		return -1;
	if (is_done)
		return 0;
	if (decode(req, &body, err) < 0)
		return -1;
	id_new("prj", id);
	item = (struct store_projection) { id, body.name, body.columns, body.filter,
		body.minimum_rows, 0 };
	if (store_projection_add(req, &item, err) < 0)
		return -1;
	res->status = 201;
	return web_read_answer(req, res, &store_projection_read, id, err);
}

int projection_update(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "projection_id");
	struct projection_body body;
	struct store_projection item;
	long long revision;

	if (principal_need_role(req->principal, kind.roles, err) < 0 ||
		decode(req, &body, err) < 0 || record_match(req, &kind, &revision, err) < 0)
		return -1;
	item = (struct store_projection) { id, body.name, body.columns, body.filter,
		body.minimum_rows, revision };
	if (store_projection_update(req, &item, err) < 0)
		return -1;
	return web_read_answer(req, res, &store_projection_read, id, err);
}
