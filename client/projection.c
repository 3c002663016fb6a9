/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing of column lists and row filters. */
#include "client/projection.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/csv.h"
#include "lib/mem.h"

static json_t *split(const char *text, char between)
{
	const char separator[2] = { between, '\0' };
	json_t *list = json_array();

	while (text && *text) {
		size_t len = strcspn(text, separator);

		json_array_append_new(list, json_stringn(text, len));
		text += len + (text[len] != '\0');
	}
	return list;
}

/* The first operator in the rule, longest first. */
static const char *find_operator(const char *rule, const char **ret_op)
{
	static const char *const ops[] = { " in ", "!=", "<=", ">=", "=", "<", ">" };
	const char *first = NULL;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		const char *at = strstr(rule, ops[i]);

		if (at && (!first || at < first)) {
			first = at;
			*ret_op = ops[i];
		}
	}
	return first;
}

static int add_rule(json_t *filter, const char *rule, struct err *err)
{
	const char *op = NULL, *at = find_operator(rule, &op);
	json_t *value;
	bool is_in;

	if (!op || at == rule)
		return err_set(err, ERR_INVALID, "projection.filter",
			"'%s' is no rule: column op value", rule);
	is_in = *op == ' ';
	value = is_in ? split(at + strlen(op), '|') : json_string(at + strlen(op));
	json_array_append_new(filter, json_pack("{s:s#,s:s,s:o}", "column", rule, (int)(at - rule),
					      "op", is_in ? "in" : op, "value", value));
	return 0;
}

int projection_columns(const char *columns, const char *data, json_t **ret_columns, struct err *err)
{
	auto_file FILE *in = NULL;

	if (columns && *columns) {
		*ret_columns = split(columns, ',');
		return 0;
	}
	if (!data || !*data)
		return err_set(err, ERR_INVALID, "projection.no_columns",
			"name the columns, or the data file whose columns it shall have");
	in = fopen(data, "re");
	if (!in)
		return err_errno(err, "open '%s'", data);
	return csv_header(in, ret_columns, err) < 0 ? err_wrap(err, "'%s'", data) : 0;
}

int projection_body(const char *name, json_t *columns, const char *filter, const char *minimum,
	json_t **ret_body, struct err *err)
{
	json_t *rules = split(filter, '&'), *parsed = json_array(), *rule;
	long long rows = minimum ? strtoll(minimum, NULL, 10) : 0;
	int result = 0;
	size_t i;

	json_array_foreach (rules, i, rule) {
		if (result == 0)
			result = add_rule(parsed, json_string_value(rule), err);
	}
	json_decref(rules);
	if (result < 0) {
		json_decref(parsed);
		return -1;
	}
	*ret_body = json_pack("{s:s,s:O,s:o,s:I}", "name", name, "columns", columns, "filter",
		parsed, "minimum_rows", rows);
	return 0;
}
