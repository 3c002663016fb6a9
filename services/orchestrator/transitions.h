/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a run, as a table of states:
 *   queued           sandbox ready with the ordered keys -> dispatched (fence raised); else ->
 * awaiting_grants awaiting_grants  POST :order -> queued; past the deadline -> failed
 * run.grants_unavailable dispatched       the agent reports -> running; sandbox gone or booted anew
 * -> awaiting_grants (fence raised) running          result -> succeeded or refused; sandbox gone
 * or booted anew -> awaiting_grants (fence raised) Anything not final: cancel -> cancelled. Each
 * step is idempotent and guarded by state and fence.
 */
#ifndef ORCHESTRATOR_TRANSITIONS_H
#define ORCHESTRATOR_TRANSITIONS_H

#include "lib/service.h"

/* Takes every due run one step; called at each ring of `run` and at the beat. */
int transitions_run(struct worker *worker, struct err *err);

#endif
