/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Database calls for blobs and leftovers. Who adds locks blob, held_blob, quota, leftover, upload
 * in this order, and so does who removes.
 */
#include <string.h>

#include "lib/audit.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/queries.h"
#include "services/registry-gw/store.h"

static const char *const kinds[] = { [STORE_BLOB] = "blob", [STORE_MANIFEST] = "manifest" };

static int no_blob(const char *digest, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "blob.not_found", "there is no blob '%s'", digest);
}

int store_leftover_busy(const char *digest, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "leftover.busy",
		"an old '%s' is just being deleted: come again", digest);
}

/* --- what the registry is about to get --- */

struct blob_work {
	const struct access *access;
	enum store_kind kind;
	const char *digest;
	long long size;
	const struct upload *upload;
	long grace_ms;
};

static int expect(struct db *db, void *arg, struct err *err)
{
	const struct blob_work *work = arg;
	const char *tenant = work->access->tenant;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_LEFTOVER_EXPECT,
		    DB_PARAMS(tenant, work->access->repository, work->digest, kinds[work->kind]),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return store_leftover_busy(work->digest, err);
	if (!work->upload)
		return 0;
	return db_exec(db, &SQL_UPLOAD_CLOSING, DB_PARAMS(tenant, work->upload->id, work->digest),
		NULL, err);
}

int store_expect(struct db *db, const struct access *access, enum store_kind kind,
	const char *digest, const struct upload *upload, struct err *err)
{
	struct blob_work work = {
		.access = access, .kind = kind, .digest = digest, .upload = upload
	};

	return db_tx(db, DB_TENANT(access->tenant), expect, &work, err);
}

/* --- blobs --- */

static int touch(struct db *db, const struct access *access, const char *digest, bool *ret_has,
	struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(access->tenant), &SQL_BLOB_TOUCH,
		    DB_PARAMS(access->tenant, access->repository, digest), &rows, err) < 0)
		return -1;
	*ret_has = db_count(rows) > 0;
	return 0;
}

int store_blob_row(struct db *db, const struct access *access, const char *digest,
	const struct db_rows *rows, long long *ret_size, struct err *err)
{
	bool has = db_count(rows) > 0;

	if (has && db_bool(rows, 0, "is_stale") && touch(db, access, digest, &has, err) < 0)
		return -1;
	*ret_size = has ? db_number(rows, 0, "size_bytes") : -1;
	return 0;
}

int store_blob_size(struct db *db, const struct access *access, const char *digest, long grace_ms,
	long long *ret_size, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(access->tenant), &SQL_BLOB_GET,
		    DB_PARAMS(access->tenant, access->repository, digest, DB_NUMBER(grace_ms)),
		    &rows, err) < 0)
		return -1;
	return store_blob_row(db, access, digest, rows, ret_size, err);
}

static int add_blob(struct db *db, void *arg, struct err *err)
{
	const struct blob_work *work = arg;
	const struct access *access = work->access;
	const char *const row[] = { access->tenant, access->space, access->repository, work->digest,
		DB_NUMBER(work->size), access->subject };
	const char *const key[] = { access->tenant, access->repository, work->digest, "blob" };
	const char *const upload[] = { access->tenant, work->upload ? work->upload->id : "" };
	struct db_statement statements[] = {
		{ .sql = &SQL_BLOB_INSERT, .params = row, .n_params = 6 },
		{ .sql = &SQL_BLOB_TOUCH, .params = key, .n_params = 3 },
		{ .sql = &SQL_LEFTOVER_SETTLE, .params = key, .n_params = 4 },
		{ .sql = &SQL_UPLOAD_DELETE, .params = upload, .n_params = 2 },
	};
	bool is_good;

	if (db_exec_all(db, statements, ARRAY_LEN(statements), err) < 0)
		return -1;
	is_good = db_affected(statements[2].rows) > 0 ||
		  (db_count(statements[1].rows) > 0 && !db_bool(statements[1].rows, 0, "is_new"));
	for (size_t i = 0; i < ARRAY_LEN(statements); i++)
		db_rows_free(statements[i].rows);
	return is_good ? 0 : store_leftover_busy(work->digest, err);
}

int store_blob_add(struct db *db, const struct access *access, const char *digest, long long size,
	const struct upload *upload, struct err *err)
{
	struct blob_work work = {
		.access = access, .digest = digest, .size = size, .upload = upload
	};

	return db_tx(db, DB_TENANT(access->tenant), add_blob, &work, err);
}

