/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a projection from what a person writes. */
#ifndef STRONGROOM_CLIENT_PROJECTION_H
#define STRONGROOM_CLIENT_PROJECTION_H

#include <jansson.h>

#include "lib/err.h"

/* "A,B" as a list; when that is NULL or empty, all that the header of the CSV file `data` names.
 * projection.no_columns when there is no such file either. */
int projection_columns(
	const char *columns, const char *data, json_t **ret_columns, struct err *err);
/* filter "A=x&B>=3&C in u|v"; minimum a number; both may be NULL. projection.filter */
int projection_body(const char *name, json_t *columns, const char *filter, const char *minimum,
	json_t **ret_body, struct err *err);

#endif
