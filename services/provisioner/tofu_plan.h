/* SPDX-License-Identifier: Apache-2.0 */
/* What tofu may do: a plan (`show -json`) against what its template allows; and our code for what
 * it failed of. */
#ifndef PROVISIONER_TOFU_PLAN_H
#define PROVISIONER_TOFU_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "services/provisioner/tofu_stream.h"

struct json_t;

/* Only resources and data of these types (a JSON array of texts), at most 64 changes, no
 * provisioner, and with `is_end` nothing but deletions: tofu.plan_forbidden names the first that is
 * more. tofu.bad_plan: it is no plan of format 1.x. */
int tofu_plan_check(
	const char *text, size_t len, const struct json_t *types, bool is_end, struct err *err);

/* The code for a run of that step (init, plan, …) that failed: tofu.providers, tofu.state_locked,
 * tofu.plan_stale, tofu.state_not_saved, or tofu.<step>_failed. */
const char *tofu_code_of(const char *step, const struct tofu_stream *stream);
/* Whether the same again may go well. */
bool tofu_is_passing(const char *code);

#endif
