/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a projection from what a person writes. */
#ifndef STRONGROOM_CLIENT_PROJECTION_H
#define STRONGROOM_CLIENT_PROJECTION_H

#include <jansson.h>

#include "lib/err.h"

/* columns "A,B"; filter "A=x&B>=3&C in u|v"; minimum a number; all but the name may be NULL.
 * projection.filter */
int projection_body(const char *name, const char *columns, const char *filter, const char *minimum,
	json_t **ret_body, struct err *err);

#endif
