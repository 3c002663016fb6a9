/* SPDX-License-Identifier: Apache-2.0 */
/* Orders and their grants: checked as far as a server can without a key, stored whole, handed to
 * the orchestrator. */
#ifndef POLICY_ORDERS_H
#define POLICY_ORDERS_H

#include "lib/web.h"

struct arena;
struct order_row;

web_handler order_create, order_show;
web_handler order_release, order_withdraw; /* grants of a slot's owner: in, and taken back */
web_handler order_internal, order_start;   /* for the orchestrator */

/* {"code","detail"} of what was taken back or is no longer good, or NULL: the run may not start. */
json_t *order_blocked(struct arena *arena, const struct order_row *row, const json_t *approvals);

#endif
