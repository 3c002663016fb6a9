/* SPDX-License-Identifier: Apache-2.0 */
/* Asking after, and cancelling, the run of last_run.h. */
#include "client/last_run.h"

#include <string.h>

#include "client/follow.h"
#include "lib/json.h"
#include "lib/mem.h"

int last_run_keep(struct project *project, const char *run_id, struct err *err)
{
	const char *known = json_text(project->state.doc, "run");

	if (known && strcmp(known, run_id) == 0)
		return 0;
	json_object_set_new(project->state.doc, "run", json_string(run_id));
	return state_save(&project->state, "last-run", err);
}

static int cancel(struct project *project, const char *id, struct err *err)
{
	auto_free char *path = mem_printf("/v1/runs/%s:cancel", id);
	const struct api_call call = {
		.label = "cancel-run", .audience = "orchestrator", .method = "POST", .path = path
	};

	if (api_call(project->api, &call, NULL, NULL, err) < 0)
		return -1;
	ui_note(project->ui, "run %s is cancelled", id);
	return 0;
}

int last_run_end(struct project *project, struct err *err)
{
	const char *id = json_text(project->state.doc, "run"), *state;
	auto_free char *path = mem_printf("/v1/runs/%s", id ? id : "");
	const struct api_call call = {
		.label = "last-run", .audience = "orchestrator", .method = "GET", .path = path
	};
	auto_json json_t *run = NULL;
	struct err reason = { 0 };

	if (!id)
		return 0;
	if (api_call(project->api, &call, &run, NULL, &reason) < 0) {
		if (reason.kind == ERR_NOT_FOUND)
			return 0;
		*err = reason;
		return -1;
	}
	state = json_text(run, "state");
	if (!state || follow_is_final(state))
		return 0;
	if (project->cancel_old)
		return cancel(project, id, err);
	return err_set(err, ERR_CONFLICT, "run.alive", "run %s of this project is %s", id, state);
}
