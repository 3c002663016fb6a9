/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom run: the plan, task by task, from where it stopped. */
#include <string.h>

#include "client/cli.h"
#include "client/project.h"
#include "lib/json.h"

static const struct cli_option options[] = {
	{ "plan", "FILE", "instead of main.yml" },
	{ "until", "TASK", "stop behind this task" },
	{ "from", "TASK", "do this task and those behind it again" },
	{ NULL, NULL, NULL },
};

/* Forgets the task and what follows; a run that is ordered again needs an output key of its own. */
static int forget_from(struct project *project, const char *key, struct err *err)
{
	bool is_behind = false;

	if (!plan_kind(key))
		return err_set(err, ERR_INVALID, "usage.option", "'%s' is no task", key);
	for (size_t i = 0; i < project->plan.n_tasks; i++) {
		const char *task = project->plan.tasks[i].kind->key;

		is_behind = is_behind || strcmp(task, key) == 0;
		if (is_behind)
			state_forget(&project->state, task);
		if (is_behind && strcmp(task, "execute-policy") == 0)
			state_spend(&project->state, "output-encrypt-bundle",
				"another run was asked for");
	}
	return state_save(&project->state, "from", err);
}

static void show_result(struct project *project)
{
	const json_t *result = state_outputs(&project->state, "decrypt-output");

	if (result)
		ui_result(project->ui, json_deep_copy(result), "%s", json_text(result, "path"));
}

static int run(const struct cli *cli, struct err *err)
{
	struct project_options given = { cli_value(cli, "plan"), cli->profile, true };
	const char *from = cli_value(cli, "from");
	struct project project;
	int result = 0;

	if (project_open(&project, &given, cli->ui, err) < 0)
		return -1;
	if (from)
		result = forget_from(&project, from, err);
	if (result == 0)
		result = project_run(&project, NULL, cli_value(cli, "until"), err);
	if (result == 0)
		show_result(&project);
	project_close(&project);
	return result;
}

const struct command command_run = { "run", "[--plan FILE] [--until TASK] [--from TASK]",
	"do the plan; interrupted and started again it goes on", options, 0, 0, run };
