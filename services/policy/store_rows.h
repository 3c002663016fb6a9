/* SPDX-License-Identifier: Apache-2.0 */
/* The database's side of record.h: the statements of a kind, run. For record.c and store*.c. */
#ifndef POLICY_STORE_ROWS_H
#define POLICY_STORE_ROWS_H

#include "services/policy/record.h"

/* "POST /v1/datasets", for Idempotency-Key. */
const char *store_row_route(struct web_req *req, const struct record_kind *kind);

/* The rest of a `struct web_read`; <kind>.not_found without a row. */
int store_row_answer(struct web_req *req, struct web_res *res, const struct db_rows *rows,
	const struct record_kind *kind, struct err *err);

/* One of the tenant's own rows, also where the kind is shared: what is about to be changed. */
int store_row_get(struct web_req *req, const struct record_kind *kind, const char *tenant,
	const char *id, struct db_rows **ret_rows, struct err *err);
int store_row_list(struct web_req *req, const struct record_kind *kind, const struct page *page,
	const struct record *query, json_t **ret_list, struct err *err);
/* <kind>.name_taken, <refers>.not_found, and what `also` says. */
int store_row_insert(struct web_req *req, const struct record_kind *kind,
	const struct record *record, struct err *err);
int store_row_update(struct web_req *req, const struct record_kind *kind,
	const struct record *record, long long revision, struct err *err);
int store_row_delete(struct web_req *req, const struct record_kind *kind, const char *id,
	long long revision, struct err *err);

/* After an UPDATE with a revision: resource.changed when no row was. */
int store_row_changed(long long changed, struct err *err);

#endif
