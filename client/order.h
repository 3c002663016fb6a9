/* SPDX-License-Identifier: Apache-2.0 */
/* Orders and grants: a runner's word to run a policy once on the machine whose evidence was
 * verified here. */
#ifndef STRONGROOM_CLIENT_ORDER_H
#define STRONGROOM_CLIENT_ORDER_H

#include "client/task.h"
#include "proto/trust.h"

/* Makes sure of a sandbox (restarting it when its boot was used), then orders: a run nonce, a
 * signed order, one grant per slot of the policy, all stored at the policy service. `round` counts
 * the orders of one run from 1. Repeated with the same round it orders nothing twice. ret_order is
 * borrowed from the task's work. */
int order_place(struct task *task, const struct trust_policy *policy, long long round,
	const char **ret_order, struct err *err) __attribute__((warn_unused_result));

/* {"nonce","order","sig":JWK,"enc","boot","sandbox"} of a placed order, or NULL. */
const json_t *order_of(const struct task *task, long long round);

#endif
