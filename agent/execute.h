/* SPDX-License-Identifier: Apache-2.0 */
/* Step execute: the policy's process in the cage, under the policy's limits. */
#ifndef STRONGROOM_AGENT_EXECUTE_H
#define STRONGROOM_AGENT_EXECUTE_H

#include "agent/job.h"

/* Fills job->result, whatever the app did. -1 only when it could not be started: jail.*. */
int execute_app(struct job *job, struct err *err) __attribute__((warn_unused_result));

#endif
