/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy's app may reach: egress, and the ports of its located datasets. */
#ifndef STRONGROOM_CLIENT_POLICY_REACH_H
#define STRONGROOM_CLIENT_POLICY_REACH_H

#include "client/task.h"

/* Adds egress and ports from the fields of prepare-policy, once inputs and outputs are there;
 * owners of outputs become recipients. */
int policy_add_reach(const struct task *task, json_t *document, struct err *err)
	__attribute__((warn_unused_result));

#endif
