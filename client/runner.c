/* SPDX-License-Identifier: Apache-2.0 */
/* Going through the plan: decide, run, checkpoint, register. */
#include <stdlib.h>
#include <string.h>

#include "client/last_run.h"
#include "client/task.h"
#include "lib/crash.h"
#include "lib/json.h"
#include "lib/mem.h"

static int finish(struct task *task, struct err *err)
{
	struct project *project = task->project;
	const char *variable = task->plan->variable;

	crash_point("done", task->key);
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

	if (task_owner_check(&task, err) == 0 && task_find_space(&task, err) == 0 &&
		plan->kind->run(&task, err) == 0)
		return finish(&task, err);
	ui_task(project->ui, task.key, "failed", err->code);
	state_fail(&project->state, task.key, err->code, &ignored);
	return -1;
}

/* What is to be done about a task now; the caller owns fields and inputs. */
static int decide(struct project *project, size_t at, json_t **ret_fields, json_t **ret_inputs,
	enum state_verdict *ret_verdict, char why[STATE_WHY_SIZE], struct err *err)
{
	const json_t *entry = state_task(&project->state, project->plan.tasks[at].kind->key);

	if (project_fields(project, at, ret_fields, err) < 0 ||
		project_inputs(project, at, *ret_fields, ret_inputs, err) < 0)
		return -1;
	*ret_verdict = state_decide(entry, *ret_inputs, why);
	return 0;
}

/* Only what the state says to be done in the same way is skipped. */
static int visit(struct project *project, size_t at, struct err *err)
{
	const struct plan_task *plan = &project->plan.tasks[at];
	const char *key = plan->kind->key;
	auto_json json_t *fields = NULL, *inputs = NULL;
	char why[STATE_WHY_SIZE];
	enum state_verdict verdict;

	if (decide(project, at, &fields, &inputs, &verdict, why, err) < 0)
		return -1;
	if (verdict == STATE_SKIP) {
		ui_task(project->ui, key, "skip", why);
		return 0;
	}
	if (verdict != STATE_RESUME && strcmp(key, "execute-policy") == 0 &&
		last_run_end(project, err) < 0)
		return -1;
	ui_task(project->ui, key, verdict == STATE_RESUME ? "resume" : "start", why);
	if (state_begin(&project->state, key, inputs, verdict == STATE_RESUME, err) < 0 ||
		run_task(project, plan, fields, err) < 0)
		return -1;
	ui_task(project->ui, key, "done", NULL);
	return 0;
}

int project_forget(struct project *project, const char *key, struct err *err)
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
			state_spend(&project->state, STATE_OUTPUT_KEY, "another run was asked for");
	}
	return 0;
}

bool project_renews_key(const struct project *project, enum state_verdict policy)
{
	return (policy == STATE_RUN || policy == STATE_CHANGED) &&
	       state_is_used(&project->state, STATE_OUTPUT_KEY);
}

/* An output key is for one run: a policy that is written anew gets another when a run has had it.
 */
static int renew_output_key(struct project *project, size_t at, struct err *err)
{
	const struct plan *plan = &project->plan;
	auto_json json_t *fields = NULL, *inputs = NULL;
	char why[STATE_WHY_SIZE];
	enum state_verdict verdict;

	if (strcmp(plan->tasks[at].kind->key, "prepare-policy") != 0)
		return 0;
	if (decide(project, at, &fields, &inputs, &verdict, why, err) < 0)
		return -1;
	if (!project_renews_key(project, verdict))
		return 0;
	state_spend(&project->state, STATE_OUTPUT_KEY, "a run has had its key");
	for (size_t i = 0; i < at; i++) {
		if (strcmp(plan->tasks[i].kind->key, STATE_OUTPUT_KEY) == 0)
			return visit(project, i, err);
	}
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
		if (is_behind &&
			(renew_output_key(project, i, err) < 0 || visit(project, i, err) < 0))
			return -1;
		if (until && strcmp(key, until) == 0)
			break;
	}
	crash_point("end", "run");
	return 0;
}
