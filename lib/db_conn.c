/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session of db_conn.h. Everything goes through one function, db_conn_run(): send the steps,
 * sync, read as many answers. Postgres executes a COMMIT as soon as it arrives, so once the group
 * was sent a lost session means "unknown", unless an error that came back shows it stopped before.
 */
#include "lib/db_conn.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "lib/id.h"
#include "lib/mem.h"

#define PREPARED_SLOTS                                                                             \
	512u /* names of prepared statements, a hash table; services have about 100 */
#define ANSWER_LIMIT_MS 20000 /* above statement_timeout: then the server hangs */

struct db_conn {
	char *conninfo;
	PGconn *pg;
	char *prepared[PREPARED_SLOTS];
	long long deadline_ms;
	bool is_ending; /* the server said FATAL between two calls */
	bool is_repeatable;
};

static const struct sql session = { "db_session",
	"SELECT set_config('search_path', quote_ident(session_user) || ', pg_temp', false),"
	" set_config('statement_timeout', '10s', false),"
	" set_config('lock_timeout', '5s', false),"
	" set_config('idle_in_transaction_session_timeout', '15s', false)",
	0 };
static const struct sql rollback = { "db_rollback", "ROLLBACK", 0 };

struct db_conn *db_conn_new(const char *conninfo)
{
	struct db_conn *conn = mem_alloc(sizeof(*conn));

	conn->conninfo = mem_strdup(conninfo);
	return conn;
}

static void close_session(struct db_conn *conn)
{
	PQfinish(take_ptr(conn->pg));
	for (size_t i = 0; i < PREPARED_SLOTS; i++)
		free(take_ptr(conn->prepared[i]));
	conn->is_ending = false;
}

void db_conn_free(struct db_conn *conn)
{
	if (!conn)
		return;
	close_session(conn);
	mem_wipe_free(conn->conninfo, strlen(conn->conninfo));
	free(conn);
}

bool db_conn_is_repeatable(const struct db_conn *conn)
{
	return conn->is_repeatable;
}

/* --- prepared statements --- */

static char **prepared_slot(struct db_conn *conn, const char *name)
{
	unsigned hash = 2166136261u;

	for (const char *c = name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	for (size_t probe = 0; probe < PREPARED_SLOTS; probe++) {
		char **slot = &conn->prepared[(hash + probe) % PREPARED_SLOTS];

		if (!*slot || strcmp(*slot, name) == 0)
			return slot;
	}
	assert(!"more statements than PREPARED_SLOTS");
	abort();
}

/* Whether a step of this group before the n-th prepares the same statement. */
static bool is_on_its_way(const struct db_step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (steps[i].preparing && strcmp(steps[i].sql->name, steps[n].sql->name) == 0)
			return true;
	}
	return false;
}

static bool send_step(struct db_conn *conn, struct db_step *steps, size_t n)
{
	struct db_step *step = &steps[n];
	const struct sql *sql = step->sql;

	assert(step->n_params == sql->n_params && step->n_params <= DB_MAX_PARAMS);
	step->preparing = !*prepared_slot(conn, sql->name) && !is_on_its_way(steps, n);
	if (step->preparing && !PQsendPrepare(conn->pg, sql->name, sql->text, 0, NULL))
		return false;
	return PQsendQueryPrepared(
		conn->pg, sql->name, step->n_params, step->params, NULL, NULL, 0);
}

/* --- reading answers --- */

/* NULL at the end of an answer, and when the server hangs. */
static PGresult *next_result(struct db_conn *conn)
{
	while (PQisBusy(conn->pg)) {
		struct pollfd fd = { .fd = PQsocket(conn->pg), .events = POLLIN };
		long long left_ms = conn->deadline_ms - clock_monotonic_ms();

		if (left_ms <= 0)
			return NULL;
		poll(&fd, 1, (int)left_ms);
		if (fd.revents && !PQconsumeInput(conn->pg))
			break;
	}
	return PQgetResult(conn->pg);
}

static PGresult *read_answer(struct db_conn *conn)
{
	PGresult *result = next_result(conn);
	PGresult *more;

	while (result && PQstatus(conn->pg) == CONNECTION_OK && (more = next_result(conn)))
		PQclear(more);
	return result;
}

