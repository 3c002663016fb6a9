/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scopes and transactions of db.h on the session of db_conn.h. BEGIN and the scope travel with the
 * first statement: db_run() is one round trip, db_tx() one for each statement (or db_exec_all())
 * and one for COMMIT and what travels with it, db_read_all() one for all its reads.
 */
#include "lib/db.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/db_conn.h"
#include "lib/id.h"
#include "lib/mem.h"

#define TX_ATTEMPTS 5u
#define TX_PAUSE_MS 8u /* doubled at each attempt, with full jitter */

/* A statement that waits for COMMIT. */
struct late {
	const struct sql *sql;
	char *params[DB_MAX_PARAMS];
	int n_params;
};

struct db {
	struct db_conn *conn;
	const struct web_req *caller;
	struct late *late;
	size_t n_late, late_room;
	const struct db_scope *scope; /* of the transaction in hand */
	bool in_tx;
	bool has_begun;	 /* BEGIN was sent */
	bool has_failed; /* a statement failed: Postgres has forgotten the transaction */
	bool has_written;
};

static const struct sql sql_ping = { "db_ping", "SELECT 1", 0 };
static const struct sql sql_begin = { "db_begin", "BEGIN", 0 };
static const struct sql sql_commit = { "db_commit", "COMMIT", 0 };
static const struct sql sql_rollback = { "db_rollback", "ROLLBACK", 0 };
static const struct sql sql_tenant = { "db_scope_tenant",
	"SELECT set_config('app.tenant_id', $1, true),"
	" set_config('app.space_ids', coalesce($2, ''), true)",
	2 };
static const struct sql sql_sweep = { "db_scope_sweep",
	"SELECT set_config('role', session_user || '_sweep', true),"
	" set_config('app.sweep', 'on', true)",
	0 };
static const struct sql sql_end_sweep = { "db_scope_end_sweep",
	"SELECT set_config('role', 'none', true), set_config('app.sweep', '', true),"
	" set_config('app.space_ids', '', true)",
	0 };

struct db *db_new(const char *conninfo)
{
	struct db *db = mem_alloc(sizeof(*db));

	db->conn = db_conn_new(conninfo);
	return db;
}

void db_free(struct db *db)
{
	if (!db)
		return;
	db_conn_free(db->conn);
	free(db->late);
	free(db);
}

void db_set_caller(struct db *db, const struct web_req *req)
{
	db->caller = req;
}

const struct web_req *db_caller(const struct db *db)
{
	return db->caller;
}

const char *db_tenant(const struct db *db)
{
	return db->scope && !db->scope->owner ? db->scope->tenant_id : NULL;
}

int db_ping(struct db *db, struct err *err)
{
	struct db_step step = { .sql = &sql_ping };

	return db_conn_run(db->conn, &step, 1, false, err);
}

/* --- scope --- */

struct opening {
	const char *params[2];
	struct db_step steps[6];
	size_t n_steps;
};

static void add_step(struct opening *opening, struct db_step step)
{
	opening->steps[opening->n_steps++] = step;
}

static void add_scope(struct opening *opening, const struct db_scope *scope)
{
	if (!scope)
		return;
	if (scope->sweep || scope->owner)
		add_step(opening, (struct db_step) { .sql = &sql_sweep });
	if (scope->sweep)
		return;
	opening->params[0] = scope->owner ? scope->owner_of : scope->tenant_id;
	opening->params[1] = scope->owner ? scope->tenant_id : scope->space_ids;
	add_step(opening, (struct db_step) { .sql = scope->owner ? scope->owner : &sql_tenant,
				  .params = opening->params,
				  .n_params = 2 });
	if (scope->owner)
		add_step(opening, (struct db_step) { .sql = &sql_end_sweep });
}

static void opening_init(struct opening *opening, const struct db_scope *scope)
{
	*opening = (struct opening) { .n_steps = 0 };
	add_step(opening, (struct db_step) { .sql = &sql_begin });
	add_scope(opening, scope);
}

static int check_scope(const struct db_scope *scope, struct err *err)
{
	if (!scope || (scope->sweep && !scope->tenant_id && !scope->space_ids && !scope->owner))
		return 0;
	if (scope->sweep || !scope->tenant_id || !*scope->tenant_id)
		return err_set(err, ERR_INTERNAL, "db.scope", "scope without a tenant");
	if (scope->owner && (!scope->owner_of || scope->space_ids))
		return err_set(err, ERR_INTERNAL, "db.scope", "scope of the owner of nothing");
	return 0;
}

/* --- repeating --- */

static void pause_before(unsigned attempt)
{
	struct timespec pause = { 0 };
	unsigned random;

	rand_bytes(&random, sizeof(random));
	pause.tv_nsec = (long)(random % ((TX_PAUSE_MS << attempt) * 1000u)) * 1000;
	nanosleep(&pause, NULL);
}

static bool is_read(const struct sql *sql)
{
	return strncasecmp(sql->text, "SELECT", 6) == 0;
}

