/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources as tables. What makes, shows, lists, changes and deletes a record stands here once; a
 * resource is a `struct record_kind`: the rule of its body, its row as JSON, its statements. Its
 * routes name the kind (`.of = &dataset_kind`), and an id is the path's first parameter.
 * DESIGN.md says what a new one takes.
 */
#ifndef POLICY_RECORD_H
#define POLICY_RECORD_H

#include "lib/db.h"
#include "lib/resource.h"

#define RECORD_MAX_VALUES 16

/* A body that was found good, as the statements take it. Its texts live as long as the request. */
struct record {
	const char *id;
	const char *space;  /* of a new one: where it lies; at first the tenant's own */
	const char *name;   /* for <kind>.name_taken, or NULL */
	const char *detail; /* for the audit log, or NULL */
	const char *values[RECORD_MAX_VALUES];
	size_t n_values;
	const struct sql *list; /* by `query`: in place of the kind's */
};

struct record_kind {
	const char *name;   /* "dataset": dataset.not_found, dataset.name_taken */
	const char *prefix; /* of its ids */
	const char *path;   /* of the collection */
	const char *roles;  /* who may change one */
	const char *refers; /* what a broken foreign key says is not there, or NULL */
	const char *in_use; /* why nothing was deleted (<kind>.in_use); NULL: it was changed */
	/* Checks req->json and adds the values of `insert` or `update`. */
	int (*decode)(struct web_req *req, bool is_new, struct record *record, struct err *err);
	/* Adds what the list's query asks for, or NULL. */
	int (*query)(struct web_req *req, struct record *record, struct err *err);
	/* In the transaction of a create or an update, behind its statement; or NULL. */
	int (*also)(
		struct db *db, struct web_req *req, const struct record *record, struct err *err);
	/* Whether this caller may see the row at all; or NULL: whoever's tenant has it. */
	bool (*may_see)(const struct web_req *req, const struct db_rows *rows);
	resource_row *encode;
	struct web_read read;	  /* one row with `id` and `revision`; its answer is record_show */
	const struct sql *list;	  /* $1 tenant, $2 before, $3 limit, then those of `query` */
	const struct sql *insert; /* $1 tenant, $2 space, $3 id, $4 who, then the values */
	const struct sql *update; /* $1 tenant, $2 id, $3 revision, then the values */
	const struct sql *remove; /* $1 tenant, $2 id, $3 revision */
};

/* Handlers and the answer of `read`: req->of is the kind. */
web_handler record_create;
web_handler record_list;
web_handler record_update;
web_handler record_delete;
int record_show(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err);
/* The record as an answer, with ETag and Location: the end of a handler that changed it. */
int record_answer(struct web_req *req, struct web_res *res, const struct record_kind *kind,
	const char *id, struct err *err);

/* For `decode` and `query`. */
void record_add(struct record *record, const char *value); /* NULL is SQL's NULL */
void record_add_number(struct web_req *req, struct record *record, long long value);
void record_add_json(
	struct web_req *req, struct record *record, const json_t *value, const char *empty);

/* If-Match names the revision that is there: the begin of every change. */
int record_match(struct web_req *req, const struct record_kind *kind, const char *id,
	long long *ret_revision, struct err *err);

#endif
