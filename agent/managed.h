/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Egress of the mode `managed`: the app has no network, the agent fetches and stores for it. Inputs
 * are fetched whole before the app starts, over TLS that the policy's roots (or the guest's bundle)
 * vouch for, and held against the policy's digest; to the app they are GET /<port>/<name> on
 * 127.0.0.1:9093, as often as it likes, always the same bytes. What it PUTs there for an output
 * goes to that output's location at once. Query strings of the app are placeholders and dropped.
 */
#ifndef STRONGROOM_AGENT_MANAGED_H
#define STRONGROOM_AGENT_MANAGED_H

#include <jansson.h>

#include "agent/egress.h"
#include "agent/job.h"

struct managed;

/* Fetches the inputs that have a location, and takes what it needs of the job's credentials.
 * input.digest, egress.*, agent.storage. */
int managed_new(struct job *job, struct egress *egress, struct managed **ret_managed,
	struct err *err) __attribute__((warn_unused_result));
/* Wipes the query strings. NULL is fine. */
void managed_free(struct managed *managed);

/* Serves the app on the listening socket, which is taken over, until managed_stop(). */
int managed_serve(struct managed *managed, int listener, struct err *err)
	__attribute__((warn_unused_result));
void managed_stop(struct managed *managed);

/* For the receipt: digest of what was fetched from, or last stored at, the location of that slot;
 * NULL: nothing was. */
const char *managed_digest(const struct managed *managed, const char *slot);

#endif
