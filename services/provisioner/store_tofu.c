/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of store_tofu.h. */
#include "services/provisioner/store_tofu.h"

#include "services/provisioner/queries.h"
#include "services/provisioner/store.h"

static int not_current(struct err *err)
{
	return err_set(err, ERR_FORBIDDEN, "tofu.not_current",
		"another run of this sandbox has taken over");
}

/* The row, as long as it is the caller's run that may ask for it. */
static int select_row(struct db *db, const struct tofu_caller *caller, const struct sql *sql,
	struct db_rows **ret_rows, struct err *err)
{
	if (db_run(db, DB_TENANT(caller->tenant), sql,
		    DB_PARAMS(caller->tenant, caller->sandbox_id, DB_NUMBER(caller->run)), ret_rows,
		    err) < 0)
		return -1;
	return db_count(*ret_rows) > 0 ? 0 : not_current(err);
}

int store_tofu_get(struct db *db, struct arena *arena, const struct tofu_caller *caller,
	long long *ret_serial, const char **ret_state, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (select_row(db, caller, &SQL_TOFU_STATE_GET, &rows, err) < 0)
		return -1;
	*ret_serial = db_number(rows, 0, "serial");
	*ret_state = db_text_in(rows, 0, "state", arena);
	return 0;
}

/* Whether the statement found its row. */
static int change(struct db *db, const struct tofu_caller *caller, const struct sql *sql,
	const char *const *params, int n_params, bool *ret_done, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(caller->tenant), sql, params, n_params, &rows, err) < 0)
		return -1;
	*ret_done = db_affected(rows) == 1;
	return 0;
}

static int not_the_holder(struct err *err)
{
	return err_set(err, ERR_CONFLICT, "tofu.not_the_holder",
		"the lock is not the caller's, or the state is older than what is there");
}

int store_tofu_put(struct db *db, const struct tofu_caller *caller, const char *lock_id,
	long long serial, const char *state, struct err *err)
{
	bool done;

	if (change(db, caller, &SQL_TOFU_STATE_PUT,
		    DB_PARAMS(caller->tenant, caller->sandbox_id, DB_NUMBER(caller->run), lock_id,
			    DB_NUMBER(serial), state),
		    &done, err) < 0)
		return -1;
	return done ? 0 : not_the_holder(err);
}

int store_tofu_delete(struct db *db, const struct tofu_caller *caller, struct err *err)
{
	bool done;

	if (change(db, caller, &SQL_TOFU_STATE_DELETE,
		    DB_PARAMS(caller->tenant, caller->sandbox_id, DB_NUMBER(caller->run)), &done,
		    err) < 0)
		return -1;
	return done ? 0 : not_the_holder(err);
}

static int holder(struct db *db, struct arena *arena, const struct tofu_caller *caller,
	const char **ret_holder, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (select_row(db, caller, &SQL_TOFU_LOCK_HOLDER, &rows, err) < 0)
		return -1;
	*ret_holder = db_text_in(rows, 0, "lock_info", arena);
	return 0;
}

int store_tofu_lock(struct db *db, struct arena *arena, const struct tofu_caller *caller,
	const char *lock_id, const char *info, const char **ret_holder, struct err *err)
{
	bool done;

	if (change(db, caller, &SQL_TOFU_LOCK,
		    DB_PARAMS(caller->tenant, caller->sandbox_id, DB_NUMBER(caller->run), lock_id,
			    info),
		    &done, err) < 0)
		return -1;
	*ret_holder = NULL;
	return done ? 0 : holder(db, arena, caller, ret_holder, err);
}

int store_tofu_unlock(
	struct db *db, const struct tofu_caller *caller, const char *lock_id, struct err *err)
{
	bool done;

	if (change(db, caller, &SQL_TOFU_UNLOCK,
		    DB_PARAMS(caller->tenant, caller->sandbox_id, DB_NUMBER(caller->run), lock_id),
		    &done, err) < 0)
		return -1;
	return done ? 0 : not_the_holder(err);
}

