/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom run: the plan, task by task, from where it stopped. run list|show|cancel: runs as the
 * server has them. */
#include <string.h>

#include "client/last_run.h"
#include "client/session.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "plan", "FILE", "instead of main.yml" },
	{ "until", "TASK", "stop behind this task" },
	{ "from", "TASK", "do this task and those behind it again" },
	{ "cancel-old", NULL, "cancel the run that this project has, if it is not over" },
	{ NULL, NULL, NULL },
};

/* A run that is not over would be lost with what is forgotten: so it is asked after before. */
static int forget_from(struct project *project, const char *key, struct err *err)
{
	if (project_forget(project, key, err) < 0 ||
		(!state_task(&project->state, "execute-policy") && last_run_end(project, err) < 0))
		return -1;
	return state_save(&project->state, "from", err);
}

static void show_result(struct project *project)
{
	const json_t *result = state_outputs(&project->state, "decrypt-output");

	if (result)
		ui_result(project->ui, json_deep_copy(result), "%s", json_text(result, "path"));
}

static int run_plan(const struct cli *cli, struct err *err)
{
	struct project_options given = { cli_value(cli, "plan"), cli->profile, true };
	const char *from = cli_value(cli, "from");
	struct project project;
	int result = 0;

	if (project_open(&project, &given, cli->ui, err) < 0)
		return -1;
	project.cancel_old = cli_switch(cli, "cancel-old");
	if (from)
		result = forget_from(&project, from, err);
	if (result == 0)
		result = project_run(&project, NULL, cli_value(cli, "until"), err);
	if (result == 0)
		show_result(&project);
	project_close(&project);
	return result;
}

static int act(struct session *session, const struct cli *cli, const char *verb, struct err *err)
{
	static const char *const members[] = { "id", "state", "sandbox", "created_at", NULL };
	auto_free char *path =
		mem_printf("/v1/runs/%s%s", cli->n_arguments > 1 ? cli->arguments[1] : "",
			strcmp(verb, "cancel") == 0 ? ":cancel" : "");
	auto_json json_t *run = NULL;

	if (strcmp(verb, "list") == 0)
		return session_list(session, cli, "orchestrator", "/v1/runs", members, err);
	if (strcmp(verb, "show") == 0)
		return session_show(session, cli, "orchestrator", path, err);
	if (session_post(session, "orchestrator", path, NULL, &run, err) < 0)
		return -1;
	ui_result(cli->ui,
		json_pack("{s:s,s:O}", "id", cli->arguments[1], "state",
			json_object_get(run, "state")),
		"%s %s", cli->arguments[1], json_text(run, "state"));
	return 0;
}

static int run(const struct cli *cli, struct err *err)
{
	const char *verb = cli->n_arguments ? cli->arguments[0] : NULL;
	struct session session;
	int result;

	if (!verb)
		return run_plan(cli, err);
	if (strcmp(verb, "list") != 0 && strcmp(verb, "show") != 0 && strcmp(verb, "cancel") != 0)
		return err_set(err, ERR_INVALID, "usage.arguments", "no 'run %s'", verb);
	if (strcmp(verb, "list") != 0 && cli->n_arguments < 2)
		return err_set(err, ERR_INVALID, "usage.arguments", "which run? (run_…)");
	if (session_open(&session, cli, err) < 0)
		return -1;
	result = act(&session, cli, verb, err);
	session_close(&session);
	return result;
}

const struct command command_run = { "run",
	"[--plan FILE] [--until TASK] [--from TASK] [--cancel-old] | list | show RUN | cancel RUN",
	"do the plan; interrupted and started again it goes on", options, 0, 2, run };