static void deliver(PGresult *result, struct db_rows **ret_rows)
{
	if (ret_rows)
		*ret_rows = result ? db_rows_new(result) : NULL;
	else
		PQclear(result);
}

/* --- one statement --- */

/* A read needs no BEGIN: the steps before a sync are one transaction. */
static void statement_init(
	struct opening *opening, const struct db_scope *scope, const struct db_step *statement)
{
	*opening = (struct opening) { .n_steps = 0 };
	if (is_read(statement->sql)) {
		add_scope(opening, scope);
		add_step(opening, *statement);
		return;
	}
	opening_init(opening, scope);
	add_step(opening, *statement);
	add_step(opening, (struct db_step) { .sql = &sql_commit, .commits = true });
}

int db_run(struct db *db, const struct db_scope *scope, const struct sql *sql,
	const char *const *params, int n_params, struct db_rows **ret_rows, struct err *err)
{
	PGresult *result = NULL;
	struct opening opening;
	struct err failure = { .kind = ERR_NONE };
	int status = -1;

	assert(!db->in_tx);
	if (check_scope(scope, err))
		return -1;
	statement_init(&opening, scope,
		&(const struct db_step) { .sql = sql,
			.params = params,
			.n_params = n_params,
			.ret_result = &result });
	for (unsigned attempt = 1; status && attempt <= TX_ATTEMPTS; attempt++) {
		PQclear(take_ptr(result));
		status = db_conn_run(db->conn, opening.steps, opening.n_steps, false, &failure);
		if (status && !db_conn_is_repeatable(db->conn))
			break;
		if (status && attempt < TX_ATTEMPTS)
			pause_before(attempt);
	}
	if (status == 0) {
		deliver(result, ret_rows);
		return 0;
	}
	PQclear(result);
	if (err)
		*err = failure;
	return -1;
}

/* --- several reads --- */

static void read_one(struct db *db, struct db_read *read)
{
	if (db_run(db, &read->scope, read->sql, read->params, read->n_params, &read->rows,
		    &read->err) < 0)
		read->rows = NULL;
}

static bool is_same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool db_is_same_scope(const struct db_scope *a, const struct db_scope *b)
{
	return is_same_text(a->tenant_id, b->tenant_id) && is_same_text(a->space_ids, b->space_ids);
}

/* Asks for all; what has no rows then was behind an error, or is it. */
static int read_together(struct db *db, struct db_read *reads, size_t n_reads, struct err *err)
{
	struct db_step steps[2 * DB_MAX_READS] = { 0 };
	const char *scopes[DB_MAX_READS][2];
	PGresult *results[DB_MAX_READS] = { NULL };
	size_t n_steps = 0;
	int status;

	for (size_t i = 0; i < n_reads; i++) {
		struct db_read *read = &reads[i];

		assert(is_read(read->sql));
		scopes[i][0] = read->scope.tenant_id;
		scopes[i][1] = read->scope.space_ids;
		if (i == 0 || !db_is_same_scope(&read->scope, &read[-1].scope))
			steps[n_steps++] = (struct db_step) {
				.sql = &sql_tenant, .params = scopes[i], .n_params = 2
			};
		steps[n_steps++] = (struct db_step) { .sql = read->sql,
			.params = read->params,
			.n_params = read->n_params,
			.ret_result = &results[i] };
	}
	status = db_conn_run(db->conn, steps, n_steps, false, err);
	for (size_t i = 0; i < n_reads; i++)
		deliver(results[i], &reads[i].rows);
	return status;
}

void db_read_all(struct db *db, struct db_read *reads, size_t n_reads)
{
	struct err failure = { .kind = ERR_NONE };
	bool whole = n_reads > 1;

	assert(!db->in_tx && n_reads <= DB_MAX_READS);
	for (size_t i = 0; i < n_reads; i++) {
		reads[i].rows = NULL;
		whole &= !reads[i].scope.sweep && !reads[i].scope.owner &&
			 check_scope(&reads[i].scope, NULL) == 0;
	}
	if (whole && read_together(db, reads, n_reads, &failure) == 0)
		return;
	for (size_t i = 0; i < n_reads; i++) {
		if (reads[i].rows)
			continue;
		if (failure.kind == ERR_UNAVAILABLE)
			reads[i].err = failure;
		else
			read_one(db, &reads[i]);
	}
}

/* --- several statements --- */

/* The first statements travel with BEGIN and the scope. */
static int send_all(struct db *db, const struct db_statement *statements, size_t n_statements,
	PGresult **results, struct err *err)
{
	struct opening opening = { .n_steps = 0 };
	struct db_step steps[ARRAY_LEN(opening.steps) + DB_MAX_TOGETHER] = { 0 };
	size_t n_steps;

	if (!db->has_begun)
		opening_init(&opening, db->scope);
	n_steps = opening.n_steps;
	memcpy(steps, opening.steps, n_steps * sizeof(*steps));
	for (size_t i = 0; i < n_statements; i++)
		steps[n_steps++] = (struct db_step) { .sql = statements[i].sql,
			.params = statements[i].params,
			.n_params = statements[i].n_params,
			.ret_result = &results[i] };
	return db_conn_run(db->conn, steps, n_steps, db->has_begun, err);
}

