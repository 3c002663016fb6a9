/* SPDX-License-Identifier: Apache-2.0 */
/* A habit of store*.c: a nullable text as a JSON member. */
#ifndef ORCHESTRATOR_STORE_ROWS_H
#define ORCHESTRATOR_STORE_ROWS_H

#include <jansson.h>

#include "lib/db.h"

static inline void store_set_text(json_t *record, const char *name, const struct db_rows *rows,
	size_t row, const char *column)
{
	json_object_set_new(record, name,
		db_is_null(rows, row, column) ? json_null()
					      : json_string(db_text(rows, row, column)));
}

#endif
