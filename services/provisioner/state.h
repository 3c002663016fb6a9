/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a sandbox as one table, state x event -> state; what is not in it cannot happen.
 *
 *   queued    admit -> creating, starting   the quotas have room (admission.c)
 *   creating  enrol -> ready   fail -> failed   stop, cancel -> stopping
 *   starting  as creating, for a later boot
 *   ready     start -> starting   die -> stopped   stop, idle -> stopping
 *   stopping  ended -> stopped
 *   stopped   start -> queued
 *   failed    start, retry -> queued   stop -> stopping
 *   deleting  ended -> deleted
 *   any but deleting, deleted: delete, expire -> deleting; queued: stop, cancel -> stopping
 *
 * `starting` is `creating` for a later boot. A start is a new boot: new claim, new secret, new
 * machine keys. A retry takes the failed boot's claim to a new one.
 */
#ifndef PROVISIONER_STATE_H
#define PROVISIONER_STATE_H

enum state_event {
	STATE_ADMIT,
	STATE_ENROL,
	STATE_FAIL,
	STATE_DIE,
	STATE_START,
	STATE_RETRY,
	STATE_STOP,
	STATE_CANCEL,
	STATE_IDLE,
	STATE_ENDED,
	STATE_DELETE,
	STATE_EXPIRE,
};

/* The state behind that event; NULL when it does not apply. `boot` tells creating from starting. */
const char *state_after(const char *state, enum state_event event, long long boot);

#endif
