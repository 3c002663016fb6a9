/* SPDX-License-Identifier: Apache-2.0 */
/* The policy of a project (proto/README.md 1.1), from the fields of prepare-policy and the results
 * before it. */
#ifndef STRONGROOM_CLIENT_POLICY_DOCUMENT_H
#define STRONGROOM_CLIENT_POLICY_DOCUMENT_H

#include "client/task.h"

/* `slots`: {slot: {commitment, mode, owner}} of our own; `offer`: what others add. offer.twice */
int policy_document(const struct task *task, json_t *slots, const json_t *offer,
	json_t **ret_document, struct err *err) __attribute__((warn_unused_result));

#endif
