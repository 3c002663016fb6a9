/* SPDX-License-Identifier: Apache-2.0 */
/* SQLSTATE -> error code. Messages that repeat a parameter's value (class 22) are left out. */
#include <string.h>

#include "lib/db_conn.h"
#include "lib/mem.h"

static const struct mapping {
	const char *sqlstate; /* or the beginning of it */
	enum err_kind kind;
	const char *code;
} mappings[] = {
	{ "23505", ERR_CONFLICT, "db.unique" },
	{ "23P01", ERR_CONFLICT, "db.unique" },
	{ "23503", ERR_CONFLICT, "db.foreign_key" },
	{ "23001", ERR_CONFLICT, "db.foreign_key" },
	{ "23514", ERR_CONFLICT, "db.check" },
	{ "42501", ERR_INTERNAL, "db.denied" },
	{ "42704", ERR_INTERNAL, "db.denied" }, /* app.tenant_id was never set */
	{ "42P01", ERR_UNAVAILABLE, "db.schema_old" },
	{ "42703", ERR_UNAVAILABLE, "db.schema_old" },
	{ "40001", ERR_UNAVAILABLE, "db.busy" },
	{ "40P01", ERR_UNAVAILABLE, "db.busy" },
	{ "57014", ERR_TIMEOUT, "db.timeout" },
	{ "55P03", ERR_TIMEOUT, "db.timeout" },
	{ "0A000", ERR_UNAVAILABLE, "db.unavailable" }, /* a cached plan no longer fits */
	{ "26000", ERR_UNAVAILABLE, "db.unavailable" }, /* a prepared statement is gone */
	{ "25006", ERR_UNAVAILABLE, "db.unavailable" },
	{ "08", ERR_UNAVAILABLE, "db.unavailable" },
	{ "53", ERR_UNAVAILABLE, "db.unavailable" },
	{ "57P", ERR_UNAVAILABLE, "db.unavailable" },
	{ "25P", ERR_UNAVAILABLE, "db.unavailable" },
};
static const struct mapping unknown = { "", ERR_INTERNAL, "db.failed" };

/* The domain scope_id of db_migrate.c: its check fails when a scope was set once but is not now. */
#define SCOPE_CONSTRAINT "scope_is_set"

static const struct mapping *mapping_of(const char *sqlstate, const char *constraint)
{
	if (constraint && strcmp(constraint, SCOPE_CONSTRAINT) == 0)
		sqlstate = "42501";
	for (size_t i = 0; i < ARRAY_LEN(mappings); i++) {
		if (strncmp(sqlstate, mappings[i].sqlstate, strlen(mappings[i].sqlstate)) == 0)
			return &mappings[i];
	}
	return &unknown;
}

int db_conn_refuse(const PGresult *result, const char *what, struct err *err)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	const struct mapping *mapping;

	if (!sqlstate)
		sqlstate = "";
	mapping = mapping_of(sqlstate, constraint);
	if (mapping->kind == ERR_CONFLICT)
		return err_set(
			err, mapping->kind, mapping->code, "%s", constraint ? constraint : "");
	if (!message || strncmp(sqlstate, "22", 2) == 0)
		message = "bad value";
	return err_set(err, mapping->kind, mapping->code, "%s: %s (%s)", what, message, sqlstate);
}

int db_conn_unavailable(PGconn *pg, struct err *err)
{
	const char *message = PQerrorMessage(pg);

	return err_set(err, ERR_UNAVAILABLE, "db.unavailable", "%.*s", (int)strcspn(message, "\n"),
		*message ? message : "session lost");
}
