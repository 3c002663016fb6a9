/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a fresh boot to a sandbox that is somebody's: the claim is fetched and latched, the machine
 * keys are made, their evidence is registered. The enrolment secret pays for it once.
 */
#ifndef STRONGROOM_AGENT_ENROL_H
#define STRONGROOM_AGENT_ENROL_H

#include "agent/edge.h"
#include "agent/machine.h"
#include "agent/run.h"
#include "lib/err.h"

/* The secret in `boot` is wiped whatever happens. enrolment.denied, enrolment.other_keys, … */
int enrol_sandbox(
	struct edge *edge, struct agent_boot *boot, struct machine *ret_machine, struct err *err);

#endif