static bool is_good(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static PGresult *read_step(struct db_conn *conn, const struct db_step *step)
{
	PGresult *result;

	if (step->preparing) {
		result = read_answer(conn);
		if (!is_good(result))
			return result;
		PQclear(result);
		*prepared_slot(conn, step->sql->name) = mem_strdup(step->sql->name);
	}
	return read_answer(conn);
}

/* The point behind a group; reads over what was skipped. False: the session is of no more use. */
static bool read_sync(struct db_conn *conn)
{
	int nulls = 0;

	while (nulls < 2 && PQstatus(conn->pg) == CONNECTION_OK) {
		PGresult *result = next_result(conn);
		ExecStatusType status = PQresultStatus(result);

		nulls = result ? 0 : nulls + 1;
		PQclear(result);
		if (status == PGRES_PIPELINE_SYNC)
			return true;
	}
	return false;
}

/* --- opening, and noticing an end --- */

static void on_notice(void *arg, const PGresult *notice)
{
	struct db_conn *conn = arg;
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
		conn->is_ending = true;
}

PGconn *db_conn_connect(const char *conninfo, struct err *err)
{
	static const char *const keys[] = { "application_name", "connect_timeout",
		"client_encoding", "tcp_user_timeout", "dbname", NULL };
	const char *const values[] = { "strongroom", "3", "UTF8", "20000", conninfo, NULL };
	PGconn *pg = PQconnectdbParams(keys, values, 1);

	if (PQstatus(pg) == CONNECTION_OK)
		return pg;
	db_conn_unavailable(pg, err);
	PQfinish(pg);
	return NULL;
}

/* A session that died while idle is readable: the server's last words, or the end. */
static bool is_stale(struct db_conn *conn)
{
	struct pollfd fd = { .fd = PQsocket(conn->pg), .events = POLLIN };

	while (!conn->is_ending && poll(&fd, 1, 0) > 0) {
		if (!PQconsumeInput(conn->pg))
			return true;
		(void)PQisBusy(conn->pg); /* parses; FATAL comes to on_notice() */
	}
	return conn->is_ending || PQstatus(conn->pg) != CONNECTION_OK;
}

static int run_steps(struct db_conn *conn, struct db_step *steps, size_t n_steps, struct err *err);

static int open_session(struct db_conn *conn, struct err *err)
{
	struct db_step step = { .sql = &session };

	conn->pg = db_conn_connect(conn->conninfo, err);
	if (!conn->pg)
		return -1;
	PQsetNoticeReceiver(conn->pg, on_notice, conn);
	if (!PQenterPipelineMode(conn->pg))
		return db_conn_unavailable(conn->pg, err);
	return run_steps(conn, &step, 1, err);
}

/* --- a group of steps --- */

static bool is_lost(const struct db_conn *conn, const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return !result || PQstatus(conn->pg) != CONNECTION_OK || conn->is_ending ||
	       (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0));
}

/* `stopped`: the step whose error the server sent; NULL when nothing came. */
static int lose(struct db_conn *conn, const struct db_step *last, const struct db_step *stopped,
	struct err *err)
{
	if (last->commits && (!stopped || stopped == last))
		err_set(err, ERR_UNAVAILABLE, "db.commit_unknown",
			"session lost after the commit was sent");
	else
		db_conn_unavailable(conn->pg, err);
	close_session(conn);
	return -1;
}

static void end_transaction(struct db_conn *conn)
{
	struct db_step step = { .sql = &rollback };
	PGTransactionStatusType status = PQtransactionStatus(conn->pg);

	if (status != PQTRANS_INTRANS && status != PQTRANS_INERROR)
		return;
	if (run_steps(conn, &step, 1, NULL) && conn->pg)
		close_session(conn);
}

static int fail_step(struct db_conn *conn, const struct db_step *step, const struct db_step *last,
	PGresult *result, struct err *err)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	bool is_stale_plan;

	if (is_lost(conn, result)) {
		lose(conn, last, sqlstate ? step : NULL, err);
		PQclear(result);
		return -1;
	}
	if (!sqlstate)
		sqlstate = "";
	is_stale_plan = strcmp(sqlstate, "0A000") == 0 || strcmp(sqlstate, "26000") == 0;
	conn->is_repeatable =
		is_stale_plan || strcmp(sqlstate, "40001") == 0 || strcmp(sqlstate, "40P01") == 0;
	db_conn_refuse(result, step->sql->name, err);
	PQclear(result);
	if (is_stale_plan || !read_sync(conn))
		close_session(conn);
	return -1;
}

static int read_steps(struct db_conn *conn, struct db_step *steps, size_t n_steps, struct err *err)
{
	for (size_t i = 0; i < n_steps; i++) {
		PGresult *result = read_step(conn, &steps[i]);

		if (!is_good(result))
			return fail_step(conn, &steps[i], &steps[n_steps - 1], result, err);
		if (steps[i].ret_result)
			*steps[i].ret_result = take_ptr(result);
		PQclear(result);
	}
	if (!read_sync(conn))
		close_session(conn);
	return 0;
}

static int run_steps(struct db_conn *conn, struct db_step *steps, size_t n_steps, struct err *err)
{
	struct db_step not_sent = { .commits = false };

	for (size_t i = 0; i < n_steps; i++) {
		if (!send_step(conn, steps, i))
			return lose(conn, &not_sent, NULL, err);
	}
	conn->deadline_ms = clock_monotonic_ms() + ANSWER_LIMIT_MS;
	if (!PQpipelineSync(conn->pg))
		return lose(conn, &steps[n_steps - 1], NULL, err);
	return read_steps(conn, steps, n_steps, err);
}

int db_conn_run(
	struct db_conn *conn, struct db_step *steps, size_t n_steps, bool in_tx, struct err *err)
{
	conn->is_repeatable = false;
	if (!in_tx && conn->pg && is_stale(conn))
		close_session(conn);
	if (in_tx && !conn->pg)
		return err_set(err, ERR_UNAVAILABLE, "db.unavailable", "session lost");
	if (!conn->pg && open_session(conn, err)) {
		close_session(conn);
		return -1;
	}
	if (run_steps(conn, steps, n_steps, err) == 0)
		return 0;
	if (conn->pg)
		end_transaction(conn);
	return -1;
}
