/* SPDX-License-Identifier: Apache-2.0 */
/* What the orchestrator is told of a job: its steps, and its end, once each however often sent. */
#ifndef STRONGROOM_AGENT_REPORT_H
#define STRONGROOM_AGENT_REPORT_H

#include "agent/job.h"

/* `state` is started, done or failed; `detail` may be NULL. run.stale_fence: the run is not ours.
 */
int report_step(struct job *job, const char *step, const char *state, const char *detail,
	struct err *err) __attribute__((warn_unused_result));
int report_result(struct job *job, struct err *err) __attribute__((warn_unused_result));
int report_refusal(struct job *job, const struct err *refusal, struct err *err)
	__attribute__((warn_unused_result));

#endif
