/* SPDX-License-Identifier: Apache-2.0 */
/* Watching a run: its events shown as they come, until it ends or waits for us. */
#ifndef STRONGROOM_CLIENT_FOLLOW_H
#define STRONGROOM_CLIENT_FOLLOW_H

#include "client/task.h"

enum follow_end { FOLLOW_FINAL, FOLLOW_AWAITING };

/* FOLLOW_AWAITING: the run is in awaiting_grants; with `patient` only when it still is after one
 * long poll. *ret_run is set (and freed before) for FOLLOW_FINAL. */
int follow(struct task *task, const char *run_id, bool patient, enum follow_end *ret_end,
	json_t **ret_run, struct err *err) __attribute__((warn_unused_result));
bool follow_is_final(const char *state); /* the run is over */

#endif
