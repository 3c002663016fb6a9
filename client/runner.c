/* SPDX-License-Identifier: Apache-2.0 */
/* Going through the plan: decide, run, checkpoint, register. */
#include <stdlib.h>
#include <string.h>

#include "client/project.h"
#include "client/task.h"
#include "lib/json.h"
#include "lib/mem.h"

static int finish(struct task *task, struct err *err)
{
	struct project *project = task->project;
	const char *variable = task->plan->variable;

	if (variable && register_set(project->reg, variable, task->outputs, err) < 0)
		return -1;
	return state_finish(&project->state, task->key, task->outputs, task->made, err);
}

static int run_task(
	struct project *project, const struct plan_task *plan, json_t *fields, struct err *err)
{
	auto_json json_t *outputs = json_object(), *made = json_object();
	struct task task = { project, plan, plan->kind->key, fields, outputs, made };
	struct err ignored = { 0 };

	if (task_owner_check(&task, err) == 0 && plan->kind->run(&task, err) == 0)
		return finish(&task, err);
	ui_task(project->ui, task.key, "failed", err->code);
	state_fail(&project->state, task.key, err->code, &ignored);
	return -1;
}

/* Only what the state says to be done in the same way is skipped. */
static int visit(struct project *project, size_t at, struct err *err)
{
	const struct plan_task *plan = &project->plan.tasks[at];
	const char *key = plan->kind->key;
	auto_json json_t *fields = NULL, *inputs = NULL;
	char why[STATE_WHY_SIZE];
	enum state_verdict verdict;

	if (project_fields(project, at, &fields, err) < 0 ||
		project_inputs(project, at, fields, &inputs, err) < 0)
		return -1;
	verdict = state_decide(state_task(&project->state, key), inputs, why);
	if (verdict == STATE_SKIP) {
		ui_task(project->ui, key, "skip", why);
		return 0;
	}
	ui_task(project->ui, key, verdict == STATE_RESUME ? "resume" : "start", why);
	if (state_begin(&project->state, key, inputs, verdict == STATE_RESUME, err) < 0 ||
		run_task(project, plan, fields, err) < 0)
		return -1;
	ui_task(project->ui, key, "done", NULL);
	return 0;
}

static void show_warnings(struct project *project)
{
	const json_t *text;
	size_t i;

	json_array_foreach (project->plan.warnings, i, text)
		ui_warn(project->ui, "%s", json_string_value(text));
}

int project_run(struct project *project, const char *first, const char *until, struct err *err)
{
	bool is_behind = !first;

	if (until && !plan_kind(until))
		return err_set(err, ERR_INVALID, "usage.option", "'%s' is no task", until);
	show_warnings(project);
	for (size_t i = 0; i < project->plan.n_tasks; i++) {
		const char *key = project->plan.tasks[i].kind->key;

		is_behind = is_behind || strcmp(key, first) == 0;
		if (is_behind && visit(project, i, err) < 0)
			return -1;
		if (until && strcmp(key, until) == 0)
			break;
	}
	return 0;
}