static int check_unused(struct db *db, const struct blob_work *work, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_MANIFEST_NAMES,
		    DB_PARAMS(work->access->tenant, work->access->repository, work->digest), &rows,
		    err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return 0;
	return err_set(err, ERR_METHOD, "blob.in_use",
		"the manifest '%s' names this blob: delete that first",
		db_text(rows, 0, "manifest"));
}

/* The row is locked before it is asked who names it: whoever does so later finds it gone. */
static int delete_blob(struct db *db, void *arg, struct err *err)
{
	const struct blob_work *work = arg;
	const struct access *access = work->access;
	auto_free char *on = mem_printf("%s@%s", access->repository, work->digest);
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_BLOB_LOCK, DB_PARAMS(access->tenant, access->repository, work->digest),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return no_blob(work->digest, err);
	if (check_unused(db, work, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "blob.delete", .on = on });
	return db_exec(db, &SQL_BLOB_DELETE,
		DB_PARAMS(access->tenant, access->repository, work->digest,
			DB_NUMBER(work->grace_ms)),
		NULL, err);
}

int store_blob_delete(struct db *db, const struct access *access, const char *digest, long grace_ms,
	struct err *err)
{
	struct blob_work work = { .access = access, .digest = digest, .grace_ms = grace_ms };

	return db_tx(db, DB_TENANT(access->tenant), delete_blob, &work, err);
}

int store_blob_missing(struct web_req *req, const struct access *access, const char *links,
	const char **ret_digest, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(access->tenant), &SQL_BLOB_MISSING,
		    DB_PARAMS(access->tenant, access->repository, links), &rows, err) < 0)
		return -1;
	*ret_digest = db_count(rows) > 0 ? db_text_in(rows, 0, "digest", req->arena) : NULL;
	return 0;
}

/* --- collection --- */

int store_collect_claim(
	struct db *db, long beat_ms, char ret_tenant[ID_SIZE], bool *ret_is_due, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_SWEEP, &SQL_COLLECT_CLAIM, DB_PARAMS(DB_NUMBER(beat_ms)), &rows, err) < 0)
		return -1;
	*ret_is_due = db_count(rows) > 0;
	if (*ret_is_due)
		snprintf(ret_tenant, ID_SIZE, "%s", db_text(rows, 0, "tenant_id"));
	return 0;
}

struct collect_work {
	const char *tenant;
	long grace_ms;
};

static int collect_blobs(struct db *db, void *arg, struct err *err)
{
	const struct collect_work *work = arg;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_COLLECT_BLOBS, DB_PARAMS(work->tenant, DB_NUMBER(work->grace_ms)),
		    &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++) {
		if (db_exec(db, &SQL_BLOB_DELETE,
			    DB_PARAMS(work->tenant, db_text(rows, i, "repository"),
				    db_text(rows, i, "digest"), "0"),
			    NULL, err) < 0)
			return -1;
	}
	return db_exec(db, &SQL_COLLECT_HELD, DB_PARAMS(work->tenant), NULL, err);
}

int store_collect_blobs(struct db *db, const char *tenant, long grace_ms, struct err *err)
{
	struct collect_work work = { tenant, grace_ms };

	if (db_tx(db, DB_TENANT(tenant), collect_blobs, &work, err) < 0)
		return -1;
	return db_run(db, DB_TENANT(tenant), &SQL_COLLECT_KNOWN, DB_PARAMS(tenant), NULL, err);
}

int store_leftover_claim(struct db *db, const char *tenant, struct leftover *ret_leftover,
	bool *ret_is_due, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant), &SQL_COLLECT_LEFTOVERS, DB_PARAMS(tenant), &rows, err) <
		0)
		return -1;
	*ret_is_due = db_count(rows) > 0;
	if (!*ret_is_due)
		return 0;
	*ret_leftover = (struct leftover) {
		.repository = mem_strdup(db_text(rows, 0, "repository")),
		.digest = mem_strdup(db_text(rows, 0, "digest")),
		.kind = mem_strdup(db_text(rows, 0, "kind")),
		.fence = db_number(rows, 0, "fence"),
	};
	return 0;
}

int store_leftover_done(
	struct db *db, const char *tenant, const struct leftover *leftover, struct err *err)
{
	return db_run(db, DB_TENANT(tenant), &SQL_LEFTOVER_DONE,
		DB_PARAMS(tenant, leftover->repository, leftover->digest, leftover->kind,
			DB_NUMBER(leftover->fence)),
		NULL, err);
}
