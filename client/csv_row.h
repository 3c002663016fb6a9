/* SPDX-License-Identifier: Apache-2.0 */
/* One row of a CSV at a time: reading and writing. */
#ifndef STRONGROOM_CLIENT_CSV_ROW_H
#define STRONGROOM_CLIENT_CSV_ROW_H

#include <stdio.h>

#include "lib/buf.h"
#include "lib/err.h"

#define CSV_MAX_COLUMNS 1024
#define CSV_MAX_ROW (16u * 1024u * 1024u)

struct csv_row {
	struct buf text; /* the fields, each with a NUL behind */
	size_t starts[CSV_MAX_COLUMNS];
	size_t n_fields;
	long long line; /* where it began, from 1 */
	long long next_line;
};

void csv_row_init(struct csv_row *row);
void csv_row_release(struct csv_row *row); /* wipes: it held data */
/* 1 and a row, 0 at the end, -1 csv.syntax. Empty lines are skipped, a byte order mark too. */
int csv_row_read(struct csv_row *row, FILE *in, struct err *err);
const char *csv_row_field(const struct csv_row *row, size_t at);
/* Adds the field to a line, quoted when it must be. */
int csv_field_write(struct buf *line, const char *field, struct err *err);

#endif
