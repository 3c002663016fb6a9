/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One Postgres session in libpq's pipeline mode; for lib/db*.c only. It opens itself when needed,
 * prepares statements on first use, and sends a group of steps in one round trip. A group that
 * fails leaves no transaction behind.
 */
#ifndef STRONGROOM_DB_CONN_H
#define STRONGROOM_DB_CONN_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/db.h"

struct db_conn;

struct db_step {
	const struct sql *sql;
	const char *const *params;
	int n_params;
	bool commits;	       /* the end of a transaction that may have changed something */
	PGresult **ret_result; /* NULL: the result is dropped */
	bool preparing;	       /* db_conn's own */
};

struct db_conn *db_conn_new(const char *conninfo);
void db_conn_free(struct db_conn *conn);

/* Sends all steps and reads their answers; the first failure counts. With `in_tx` the steps belong
 * to a transaction that is open already: a lost session is not opened again. */
int db_conn_run(struct db_conn *conn, struct db_step *steps, size_t n_steps, bool in_tx,
	struct err *err) __attribute__((warn_unused_result));

/* Whether the last failure was a serialization failure, a deadlock or a stale prepared statement:
 * the whole transaction may be tried again. */
bool db_conn_is_repeatable(const struct db_conn *conn);

/* Owned by the rows from here on. */
struct db_rows *db_rows_new(PGresult *result);

/* The error of a failed result, named by `what`. Returns -1. */
int db_conn_refuse(const PGresult *result, const char *what, struct err *err);
/* ERR_UNAVAILABLE "db.unavailable" with the session's own words. Returns -1. */
int db_conn_unavailable(PGconn *pg, struct err *err);
PGconn *db_conn_connect(const char *conninfo, struct err *err);

#endif
