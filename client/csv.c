/* SPDX-License-Identifier: Apache-2.0 */
/* Column selection and row filter of a projection. */
#include "client/csv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/csv_row.h"
#include "lib/json.h"
#include "lib/mem.h"

struct projector {
	const json_t *filter;
	size_t columns[CSV_MAX_COLUMNS]; /* positions to write */
	size_t n_columns;
	size_t filter_columns[64];
	size_t n_in;
	struct buf line;
	csv_sink *sink;
	void *arg;
};

static int column_of(
	const struct csv_row *header, const char *name, size_t *ret_at, struct err *err)
{
	for (size_t i = 0; name && i < header->n_fields; i++) {
		if (strcmp(csv_row_field(header, i), name) == 0) {
			*ret_at = i;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "projection.no_column", "the data has no column '%s'",
		name ? name : "");
}

static int choose_columns(struct projector *projector, const json_t *columns,
	const struct csv_row *header, struct err *err)
{
	const json_t *name;
	size_t i;

	if (json_array_size(columns) > CSV_MAX_COLUMNS)
		return err_set(err, ERR_INVALID, "projection.no_column", "too many columns");
	json_array_foreach (columns, i, name) {
		if (column_of(header, json_string_value(name), &projector->columns[i], err) < 0)
			return -1;
	}
	projector->n_columns = json_array_size(columns);
	return 0;
}

static bool is_operator(const char *op)
{
	static const char *const ops[] = { "=", "!=", "<", "<=", ">", ">=", "in" };

	for (size_t i = 0; op && i < ARRAY_LEN(ops); i++) {
		if (strcmp(ops[i], op) == 0)
			return true;
	}
	return false;
}

static int choose_filter(struct projector *projector, const struct csv_row *header, struct err *err)
{
	const json_t *rule;
	size_t i;

	if (json_array_size(projector->filter) > ARRAY_LEN(projector->filter_columns))
		return err_set(err, ERR_INVALID, "projection.filter", "too many conditions");
	json_array_foreach (projector->filter, i, rule) {
		if (!is_operator(json_text(rule, "op")))
			return err_set(err, ERR_INVALID, "projection.filter",
				"condition %zu has no known op", i + 1);
		if (column_of(header, json_text(rule, "column"), &projector->filter_columns[i],
			    err) < 0)
			return -1;
	}
	return 0;
}

static bool as_number(const char *text, double *ret_number)
{
	char *end = NULL;

	errno = 0;
	*ret_number = strtod(text, &end);
	return *text && !*end && !errno;
}

static int compare(const char *a, const char *b)
{
	double x, y;

	if (as_number(a, &x) && as_number(b, &y))
		return (x > y) - (x < y);
	return strcmp(a, b);
}

static int compare_literal(const char *field, const json_t *literal)
{
	char number[32];

	if (!json_is_integer(literal))
		return compare(field, json_is_string(literal) ? json_string_value(literal) : "");
	snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(literal));
	return compare(field, number);
}

static bool is_in(const char *field, const json_t *list)
{
	const json_t *literal;
	size_t i;

	json_array_foreach (list, i, literal) {
		if (compare_literal(field, literal) == 0)
			return true;
	}
	return false;
}

static bool holds(const char *field, const json_t *rule)
{
	const char *op = json_text(rule, "op");
	const json_t *value = json_object_get(rule, "value");
	int order;

	if (strcmp(op, "in") == 0)
		return is_in(field, value);
	order = compare_literal(field, value);
	if (strcmp(op, "!=") == 0)
		return order != 0;
	if (*op == '<')
		return op[1] ? order <= 0 : order < 0;
	if (*op == '>')
		return op[1] ? order >= 0 : order > 0;
	return order == 0;
}

static bool passes(const struct projector *projector, const struct csv_row *row)
{
	const json_t *rule;
	size_t i;

	json_array_foreach (projector->filter, i, rule) {
		if (!holds(csv_row_field(row, projector->filter_columns[i]), rule))
			return false;
	}
	return true;
}

