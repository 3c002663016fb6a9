/* SPDX-License-Identifier: Apache-2.0 */
/* A dataset's credentials: a JWE whose form is all that can be checked here, in versions, for the
 * owner's own tenant only. */
#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "proto/credentials.h"
#include "services/policy/datasets.h"
#include "services/policy/queries.h"
#include "services/policy/store_rows.h"

struct credentials_body {
	json_t *credentials;
};

static const struct json_field fields[] = {
	{ "credentials", JSON_FIELD_OBJECT, offsetof(struct credentials_body, credentials), true,
		8 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int dataset_credentials_add(struct db *db, struct web_req *req, const char *id,
	const json_t *credentials, struct err *err)
{
	auto_free char *text = json_dumps(credentials, JSON_COMPACT | JSON_SORT_KEYS);

	return db_exec(db, &SQL_CREDENTIALS_INSERT,
		DB_PARAMS(req->principal->tenant, id, text, req->principal->subject), NULL, err);
}

struct work {
	struct web_req *req;
	const json_t *credentials;
	long long revision;
};

static int set_work(struct db *db, void *arg, struct err *err)
{
	const struct work *work = arg;
	const char *id = web_param(work->req, "dataset_id");
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_DATASET_NEXT_CREDENTIALS,
		    DB_PARAMS(work->req->principal->tenant, id, DB_NUMBER(work->revision)), &rows,
		    err) < 0 ||
		store_row_changed(db_affected(rows), err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "dataset.credentials", .on = id });
	return dataset_credentials_add(db, work->req, id, work->credentials, err);
}

/* They are for where the data lies now. */
static int check(struct web_req *req, const json_t *credentials, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (store_row_get(req, &dataset_kind, req->principal->tenant, web_param(req, "dataset_id"),
		    &rows, err) < 0)
		return -1;
	if (db_is_null(rows, 0, "location"))
		return err_set(err, ERR_UNPROCESSABLE, "dataset.no_location",
			"the dataset lies in our own store, which needs no credentials");
	return credentials_check(credentials, db_text(rows, 0, "location"), err);
}

int dataset_credentials_set(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "dataset_id");
	struct credentials_body body;
	struct work work = { .req = req };

	if (principal_need_role(req->principal, dataset_kind.roles, err) < 0 ||
		json_decode(req->arena, req->json, fields, &body, err) < 0 ||
		check(req, body.credentials, err) < 0 ||
		record_match(req, &dataset_kind, id, &work.revision, err) < 0)
		return -1;
	work.credentials = body.credentials;
	if (db_tx(req->worker->db, DB_TENANT(req->principal->tenant), set_work, &work, err) < 0)
		return -1;
	return record_answer(req, res, &dataset_kind, id, err);
}

/* ?version=N, the newest without it. */
static int wanted_version(struct web_req *req, const char **ret_version, struct err *err)
{
	const char *text = web_query(req, "version");
	size_t len = text ? strlen(text) : 1;

	if (len < 1 || len > 15 || (text && strspn(text, "0123456789") != len))
		return err_set(err, ERR_INVALID, "credentials.bad_version", "version is a number");
	*ret_version = text;
	return 0;
}

int dataset_credentials_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct principal *who = req->principal;
	auto_rows struct db_rows *rows = NULL;
	const char *version = NULL;

	if (principal_need_role(who, dataset_kind.roles, err) < 0 ||
		wanted_version(req, &version, err) < 0 ||
		db_run(req->worker->db, DB_TENANT(who->tenant), &SQL_CREDENTIALS_OF,
			DB_PARAMS(who->tenant, web_param(req, "dataset_id"), version), &rows,
			err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "credentials.not_found",
			"there are no such credentials");
	res->json = json_pack("{s:I,s:o,s:s,s:s}", "version",
		(json_int_t)db_number(rows, 0, "version"), "credentials",
		json_loads(db_text(rows, 0, "jwe"), 0, NULL), "created_by",
		db_text(rows, 0, "created_by"), "created_at", db_text(rows, 0, "created_at"));
	return 0;
}
