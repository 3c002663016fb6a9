/* SPDX-License-Identifier: Apache-2.0 */
/* The four shapes that every table's calls share: get, list, delete, update of one row. For
 * store*.c only. */
#ifndef POLICY_STORE_ROWS_H
#define POLICY_STORE_ROWS_H

#include "lib/db.h"
#include "lib/resource.h"
#include "lib/web.h"

/* What an answer about one row needs to know. */
struct store_thing {
	const char *name; /* "policy": policy.not_found */
	const char *path; /* of the collection */
	resource_row *encode;
};
/* The rest of a `struct web_read` whose statement gives one row with `id` and `revision`. */
int store_row_answer(struct web_req *req, struct web_res *res, const struct db_rows *rows,
	const struct store_thing *thing, struct err *err);

/* Statement with ($1 tenant, $2 id); ERR_NOT_FOUND "<thing>.not_found" when there is no row. */
int store_row_get(struct web_req *req, const char *tenant, const struct sql *sql, const char *id,
	const char *thing, struct db_rows **ret_rows, struct err *err);
/* ($1 tenant, $2 before, $3 limit) */
int store_row_list(struct web_req *req, const struct sql *sql, const struct page *page,
	resource_row *encode, json_t **ret_list, struct err *err);
/* ($1 tenant, $2 id, $3 revision); ERR_CONFLICT code when no row was changed. */
int store_row_delete(struct web_req *req, const struct sql *sql, const char *id, long long revision,
	const char *code, const char *detail, struct err *err);
/* After an UPDATE with a revision: resource.changed when no row was. */
int store_row_changed(long long changed, struct err *err);
/* db.unique becomes "<thing>.name_taken". Returns -1. */
int store_name_taken(const char *thing, const char *name, struct err *err);

#endif
