/* SPDX-License-Identifier: Apache-2.0 */
/* Names of pipelines, datasets and projections: [a-z0-9][a-z0-9-]{0,62}. */
#ifndef POLICY_NAME_H
#define POLICY_NAME_H

#include "lib/err.h"

/* json.invalid_fields with `pointer` when it is not one. */
int name_check(const char *name, const char *pointer, struct err *err);

#endif