/* --- the driver's row --- */

/* False: there is none. */
static int read_row(struct db *db, struct arena *arena, const struct sandbox *sandbox,
	struct tofu_row *ret_row, bool *ret_found, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(sandbox->tenant), &SQL_TOFU_GET,
		    DB_PARAMS(sandbox->tenant, sandbox->id), &rows, err) < 0)
		return -1;
	*ret_found = db_count(rows) > 0;
	if (!*ret_found)
		return 0;
#define TEXT(column) db_text_in(rows, 0, column, arena)
	*ret_row = (struct tofu_row) {
		.goal = TEXT("goal"),
		.step = TEXT("step"),
		.running = TEXT("running"),
		.code = TEXT("code"),
		.detail = TEXT("detail"),
		.plan_digest = TEXT("plan_digest"),
		.boot = db_number(rows, 0, "boot"),
		.run = db_number(rows, 0, "run"),
		.attempts = db_number(rows, 0, "attempts"),
		.age_ms = db_number(rows, 0, "age_ms"),
		.has_state = db_bool(rows, 0, "has_state"),
		.is_due = db_bool(rows, 0, "is_due"),
	};
#undef TEXT
	return 0;
}

int store_tofu_row(struct db *db, struct arena *arena, const struct sandbox *sandbox,
	struct tofu_row *ret_row, struct err *err)
{
	bool found;

	if (read_row(db, arena, sandbox, ret_row, &found, err) < 0)
		return -1;
	if (found)
		return 0;
	if (db_run(db, DB_TENANT(sandbox->tenant), &SQL_TOFU_MAKE,
		    DB_PARAMS(sandbox->tenant, sandbox->id), NULL, err) < 0 ||
		read_row(db, arena, sandbox, ret_row, &found, err) < 0)
		return -1;
	return found ? 0 : err_set(err, ERR_FORBIDDEN, "tofu.not_current", "the row has just gone");
}

static int set(struct db *db, const struct sandbox *sandbox, const struct sql *sql,
	const char *const *params, int n_params, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(sandbox->tenant), sql, params, n_params, &rows, err) < 0)
		return -1;
	return db_affected(rows) == 1 ? 0 : not_current(err);
}

int store_tofu_begin(struct db *db, const struct sandbox *sandbox, struct tofu_row *row,
	const char *running, struct err *err)
{
	if (set(db, sandbox, &SQL_TOFU_BEGIN,
		    DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(row->run), running,
			    DB_NUMBER(row->wait_ms)),
		    err) < 0)
		return -1;
	row->run++;
	row->running = running;
	return 0;
}

int store_tofu_set(
	struct db *db, const struct sandbox *sandbox, const struct tofu_row *row, struct err *err)
{
	return set(db, sandbox, &SQL_TOFU_SET,
		DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(row->run), row->goal,
			DB_NUMBER(row->boot), row->step, DB_NUMBER(row->attempts), row->code,
			row->detail, row->plan_digest, DB_NUMBER(row->wait_ms)),
		err);
}

int store_tofu_beat(struct db *db, const struct sandbox *sandbox, const struct tofu_row *row,
	const char *progress, struct err *err)
{
	return set(db, sandbox, &SQL_TOFU_BEAT,
		DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(row->run), progress), err);
}

int store_tofu_forget(struct db *db, const struct sandbox *sandbox, struct err *err)
{
	return db_run(db, DB_TENANT(sandbox->tenant), &SQL_TOFU_FORGET,
		DB_PARAMS(sandbox->tenant, sandbox->id), NULL, err);
}

int store_tofu_prolong(struct db *db, const struct sandbox *sandbox, struct err *err)
{
	return db_run(db, DB_TENANT(sandbox->tenant), &SQL_SANDBOX_PROLONG,
		DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(sandbox->boot)), NULL, err);
}
