/* SPDX-License-Identifier: Apache-2.0 */
/* Orders and their grants: checked as far as a server can without a key, stored whole, handed to
 * the orchestrator. */
#ifndef POLICY_ORDERS_H
#define POLICY_ORDERS_H

#include "lib/web.h"

web_handler order_create;
web_handler order_internal; /* for the orchestrator */

#endif
