/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A projection of a CSV (RFC 4180): chosen columns of the rows that pass a filter. Quoted fields,
 * doubled quotes and line ends within quotes are understood; what comes out is quoted where it must
 * be. Constant memory but for a row.
 */
#ifndef STRONGROOM_CLIENT_CSV_H
#define STRONGROOM_CLIENT_CSV_H

#include <jansson.h>
#include <stdio.h>

#include "lib/err.h"

typedef int csv_sink(void *arg, const void *data, size_t len, struct err *err);

struct csv_result {
	long long rows_in, rows_out; /* the header is no row */
};

/* The names in the first row. csv.syntax. */
int csv_header(FILE *in, json_t **ret_names, struct err *err) __attribute__((warn_unused_result));

/* `projection`: {columns:[names], filter:[{column,op,value}], minimum_rows}.
 * Two numbers are compared as numbers, everything else by bytes. csv.syntax, projection.no_column,
 * projection.filter, projection.too_few_rows (only then is it known that what the sink got must not
 * be used). */
int csv_project(FILE *in, const json_t *projection, csv_sink *sink, void *arg,
	struct csv_result *ret_result, struct err *err) __attribute__((warn_unused_result));

#endif
