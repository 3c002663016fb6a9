/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent demands before it opens anything. The papers come through the operator of the
 * middleware, so nothing counts but signatures by keys that the policy names, its hash, and what
 * this boot knows by itself.
 */
#ifndef STRONGROOM_AGENT_VERIFY_H
#define STRONGROOM_AGENT_VERIFY_H

#include <jansson.h>

#include "agent/machine.h"
#include "agent/work.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "proto/trust.h"

/* What this boot has bound itself to; lives as long as the boot. */
struct verify {
	const struct machine *machine;
	const char *measurement;       /* digest of the agent's own executable */
	char policy[DIGEST_TEXT_SIZE]; /* "" until the first valid order */
	json_t *nonces;		       /* {run nonce: true} of every order accepted */
};

void verify_init(struct verify *verify, const struct machine *machine, const char *measurement);
void verify_release(struct verify *verify);

/* `now` in Unix seconds. On success the policy is latched and the run nonce spent. Each refusal has
 * the code of its check: agent.other_policy, claim.wrong_policy, policy.wrong_template,
 * policy.expired, policy.unsupported, evidence.class_too_low, constraint.*, approval.*, order.*,
 * order.replayed, measurement.mismatch. */
int verify_work(struct verify *verify, struct arena *arena, const struct work *work, long long now,
	struct trust_policy *ret_policy, struct trust_order *ret_order, struct err *err)
	__attribute__((warn_unused_result));

#endif
