/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of store_template.h. */
#include "services/provisioner/store_template.h"

#include <stdio.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/digest.h"
#include "services/provisioner/queries.h"

static struct template_row read_row(const struct db_rows *rows, size_t i, struct arena *arena)
{
	return (struct template_row) {
		.id = db_text_in(rows, i, "id", arena),
		.version = db_number(rows, i, "version"),
		.state = db_text_in(rows, i, "state", arena),
		.document = db_text_in(rows, i, "document", arena),
		.is_built_in = db_bool(rows, i, "is_built_in"),
		.revision = db_number(rows, i, "revision"),
		.created_by = db_text_in(rows, i, "created_by", arena),
		.created_at = db_text_in(rows, i, "created_at", arena),
		.updated_at = db_text_in(rows, i, "updated_at", arena),
	};
}

static int each(struct db *db, struct arena *arena, const struct sql *sql, const char *id,
	store_template_row *on_row, void *arg, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	int r = 0;

	if (db_run(db, NULL, sql, DB_PARAMS(id), &rows, err) < 0)
		return -1;
	for (size_t i = 0; r == 0 && i < db_count(rows); i++) {
		const struct template_row row = read_row(rows, i, arena);

		r = on_row(arg, &row, err);
	}
	return r;
}

int store_template_offered(struct db *db, struct arena *arena, const char *id,
	store_template_row *on_row, void *arg, struct err *err)
{
	return each(db, arena, &SQL_TEMPLATE_OFFERED, id, on_row, arg, err);
}

int store_template_versions(struct db *db, struct arena *arena, const char *id,
	store_template_row *on_row, void *arg, struct err *err)
{
	return each(db, arena, &SQL_TEMPLATE_VERSIONS, id, on_row, arg, err);
}

int store_template_get(struct web_req *req, const char *id, long long version,
	struct template_row *ret_row, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, NULL, &SQL_TEMPLATE_BY_VERSION,
		    DB_PARAMS(id, DB_NUMBER(version)), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "template.not_found",
			"there is no template '%s' with that version", id);
	*ret_row = read_row(rows, 0, req->arena);
	return 0;
}

static bool same(const struct db_rows *rows, const char *digest)
{
	return db_count(rows) == 1 && strcmp(db_text(rows, 0, "digest"), digest) == 0;
}

/* --- operators --- */

struct work {
	const struct template_row *row;
	const char *action, *by, *value; /* of the record; who; document or state */
	const struct sql *sql;
	bool made;
};

static void tell(struct db *db, const struct work *work)
{
	char version[DB_NUMBER_SIZE];

	audit(db, &(const struct audit_act) { .action = work->action,
			  .on = work->row->id,
			  .detail = db_number_text(version, work->row->version) });
}

static int add_work(struct db *db, void *arg, struct err *err)
{
	auto_rows struct db_rows *made = NULL, *there = NULL;
	struct work *work = arg;
	const struct template_row *row = work->row;
	char digest[DIGEST_TEXT_SIZE];

	digest_text(row->document, strlen(row->document), digest);
	if (db_exec(db, &SQL_TEMPLATE_INSERT,
		    DB_PARAMS(row->id, DB_NUMBER(row->version), row->document, digest, work->by),
		    &made, err) < 0 ||
		db_exec(db, &SQL_TEMPLATE_PUBLISHED, DB_PARAMS(row->id, DB_NUMBER(row->version)),
			&there, err) < 0)
		return -1;
	work->made = db_count(made) == 1;
	if (work->made)
		tell(db, work);
	if (db_count(there) == 0)
		return err_set(err, ERR_CONFLICT, "template.built_in",
			"'%s' is a template of this release", row->id);
	if (work->made || same(there, digest))
		return 0;
	return err_set(err, ERR_CONFLICT, "template.exists",
		"version %lld of template '%s' is another one", row->version, row->id);
}

int store_template_add(
	struct web_req *req, const struct template_row *row, bool *ret_made, struct err *err)
{
	struct work work = { row, "template.create", req->principal->subject, NULL, NULL, false };

	if (db_tx(req->worker->db, DB_TENANT(req->principal->tenant), add_work, &work, err) < 0)
		return -1;
	*ret_made = work.made;
	return 0;
}

/* One guarded statement and its record. */
static int change_work(struct db *db, void *arg, struct err *err)
{
	const struct work *work = arg;
	const struct template_row *row = work->row;
	auto_rows struct db_rows *rows = NULL;
	char digest[DIGEST_TEXT_SIZE] = "";

	if (work->value)
		digest_text(work->value, strlen(work->value), digest);
	if (db_exec(db, work->sql,
		    DB_PARAMS(row->id, DB_NUMBER(row->version), DB_NUMBER(row->revision),
			    work->value, work->value ? digest : NULL),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_CONFLICT, "template.stale",
			"version %lld of template '%s' changed meanwhile", row->version, row->id);
	tell(db, work);
	return 0;
}

static int change(struct web_req *req, const struct template_row *row, const char *action,
	const struct sql *sql, const char *value, struct err *err)
{
	struct work work = { row, action, req->principal->subject, value, sql, false };

	return db_tx(req->worker->db, DB_TENANT(req->principal->tenant), change_work, &work, err);
}

int store_template_replace(
	struct web_req *req, const struct template_row *row, const char *document, struct err *err)
{
	return change(req, row, "template.replace", &SQL_TEMPLATE_REPLACE, document, err);
}

int store_template_delete(struct web_req *req, const struct template_row *row, struct err *err)
{
	return change(req, row, "template.delete", &SQL_TEMPLATE_DELETE, NULL, err);
}

int store_template_state(
	struct web_req *req, const struct template_row *row, const char *state, struct err *err)
{
	char action[32];

	snprintf(action, sizeof(action), "template.%s", state);
	return change(req, row, action, &SQL_TEMPLATE_STATE, state, err);
}

/* --- files --- */

int store_template_built_in(struct db *db, const struct template_row *row, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	char digest[DIGEST_TEXT_SIZE];

	digest_text(row->document, strlen(row->document), digest);
	if (db_run(db, NULL, &SQL_TEMPLATE_BUILT_IN,
		    DB_PARAMS(row->id, DB_NUMBER(row->version), row->document, digest), NULL,
		    err) < 0 ||
		db_run(db, NULL, &SQL_TEMPLATE_PUBLISHED,
			DB_PARAMS(row->id, DB_NUMBER(row->version)), &rows, err) < 0)
		return -1;
	if (same(rows, digest))
		return 0;
	return err_set(err, ERR_CONFLICT, "template.changed",
		"version %lld of template '%s' was another file when it was published",
		row->version, row->id);
}
