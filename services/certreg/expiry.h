/* SPDX-License-Identifier: Apache-2.0 */
/* Warnings before certificates end: as an audit record and in the log once at 30, 14, 7 and 1 days
 * for each, and as gauges over all tenants that name none of them. */
#ifndef CERTREG_EXPIRY_H
#define CERTREG_EXPIRY_H

#include "lib/err.h"

struct worker;

void expiry_register(void); /* the gauges; once */
int expiry_watch(struct worker *worker, struct err *err);

#endif
