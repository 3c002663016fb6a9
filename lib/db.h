/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postgres through named statements only. SQL lives in a service's queries.sql (tools/sql2c.awk
 * makes queries.h: one `const struct sql SQL_<NAME>` each); statements are prepared on first use.
 *
 * Row-level security: every statement runs inside a scope. db_run() sends BEGIN,
 * set_config(app.tenant_id, app.space_ids), the statement and COMMIT in one libpq pipeline; a
 * SELECT goes without BEGIN and COMMIT, since what lies before a pipeline's sync is one transaction
 * anyway. db_read_all() puts several of those into one pipeline. db_tx() does the same around a
 * function of several statements, and repeats it on serialization failure or deadlock. DB_SWEEP is
 * the scope of background loops: no tenant; it uses the second role's policies (id, state, lease,
 * tenant columns only).
 *
 * A lost connection is reopened by the next call. After a COMMIT whose answer was lost the call
 * fails with db.commit_unknown: callers ask by their idempotent key.
 */
#ifndef STRONGROOM_DB_H
#define STRONGROOM_DB_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"

struct db;
struct db_rows; /* a result; valid until released */

struct sql {
	const char *name;
	const char *text;
	int n_params;
};

struct db_scope {
	const char *tenant_id; /* NULL with `sweep` */
	const char *space_ids; /* whose rows may be read as well, joined by ','; or NULL */
	bool sweep;
	const struct sql *owner; /* finds the tenant, see DB_OWNER */
	const char *owner_of;
};

/* A NULL scope is for tables without tenants; any other refuses it. Both values live as long as the
 * block that they are written in. docs/ROW-LEVEL-SECURITY.md says what the schemas do with them. */
#define DB_TENANT(id) (&(const struct db_scope) { .tenant_id = (id) })
#define DB_SPACES(id, spaces)                                                                      \
	(&(const struct db_scope) { .tenant_id = (id), .space_ids = (spaces) })
#define DB_SWEEP (&(const struct db_scope) { .sweep = true })
/* The scope of the tenant that an id belongs to, found in the same round trip: `sql` runs in the
 * sweep with (id, nobody) and sets app.tenant_id to the id's tenant, or to `nobody`. The statement
 * takes the tenant from that setting, and sees what is this tenant's and no more. */
#define DB_OWNER(sql, id, nobody)                                                                  \
	(&(const struct db_scope) { .tenant_id = (nobody), .owner = (sql), .owner_of = (id) })

/* Of two with a tenant given. */
bool db_is_same_scope(const struct db_scope *a, const struct db_scope *b);

#define DB_MAX_PARAMS 24

struct db *db_new(const char *conninfo); /* does not connect yet */
void db_free(struct db *db);
int db_ping(struct db *db, struct err *err);

/* Parameters are texts (NULL is SQL NULL), as many as the statement has: DB_PARAMS(a, b, c). */
#define DB_PARAMS(...)                                                                             \
	((const char *const[]) { __VA_ARGS__ }),                                                   \
		(int)(sizeof((const char *const[]) { __VA_ARGS__ }) / sizeof(const char *))
#define DB_NO_PARAMS NULL, 0
/* A number among them; its text lives as long as the block that it is written in. */
#define DB_NUMBER_SIZE 24
#define DB_NUMBER(number) db_number_text((char[DB_NUMBER_SIZE]) { 0 }, (number))
const char *db_number_text(char text[DB_NUMBER_SIZE], long long number);

/* One statement in its own transaction. ret_rows may be NULL. Constraint failures come back as
 * ERR_CONFLICT with code "db.unique" / "db.foreign_key" / "db.check" and the constraint's name as
 * detail. */
int db_run(struct db *db, const struct db_scope *scope, const struct sql *sql,
	const char *const *params, int n_params, struct db_rows **ret_rows, struct err *err)
	__attribute__((warn_unused_result));

#define DB_MAX_READS 16

/* A SELECT among others. Its tenant is given and `sweep` is not. */
struct db_read {
	struct db_scope scope;
	const struct sql *sql;
	const char *const *params;
	int n_params;
	struct db_rows *rows; /* the caller frees; NULL: `err` says why */
	struct err err;
};
/* One round trip for at most DB_MAX_READS of them. A statement's scope is set right before it
 * unless it is that of the one before; after an error Postgres skips the rest of a pipeline, so
 * none ever runs in the scope of another. What was skipped is asked again by itself. */
void db_read_all(struct db *db, struct db_read *reads, size_t n_reads);

#define DB_MAX_TOGETHER 4

/* One of several statements of a transaction that do not wait for each other's rows. */
struct db_statement {
	const struct sql *sql;
	const char *const *params;
	int n_params;
	struct db_rows *rows; /* the caller frees; NULL after a failure */
};

/* Inside db_tx() only; one round trip for all. Each sees what those before it did, and none runs
 * behind one that failed. */
int db_exec_all(struct db *db, struct db_statement *statements, size_t n_statements,
	struct err *err) __attribute__((warn_unused_result));
int db_exec(struct db *db, const struct sql *sql, const char *const *params, int n_params,
	struct db_rows **ret_rows, struct err *err) __attribute__((warn_unused_result));

/* A statement that travels with COMMIT, so that it costs no round trip of its own; its rows are
 * dropped, its failure is COMMIT's. Inside db_tx() only. Texts are copied. */
void db_at_commit(struct db *db, const struct sql *sql, const char *const *params, int n_params);
/* The transaction's tenant; NULL in the sweep, without a scope, and where the database found it. */
const char *db_tenant(const struct db *db);

/* Whose request the statements serve, for lib/audit.h; NULL in background loops. */
struct web_req;
void db_set_caller(struct db *db, const struct web_req *req);
const struct web_req *db_caller(const struct db *db);

typedef int db_work(struct db *db, void *arg, struct err *err);
int db_tx(struct db *db, const struct db_scope *scope, db_work *work, void *arg, struct err *err)
	__attribute__((warn_unused_result));

size_t db_count(const struct db_rows *rows);	   /* rows returned */
long long db_affected(const struct db_rows *rows); /* rows changed */
/* Text of a column by name ("" for NULL: see db_is_null); belongs to the rows. An unknown name
 * aborts. */
const char *db_text(const struct db_rows *rows, size_t row, const char *column);
bool db_is_null(const struct db_rows *rows, size_t row, const char *column);
long long db_number(const struct db_rows *rows, size_t row, const char *column);
bool db_bool(const struct db_rows *rows, size_t row, const char *column);
/* Copy into the arena; NULL for SQL NULL. */
const char *db_text_in(
	const struct db_rows *rows, size_t row, const char *column, struct arena *arena);

/* The first of the rows that has that text, or none: rows of their own, that live no longer. */
struct db_rows *db_rows_where(const struct db_rows *rows, const char *column, const char *text);

void db_rows_free(struct db_rows *rows);
void db_rows_cleanup(struct db_rows **rows);
#define auto_rows __attribute__((cleanup(db_rows_cleanup)))

struct migration; /* lib/service.h */
/* Applies what is missing, in order, each in its own transaction under an advisory lock, recorded
 * in <schema>.schema_version(name, sha256, applied_at). An applied file that changed is refused.
 * `schema` may be a service's name: a '-' in it is a '_' in the database. */
int db_migrate(const char *owner_conninfo, const char *schema, const struct migration *migrations,
	struct err *err);
/* Whether all are applied and none is unknown: db.schema_old / db.schema_new. */
int db_migrated(
	struct db *db, const char *schema, const struct migration *migrations, struct err *err);

#endif
