/* SPDX-License-Identifier: Apache-2.0 */
/* What the orchestrator hands out: one run with the papers that justify it, all unverified. */
#ifndef STRONGROOM_AGENT_WORK_H
#define STRONGROOM_AGENT_WORK_H

#include <jansson.h>
#include <stdbool.h>

#include "agent/api.h"
#include "lib/arena.h"
#include "lib/err.h"

struct work {
	const char *run, *pipeline, *policy; /* policy: the text as it came */
	long long fence;
	json_t *approvals, *order, *grants, *inputs, *constraints;
};

/* Fills `ret_work` from `json`, which must outlive it. json.invalid_fields */
int work_decode(struct arena *arena, json_t *json, struct work *ret_work, struct err *err);
/* Of work that work_decode() refuses: run and fence only, which is what a refusal takes. */
int work_identify(const json_t *json, struct work *ret_work);
/* Waits for at most half a minute; *ret_json stays NULL when there is nothing to do. */
int work_poll(struct api *api, json_t **ret_json, struct err *err);
/* Whether the run is still this boot's. A run that was cancelled or taken away: run.stale_fence,
 * run.not_found (work_is_lost()); anything else is no answer to the question. */
int work_held(struct api *api, const struct work *work, struct err *err);
bool work_is_lost(const struct err *err);

#endif
