/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a run, as a table of states:
 * - queued: sandbox ready with the ordered keys, all grants there, nothing taken back: its order is
 *   started at policy, then -> dispatched; something taken back -> refused; else -> awaiting_grants
 * - awaiting_grants: the last grant came, or POST :order -> queued; something taken back ->
 * refused; past the deadline -> failed, run.grants_unavailable
 * - dispatched: the agent reports -> running; sandbox gone or booted anew -> awaiting_grants
 * - running: result -> succeeded or refused; sandbox gone or booted anew -> awaiting_grants
 * Anything not final: cancel -> cancelled. Each step is idempotent and guarded by state and fence,
 * which is raised when a run is handed over or taken away.
 */
#ifndef ORCHESTRATOR_TRANSITIONS_H
#define ORCHESTRATOR_TRANSITIONS_H

#include "lib/service.h"

/* Takes every due run one step; called at each ring of `run` and at the beat. */
int transitions_run(struct worker *worker, struct err *err);
/* At each ring of `order`: whatever waits for grants is due. */
int transitions_wake(struct worker *worker, struct err *err);

#endif