static int write_row(struct projector *projector, const struct csv_row *row, struct err *err)
{
	projector->line.len = 0;
	for (size_t i = 0; i < projector->n_columns; i++) {
		if ((i && buf_add_text(&projector->line, ",", err) < 0) ||
			csv_field_write(&projector->line, csv_row_field(row, projector->columns[i]),
				err) < 0)
			return -1;
	}
	if (buf_add_text(&projector->line, "\n", err) < 0)
		return -1;
	return projector->sink(projector->arg, projector->line.data, projector->line.len, err);
}

static int project_rows(struct projector *projector, struct csv_row *row, FILE *in,
	struct csv_result *result, struct err *err)
{
	int got;

	while ((got = csv_row_read(row, in, err)) > 0) {
		if (row->n_fields != projector->n_in)
			return err_set(err, ERR_INVALID, "csv.syntax",
				"line %lld: %zu fields instead of %zu", row->line, row->n_fields,
				projector->n_in);
		result->rows_in++;
		if (!passes(projector, row))
			continue;
		result->rows_out++;
		if (write_row(projector, row, err) < 0)
			return -1;
	}
	return got;
}

static int read_header(struct csv_row *row, FILE *in, struct err *err)
{
	int got = csv_row_read(row, in, err);

	if (got == 0)
		return err_set(err, ERR_INVALID, "csv.syntax", "the data has no header");
	return got < 0 ? -1 : 0;
}

static int add_names(const struct csv_row *header, json_t *names, struct err *err)
{
	for (size_t i = 0; i < header->n_fields; i++) {
		if (json_array_append_new(names, json_string(csv_row_field(header, i))) < 0)
			return err_set(err, ERR_INVALID, "csv.syntax",
				"the header's column %zu is not UTF-8", i + 1);
	}
	return 0;
}

int csv_header(FILE *in, json_t **ret_names, struct err *err)
{
	struct csv_row *row = mem_alloc(sizeof(*row));
	auto_json json_t *names = json_array();
	int failed;

	csv_row_init(row);
	failed = read_header(row, in, err) < 0 || add_names(row, names, err) < 0 ? -1 : 0;
	if (failed == 0)
		*ret_names = take_ptr(names);
	csv_row_release(row);
	free(row);
	return failed;
}

static int project(struct projector *projector, const json_t *projection, struct csv_row *row,
	FILE *in, struct csv_result *result, struct err *err)
{
	long long minimum = json_integer_value(json_object_get(projection, "minimum_rows"));

	if (read_header(row, in, err) < 0 ||
		choose_columns(projector, json_object_get(projection, "columns"), row, err) < 0 ||
		choose_filter(projector, row, err) < 0)
		return -1;
	projector->n_in = row->n_fields;
	if (write_row(projector, row, err) < 0 || project_rows(projector, row, in, result, err) < 0)
		return -1;
	if (result->rows_out < minimum)
		return err_set(err, ERR_INVALID, "projection.too_few_rows",
			"%lld of %lld rows pass; the projection demands at least %lld",
			result->rows_out, result->rows_in, minimum);
	return 0;
}

int csv_project(FILE *in, const json_t *projection, csv_sink *sink, void *arg,
	struct csv_result *ret_result, struct err *err)
{
	struct projector *projector = mem_alloc(sizeof(*projector));
	struct csv_row *row = mem_alloc(sizeof(*row));
	struct csv_result result = { 0 };
	int failed;

	projector->filter = json_object_get(projection, "filter");
	projector->line.max = 2 * CSV_MAX_ROW;
	projector->sink = sink;
	projector->arg = arg;
	csv_row_init(row);
	failed = project(projector, projection, row, in, &result, err);
	if (failed == 0)
		*ret_result = result;
	buf_wipe(&projector->line);
	csv_row_release(row);
	free(projector);
	free(row);
	return failed;
}
