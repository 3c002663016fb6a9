/* SPDX-License-Identifier: Apache-2.0 */
/* Who a policy names: nobody's key is approved, and nothing is wrapped under it, unless it is our
 * own or was pinned (peers.h). */
#ifndef STRONGROOM_CLIENT_PARTIES_H
#define STRONGROOM_CLIENT_PARTIES_H

#include "client/task.h"

/* Authors, approvers, runners, recipients, owners of slots. peer.unpinned. */
int parties_check(const struct task *task, const json_t *policy, struct err *err)
	__attribute__((warn_unused_result));

/* The same for a policy that others wrote; `own` is the key that will sign, `peers` the pinned
 * ones. */
int parties_check_keys(const json_t *policy, const char *own, const json_t *peers, struct err *err)
	__attribute__((warn_unused_result));

#endif
