/* SPDX-License-Identifier: Apache-2.0 */
/* The agents' channel: the work of a sandbox, what it reports, and how it ended. Plus certreg's
 * question about it. */
#ifndef ORCHESTRATOR_AGENT_H
#define ORCHESTRATOR_AGENT_H

#include "lib/web.h"

struct run;

web_handler agent_work;
web_handler agent_run;
web_handler agent_event;
web_handler agent_result;
web_handler sandbox_image;

/* The agent's run `id`, or run.not_found when the run is another sandbox's or another boot's. */
int agent_own_run(struct web_req *req, const char *id, struct run *ret_run, struct err *err);

#endif
