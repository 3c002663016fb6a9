/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's signed word on what it ran, on what, under whose policy, with what result. */
#ifndef STRONGROOM_AGENT_RECEIPT_H
#define STRONGROOM_AGENT_RECEIPT_H

#include "agent/job.h"

int receipt_make(const struct job *job, json_t **ret_receipt, struct err *err)
	__attribute__((warn_unused_result));

#endif