int db_exec_all(
	struct db *db, struct db_statement *statements, size_t n_statements, struct err *err)
{
	PGresult *results[DB_MAX_TOGETHER] = { NULL };

	assert(db->in_tx && n_statements > 0 && n_statements <= DB_MAX_TOGETHER);
	for (size_t i = 0; i < n_statements; i++)
		statements[i].rows = NULL;
	if (db->has_failed)
		return err_set(err, ERR_INTERNAL, "db.aborted",
			"'%s' after a failed statement of its transaction",
			statements[0].sql->name);
	if (send_all(db, statements, n_statements, results, err)) {
		db->has_failed = true;
		for (size_t i = 0; i < n_statements; i++)
			PQclear(results[i]);
		return -1;
	}
	db->has_begun = true;
	for (size_t i = 0; i < n_statements; i++) {
		db->has_written |= !is_read(statements[i].sql);
		deliver(results[i], &statements[i].rows);
	}
	return 0;
}

int db_exec(struct db *db, const struct sql *sql, const char *const *params, int n_params,
	struct db_rows **ret_rows, struct err *err)
{
	struct db_statement statement = { .sql = sql, .params = params, .n_params = n_params };

	if (db_exec_all(db, &statement, 1, err) < 0)
		return -1;
	if (ret_rows)
		*ret_rows = statement.rows;
	else
		db_rows_free(statement.rows);
	return 0;
}

void db_at_commit(struct db *db, const struct sql *sql, const char *const *params, int n_params)
{
	struct late *late;

	assert(db->in_tx);
	if (db->n_late == db->late_room) {
		db->late_room = 2 * db->late_room + 4;
		db->late = mem_grow(db->late, db->late_room, sizeof(*db->late));
	}
	late = &db->late[db->n_late];
	*late = (struct late) { .sql = sql, .n_params = n_params };
	for (int i = 0; i < n_params; i++)
		late->params[i] = params[i] ? mem_strdup(params[i]) : NULL;
	db->n_late++;
	db->has_written = true;
}

static void forget_late(struct db *db)
{
	for (; db->n_late > 0; db->n_late--) {
		struct late *late = &db->late[db->n_late - 1];

		for (int i = 0; i < late->n_params; i++)
			free(late->params[i]);
	}
}

/* Sends the last steps of a transaction, if there is one to end. */
static int end_with(struct db *db, const struct sql *sql, struct err *err)
{
	size_t n_steps, n_late = sql == &sql_commit ? db->n_late : 0;
	auto_free struct db_step *steps = NULL;
	struct opening opening = { .n_steps = 0 };

	if (db->has_failed || (!db->has_begun && n_late == 0))
		return 0;
	if (!db->has_begun)
		opening_init(&opening, db->scope);
	n_steps = opening.n_steps;
	steps = mem_array(n_steps + n_late + 1, sizeof(*steps));
	memcpy(steps, opening.steps, n_steps * sizeof(*steps));
	for (size_t i = 0; i < n_late; i++)
		steps[n_steps++] = (struct db_step) { .sql = db->late[i].sql,
			.params = (const char *const *)db->late[i].params,
			.n_params = db->late[i].n_params };
	steps[n_steps++] =
		(struct db_step) { .sql = sql, .commits = sql == &sql_commit && db->has_written };
	if (db_conn_run(db->conn, steps, n_steps, db->has_begun, err) == 0)
		return 0;
	db->has_failed = true;
	return -1;
}

static int attempt_tx(struct db *db, db_work *work, void *arg, struct err *err)
{
	db->has_begun = db->has_failed = db->has_written = false;
	if (work(db, arg, err)) {
		(void)end_with(db, &sql_rollback, NULL);
		return -1;
	}
	if (db->has_failed)
		return err_set(err, ERR_INTERNAL, "db.aborted",
			"transaction went on after a failed statement");
	return end_with(db, &sql_commit, err);
}

int db_tx(struct db *db, const struct db_scope *scope, db_work *work, void *arg, struct err *err)
{
	struct err failure = { .kind = ERR_NONE };
	int status = -1;

	assert(!db->in_tx);
	if (check_scope(scope, err))
		return -1;
	db->scope = scope;
	db->in_tx = true;
	for (unsigned attempt = 1; status && attempt <= TX_ATTEMPTS; attempt++) {
		err_clear(&failure);
		status = attempt_tx(db, work, arg, &failure);
		forget_late(db);
		if (status && !(db->has_failed && db_conn_is_repeatable(db->conn)))
			break;
		if (status && attempt < TX_ATTEMPTS)
			pause_before(attempt);
	}
	db->in_tx = false;
	db->scope = NULL;
	if (status && err)
		*err = failure;
	return status;
}
