/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as parameters, and reading results by column name. `struct db_rows` is libpq's PGresult
 * under our name. */
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/db.h"
#include "lib/log.h"

const char *db_number_text(char text[DB_NUMBER_SIZE], long long number)
{
	snprintf(text, DB_NUMBER_SIZE, "%lld", number);
	return text;
}

static const PGresult *result_of(const struct db_rows *rows)
{
	return (const PGresult *)rows;
}

static void __attribute__((noreturn)) fail(const char *what, const char *column)
{
	log_error(what, "column", column, NULL);
	abort();
}

/* Columns are mostly asked for in their order: looks on from where the last one was found. */
static int column_of(const struct db_rows *rows, size_t row, const char *column)
{
	static _Thread_local int last;
	int count = PQnfields(result_of(rows)), number = last < count ? last : 0, seen = 0;

	for (; seen < count && strcmp(PQfname(result_of(rows), number), column) != 0; seen++)
		number = number + 1 < count ? number + 1 : 0;
	if (seen == count)
		fail("result has no such column", column);
	if (row >= db_count(rows))
		fail("result has no such row", column);
	last = number;
	return number;
}

size_t db_count(const struct db_rows *rows)
{
	return (size_t)PQntuples(result_of(rows));
}

long long db_affected(const struct db_rows *rows)
{
	return strtoll(PQcmdTuples((PGresult *)rows), NULL, 10);
}

const char *db_text(const struct db_rows *rows, size_t row, const char *column)
{
	return PQgetvalue(result_of(rows), (int)row, column_of(rows, row, column));
}

bool db_is_null(const struct db_rows *rows, size_t row, const char *column)
{
	return PQgetisnull(result_of(rows), (int)row, column_of(rows, row, column));
}

long long db_number(const struct db_rows *rows, size_t row, const char *column)
{
	const char *text = db_text(rows, row, column);
	long long number;
	char *end;

	if (!*text && db_is_null(rows, row, column))
		return 0;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		fail("column is not a whole number", column);
	return number;
}

bool db_bool(const struct db_rows *rows, size_t row, const char *column)
{
	return *db_text(rows, row, column) == 't';
}

const char *db_text_in(
	const struct db_rows *rows, size_t row, const char *column, struct arena *arena)
{
	if (db_is_null(rows, row, column))
		return NULL;
	return arena_strdup(arena, db_text(rows, row, column));
}

void db_rows_free(struct db_rows *rows)
{
	PQclear((PGresult *)rows);
}

void db_rows_cleanup(struct db_rows **rows)
{
	db_rows_free(*rows);
}
