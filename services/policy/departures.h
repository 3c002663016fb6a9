/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants that left a space, or were taken out of it, as certreg tells: what they shared there is
 * shared no more, and what they ordered there does not start. */
#ifndef POLICY_DEPARTURES_H
#define POLICY_DEPARTURES_H

#include <stdbool.h>

#include "lib/err.h"

struct worker;

/* Ends the shares in `space` of whoever left it; *ret_in: whether `tenant` is in it. */
int departures_settle(struct worker *worker, const char *space, const char *tenant, bool *ret_in,
	struct err *err) __attribute__((warn_unused_result));

/* A background loop: the same for all spaces that somebody shares with. */
int departures_follow(struct worker *worker, struct err *err);

#endif
