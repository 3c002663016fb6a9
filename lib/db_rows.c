/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as parameters, and reading results by column name. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/db_conn.h"
#include "lib/log.h"
#include "lib/mem.h"

struct db_rows {
	PGresult *result;
	size_t first, count; /* of its rows */
	bool is_part;	     /* the result is that of other rows */
};

const char *db_number_text(char text[DB_NUMBER_SIZE], long long number)
{
	snprintf(text, DB_NUMBER_SIZE, "%lld", number);
	return text;
}

struct db_rows *db_rows_new(PGresult *result)
{
	struct db_rows *rows = mem_alloc(sizeof(*rows));

	*rows = (struct db_rows) { .result = result, .count = (size_t)PQntuples(result) };
	return rows;
}

struct db_rows *db_rows_where(const struct db_rows *rows, const char *column, const char *text)
{
	struct db_rows *part = mem_alloc(sizeof(*part));
	size_t row = 0;

	while (row < rows->count && strcmp(db_text(rows, row, column), text) != 0)
		row++;
	*part = (struct db_rows) { .result = rows->result,
		.first = rows->first + row,
		.count = row < rows->count,
		.is_part = true };
	return part;
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
	int count = PQnfields(rows->result), number = last < count ? last : 0, seen = 0;

	for (; seen < count && strcmp(PQfname(rows->result, number), column) != 0; seen++)
		number = number + 1 < count ? number + 1 : 0;
	if (seen == count)
		fail("result has no such column", column);
	if (row >= rows->count)
		fail("result has no such row", column);
	last = number;
	return number;
}

size_t db_count(const struct db_rows *rows)
{
	return rows->count;
}

long long db_affected(const struct db_rows *rows)
{
	return strtoll(PQcmdTuples(rows->result), NULL, 10);
}

const char *db_text(const struct db_rows *rows, size_t row, const char *column)
{
	int number = column_of(rows, row, column);

	return PQgetvalue(rows->result, (int)(rows->first + row), number);
}

bool db_is_null(const struct db_rows *rows, size_t row, const char *column)
{
	int number = column_of(rows, row, column);

	return PQgetisnull(rows->result, (int)(rows->first + row), number);
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
	if (!rows)
		return;
	if (!rows->is_part)
		PQclear(rows->result);
	free(rows);
}

void db_rows_cleanup(struct db_rows **rows)
{
	db_rows_free(*rows);
}
