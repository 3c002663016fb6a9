/* SPDX-License-Identifier: Apache-2.0 */
/* The run that the project made last; its id is in the state under "run", also when the task that
 * made it is done anew. */
#ifndef STRONGROOM_CLIENT_LAST_RUN_H
#define STRONGROOM_CLIENT_LAST_RUN_H

#include "client/project.h"

int last_run_keep(struct project *project, const char *run_id, struct err *err)
	__attribute__((warn_unused_result));
/* Before another takes its sandbox: it is over, or with project->cancel_old cancelled here, or
 * run.alive. */
int last_run_end(struct project *project, struct err *err) __attribute__((warn_unused_result));

#endif
