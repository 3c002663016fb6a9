/* SPDX-License-Identifier: Apache-2.0 */
/* Projections: named selections of a dataset (columns, row filter, minimum rows). The data owner's
 * client applies them. */
#ifndef POLICY_PROJECTIONS_H
#define POLICY_PROJECTIONS_H

#include "services/policy/record.h"

extern const struct record_kind projection_kind;

/* Each entry {column, op, value}: op one of = != < <= > >= in, value a text (a list of texts with
 * in). projection.bad_filter. */
int projection_filter_check(const json_t *filter, struct err *err);
/* Non-empty list of distinct texts: projection.bad_columns. */
int projection_columns_check(const json_t *columns, struct err *err);

#endif
