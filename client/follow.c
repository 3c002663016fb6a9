/* SPDX-License-Identifier: Apache-2.0 */
/* Long polls of a run, and the events between them. */
#include "client/follow.h"

#include <string.h>

#include "client/peers.h"
#include "lib/json.h"
#include "lib/mem.h"

static void show_event(struct ui *ui, const json_t *event)
{
	const char *type = json_text(event, "type"), *step = json_text(event, "step");
	const char *state = json_text(event, "state");
	const json_t *detail = json_object_get(event, "detail");
	auto_free char *text = json_is_string(detail) ? mem_strdup(json_string_value(detail))
			       : json_is_null(detail) || !detail ? NULL
								 : json_dumps(detail, JSON_COMPACT);

	if (ui->json)
		ui_object(ui, "event", json_pack("{s:O}", "event", event));
	else
		ui_note(ui, "run: %s%s%s %s%s%s", type ? type : "", step ? " " : "",
			step ? step : "", state ? state : "", text ? " " : "", text ? text : "");
}

/* Everything behind the last event that was shown. */
static int show_events(struct task *task, const char *run_id, struct err *err)
{
	const char *last = task_kept(task, "last-event");
	auto_free char *path = mem_printf(
		"/v1/runs/%s/events%s%s", run_id, last ? "?after=" : "", last ? last : "");
	struct api_call call = {
		.label = "events", .audience = "orchestrator", .method = "GET", .path = path
	};
	auto_json json_t *page = NULL;
	const json_t *event;
	size_t i;

	if (api_call(task->project->api, &call, &page, NULL, err) < 0)
		return -1;
	json_array_foreach (json_object_get(page, "items"), i, event) {
		json_t *id = json_object_get(event, "id");

		show_event(task->project->ui, event);
		if (json_is_integer(id))
			json_object_set_new(state_work(&task->project->state, task->key),
				"last-event",
				json_sprintf("%lld", (long long)json_integer_value(id)));
		else if (json_is_string(id))
			json_object_set(
				state_work(&task->project->state, task->key), "last-event", id);
	}
	return 0;
}

/* Whose grants the run waits for, by the names under which their keys are pinned. */
static int show_awaiting(struct task *task, const json_t *run, struct err *err)
{
	auto_json json_t *peers = NULL;
	json_t *item;
	size_t i;

	if (json_array_size(json_object_get(run, "awaiting")) == 0)
		return 0;
	if (peers_load(&task->project->profile, &peers, err) < 0)
		return -1;
	json_array_foreach (json_object_get(run, "awaiting"), i, item) {
		const char *owner = json_text(item, "owner");
		const json_t *peer = owner ? peers_of_key(peers, owner) : NULL;

		ui_note(task->project->ui, "waits for %s: strongroom release %s at %s",
			json_text(item, "slot"), json_text(run, "id"),
			peer ? json_text(peer, "name") : owner);
	}
	return 0;
}

bool follow_is_final(const char *state)
{
	static const char *const final[] = { "succeeded", "failed", "refused", "cancelled" };

	for (size_t i = 0; i < ARRAY_LEN(final); i++) {
		if (strcmp(state, final[i]) == 0)
			return true;
	}
	return false;
}

static int get_run(
	struct task *task, const char *run_id, const char *etag, json_t **ret_run, struct err *err)
{
	auto_free char *path = mem_printf("/v1/runs/%s%s", run_id, etag ? "?wait=30s" : "");
	struct api_call call = { .label = "get-run",
		.audience = "orchestrator",
		.method = "GET",
		.path = path,
		.etag = etag };

	return api_call(task->project->api, &call, ret_run, NULL, err);
}

int follow(struct task *task, const char *run_id, bool patient, enum follow_end *ret_end,
	json_t **ret_run, struct err *err)
{
	auto_json json_t *run = NULL;
	bool is_new = !patient;

	if (get_run(task, run_id, NULL, &run, err) < 0)
		return -1;
	for (;;) {
		const char *state = json_text(run, "state"), *id = json_text(run, "id");
		json_t *next = NULL;

		if (!state || !id || strcmp(id, run_id) != 0)
			return err_set(err, ERR_UPSTREAM, "upstream.answer",
				"the run has no state, or is another one");
		if (show_events(task, run_id, err) < 0 ||
			(is_new && show_awaiting(task, run, err) < 0))
			return -1;
		if (follow_is_final(state) || (!patient && strcmp(state, "awaiting_grants") == 0))
			break;
		if (get_run(task, run_id, json_text(run, "etag"), &next, err) < 0)
			return -1;
		patient = false;
		is_new = next;
		if (next) {
			json_decref(run);
			run = next;
		}
	}
	*ret_end = follow_is_final(json_text(run, "state")) ? FOLLOW_FINAL : FOLLOW_AWAITING;
	if (*ret_end == FOLLOW_FINAL)
		*ret_run = take_ptr(run);
	return 0;
}
