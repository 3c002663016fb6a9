/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom plan: what `run` would do, and why; strongroom status: what was done. Both only read.
 */
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"
#include "client/project.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option plan_options[] = {
	{ "plan", "FILE", "instead of main.yml" },
	{ "from", "TASK", "as if with run --from" },
	{ "exit-code", NULL, "exit 3 when something would run" },
	{ NULL, NULL, NULL },
};

static const struct cli_option status_options[] = {
	{ "plan", "FILE", "instead of main.yml" },
	{ NULL, NULL, NULL },
};

/* The first task that this one depends on and that would run: then its own inputs are not known
 * yet. */
static const char *waits_for(const struct project *project, size_t at, const bool *runs)
{
	const struct task_kind *kind = project->plan.tasks[at].kind;

	for (size_t i = 0; i < at; i++) {
		const char *key = project->plan.tasks[i].kind->key;

		for (size_t k = 0; runs[i] && k < PLAN_MAX_DEPENDENCIES && kind->after[k].key;
			k++) {
			if (strcmp(kind->after[k].key, key) == 0)
				return key;
		}
	}
	return NULL;
}

struct verdict {
	enum state_verdict is;
	char why[STATE_WHY_SIZE];
};

static enum state_verdict judge(
	const struct project *project, size_t at, const bool *runs, char why[STATE_WHY_SIZE])
{
	const json_t *entry = state_task(&project->state, project->plan.tasks[at].kind->key);
	const char *first = waits_for(project, at, runs);
	auto_json json_t *fields = NULL, *inputs = NULL;
	struct err err = { 0 };

	if (first) {
		snprintf(why, STATE_WHY_SIZE, "follows %s", first);
		return entry ? STATE_CHANGED : STATE_RUN;
	}
	if (project_fields(project, at, &fields, &err) < 0 ||
		project_inputs(project, at, fields, &inputs, &err) < 0) {
		snprintf(why, STATE_WHY_SIZE, "%.*s", STATE_WHY_SIZE - 1, err.detail);
		return STATE_RUN;
	}
	return state_decide(entry, inputs, why);
}

static void show(
	const struct project *project, size_t at, enum state_verdict verdict, const char *why)
{
	static const char *const words[] = { [STATE_SKIP] = "skip",
		[STATE_RUN] = "run",
		[STATE_CHANGED] = "changed",
		[STATE_RESUME] = "resume" };
	const char *key = project->plan.tasks[at].kind->key;

	ui_result(project->ui,
		json_pack("{s:s,s:s,s:s}", "task", key, "verdict", words[verdict], "why", why),
		"%2zu  %-22s  %-8s %s", at + 1, key, words[verdict], why);
}

/* Judges each task; one that is written anew may demand another output key of a task before it, as
 * the run does. */
static void judge_all(const struct project *project, struct verdict *verdicts)
{
	bool runs[PLAN_MAX_TASKS] = { false };
	size_t key = PLAN_MAX_TASKS;

	for (size_t i = 0; i < project->plan.n_tasks; i++) {
		const char *name = project->plan.tasks[i].kind->key;

		verdicts[i].is = judge(project, i, runs, verdicts[i].why);
		runs[i] = verdicts[i].is != STATE_SKIP;
		if (strcmp(name, STATE_OUTPUT_KEY) == 0)
			key = i;
		if (strcmp(name, "prepare-policy") == 0 && key < i && !runs[key] &&
			project_renews_key(project, verdicts[i].is))
			verdicts[key] = (struct verdict) { STATE_RUN,
				"each run has a key of its own, and a run has had this one" };
	}
}

static bool show_all(const struct project *project)
{
	struct verdict verdicts[PLAN_MAX_TASKS];
	bool has_changes = false;

	judge_all(project, verdicts);
	for (size_t i = 0; i < project->plan.n_tasks; i++) {
		has_changes = has_changes || verdicts[i].is != STATE_SKIP;
		show(project, i, verdicts[i].is, verdicts[i].why);
	}
	return has_changes;
}

static int plan(const struct cli *cli, struct err *err)
{
	struct project_options given = { cli_value(cli, "plan"), cli->profile, false };
	const char *from = cli_value(cli, "from");
	struct project project;
	int result;

	if (project_open(&project, &given, cli->ui, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(project.plan.warnings); i++)
		ui_warn(cli->ui, "%s", json_string_value(json_array_get(project.plan.warnings, i)));
	result = from ? project_forget(&project, from, err) : 0;
	if (result == 0 && show_all(&project) && cli_switch(cli, "exit-code"))
		result = CLI_CHANGES;
	project_close(&project);
	return result;
}

static int status(const struct cli *cli, struct err *err)
{
	struct project_options given = { cli_value(cli, "plan"), cli->profile, false };
	struct project project;

	if (project_open(&project, &given, cli->ui, err) < 0)
		return -1;
	for (size_t i = 0; i < project.plan.n_tasks; i++) {
		const char *key = project.plan.tasks[i].kind->key;
		const json_t *entry = state_task(&project.state, key);
		const char *what = entry ? json_text(entry, "state") : "never ran";
		const char *when = entry ? json_text(entry, "ended_at") : NULL;

		ui_result(cli->ui,
			json_pack("{s:s,s:s,s:s*,s:s*}", "task", key, "state", what, "ended_at",
				when, "failure", json_text(entry, "failure")),
			"%-22s  %-9s  %s", key, what, when ? when : "");
	}
	project_close(&project);
	return CLI_OK;
}

const struct command command_plan = { "plan", "[--plan FILE] [--from TASK] [--exit-code]",
	"what run would do, task by task, and why", plan_options, 0, 0, plan };
const struct command command_status = { "status", "[--plan FILE]", "what was done", status_options,
	0, 0, status };
