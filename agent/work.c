/* SPDX-License-Identifier: Apache-2.0 */
/* Polling, and the shape of the answers. */
#include "agent/work.h"

#include <string.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define POLL_TIMEOUT_MS 45000 /* the server waits up to 30 s */
#define HELD_TIMEOUT_MS 3000  /* the app and its clocks wait for the answer */
#define MAX_POLICY (1 << 20)

struct outer {
	json_t *run, *approvals, *order, *grants, *inputs, *constraints;
	const char *policy;
};

static const struct json_field outer_fields[] = {
	{ "run", JSON_FIELD_OBJECT, offsetof(struct outer, run), true, 0 },
	{ "policy", JSON_FIELD_TEXT, offsetof(struct outer, policy), true, MAX_POLICY },
	{ "approvals", JSON_FIELD_ARRAY, offsetof(struct outer, approvals), true, 0 },
	{ "order", JSON_FIELD_OBJECT, offsetof(struct outer, order), true, 0 },
	{ "grants", JSON_FIELD_ARRAY, offsetof(struct outer, grants), true, 0 },
	{ "inputs", JSON_FIELD_ARRAY, offsetof(struct outer, inputs), true, 0 },
	{ "constraints", JSON_FIELD_ARRAY, offsetof(struct outer, constraints), false, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static const struct json_field run_fields[] = {
	{ "id", JSON_FIELD_TEXT, offsetof(struct work, run), true, ID_SIZE },
	{ "fence", JSON_FIELD_COUNT, offsetof(struct work, fence), true, 0 },
	{ "pipeline", JSON_FIELD_TEXT, offsetof(struct work, pipeline), true, ID_SIZE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int work_decode(struct arena *arena, json_t *json, struct work *ret_work, struct err *err)
{
	struct outer outer = { 0 };
	struct work work = { 0 };

	if (json_decode(arena, json, outer_fields, &outer, err) < 0 ||
		json_decode(arena, outer.run, run_fields, &work, err) < 0)
		return -1;
	if (!id_is(work.run, "run"))
		return err_set(err, ERR_UPSTREAM, "upstream.protocol", "the work names no run");
	work.policy = outer.policy;
	work.approvals = outer.approvals;
	work.order = outer.order;
	work.grants = outer.grants;
	work.inputs = outer.inputs;
	work.constraints = outer.constraints;
	*ret_work = work;
	return 0;
}

int work_identify(const json_t *json, struct work *ret_work)
{
	const json_t *run = json_object_get(json, "run"), *fence = json_object_get(run, "fence");
	const char *id = json_text(run, "id");

	if (!id || !id_is(id, "run") || !json_is_integer(fence))
		return -1;
	*ret_work = (struct work) { .run = id, .fence = json_integer_value(fence) };
	return 0;
}

int work_poll(struct api *api, json_t **ret_json, struct err *err)
{
	const struct fetch_request req = { .method = "GET",
		.url = "/v1/agent/work?wait=30s",
		.timeout_ms = POLL_TIMEOUT_MS,
		.max_response = JSON_MAX_SIZE };

	return api_try(api, &req, NULL, ret_json, NULL, err);
}

int work_held(struct api *api, const struct work *work, struct err *err)
{
	auto_free char *path = mem_printf("/v1/agent/runs/%s", work->run);
	const struct fetch_request req = {
		.method = "GET", .url = path, .timeout_ms = HELD_TIMEOUT_MS
	};
	auto_json json_t *run = NULL;

	if (api_try(api, &req, NULL, &run, NULL, err) < 0)
		return -1;
	if (json_integer_value(json_object_get(run, "fence")) != work->fence)
		return err_set(err, ERR_CONFLICT, "run.stale_fence",
			"the run was cancelled or taken away");
	return 0;
}

bool work_is_lost(const struct err *err)
{
	return strcmp(err->code, "run.stale_fence") == 0 || strcmp(err->code, "run.not_found") == 0;
}
