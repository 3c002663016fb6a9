/* SPDX-License-Identifier: Apache-2.0 */
/* Projections, and the rule for columns and filters. */
#include "services/policy/projections.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/roles.h"
#include "services/policy/name.h"
#include "services/policy/queries.h"

#define MAX_COLUMNS 500
#define MAX_CLAUSES 32
#define MAX_MEMBERS 64

struct projection_body {
	const char *name;
	json_t *columns, *filter, *members;
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
	{ "members", JSON_FIELD_ARRAY, offsetof(struct projection_body, members), false,
		MAX_MEMBERS },
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

/* As Postgres writes an array; ids need no quotes. NULL: every member. */
static int members_text(
	struct web_req *req, const json_t *members, const char **ret_text, struct err *err)
{
	const char *text = "", *separator = "";
	json_t *member;
	size_t i;

	*ret_text = NULL;
	if (!members)
		return 0;
	json_array_foreach (members, i, member) {
		const char *id = json_string_value(member);

		if (!id || !id_is(id, "mbr"))
			return err_set(err, ERR_INVALID, "projection.bad_members",
				"entry %zu is not a member's id", i);
		text = arena_printf(req->arena, "%s%s%s", text, separator, id);
		separator = ",";
	}
	*ret_text = arena_printf(req->arena, "{%s}", text);
	return 0;
}

static int decode(struct web_req *req, bool is_new, struct record *record, struct err *err)
{
	struct projection_body body = { 0 };
	const char *members;

	(void)is_new;
	if (json_decode(req->arena, req->json, fields, &body, err) < 0 ||
		name_check(body.name, "/name", err) < 0 ||
		projection_columns_check(body.columns, err) < 0 ||
		(body.filter && projection_filter_check(body.filter, err) < 0) ||
		members_text(req, body.members, &members, err) < 0)
		return -1;
	record->name = body.name;
	record_add(record, body.name);
	record_add_json(req, record, body.columns, "[]");
	record_add_json(req, record, body.filter, "[]");
	record_add_number(req, record, body.minimum_rows);
	record_add(record, members);
	return 0;
}

static json_t *encode(const struct db_rows *rows, size_t i)
{
	return json_pack("{s:s,s:s,s:s,s:o,s:o,s:I,s:o,s:s,s:s}", "id", db_text(rows, i, "id"),
		"tenant", db_text(rows, i, "tenant_id"), "name", db_text(rows, i, "name"),
		"columns", json_loads(db_text(rows, i, "columns"), 0, NULL), "filter",
		json_loads(db_text(rows, i, "filter"), 0, NULL), "minimum_rows",
		(json_int_t)db_number(rows, i, "minimum_rows"), "members",
		db_is_null(rows, i, "members_json")
			? json_null()
			: json_loads(db_text(rows, i, "members_json"), 0, NULL),
		"created_by", db_text(rows, i, "created_by"), "created_at",
		db_text(rows, i, "created_at"));
}

/* NULL: he sees all of the tenant's. */
static const char *limited(const struct principal *who)
{
	return principal_has_role(who, "owner") || principal_has_role(who, "admin") ? NULL
										    : who->subject;
}

/* Other tenants see it by a share; of its own, those who are listed. */
static bool may_see(const struct web_req *req, const struct db_rows *rows)
{
	const struct principal *who = req->principal;

	return strcmp(db_text(rows, 0, "tenant_id"), who->tenant) != 0 || !limited(who) ||
	       db_is_null(rows, 0, "members_json") ||
	       strcmp(db_text(rows, 0, "created_by"), who->subject) == 0 ||
	       strstr(db_text(rows, 0, "members_json"), who->subject);
}

static int query(struct web_req *req, struct record *record, struct err *err)
{
	(void)err;
	record_add(record, limited(req->principal));
	return 0;
}

const struct record_kind projection_kind = {
	.name = "projection",
	.prefix = "prj",
	.path = "/v1/projections",
	.roles = ROLES_DATA,
	.in_use = "a dataset refers to this projection",
	.decode = decode,
	.query = query,
	.may_see = may_see,
	.encode = encode,
	.read = { .sql = &SQL_PROJECTION_BY_ID, .answer = record_show, .shared = true },
	.list = &SQL_PROJECTION_LIST,
	.insert = &SQL_PROJECTION_INSERT,
	.update = &SQL_PROJECTION_UPDATE,
	.remove = &SQL_PROJECTION_DELETE,
};
