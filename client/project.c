/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a project, and what a task depends on: its resolved fields, the files they name, earlier
 * results. */
#include "client/project.h"

#include <string.h>

#include "client/files.h"
#include "lib/digest.h"
#include "lib/json.h"
#include "lib/mem.h"

int project_open(struct project *ret_project, const struct project_options *options, struct ui *ui,
	struct err *err)
{
	struct project project = { .ui = ui, .state = { .lock_fd = -1 } };
	const char *path = options->plan_path ? options->plan_path : "main.yml";

	if (profile_load(options->profile, &project.profile, err) < 0 ||
		register_load(&project.reg, err) < 0 ||
		plan_read(path, project.reg, &project.plan, err) < 0 ||
		state_open(&project.state, options->write, err) < 0) {
		project_close(&project);
		return -1;
	}
	*ret_project = project;
	ret_project->api = api_new(&ret_project->profile);
	return 0;
}

void project_close(struct project *project)
{
	api_free(project->api);
	state_close(&project->state);
	plan_release(&project->plan);
	json_decref(project->reg);
	profile_release(&project->profile);
}

struct lookup {
	const struct project *project;
	size_t at;
};

/* The nearest earlier task that registers the variable, then .register for what no task of the plan
 * makes. */
static const json_t *lookup_variable(void *arg, const char *variable)
{
	const struct lookup *lookup = arg;
	const struct plan *plan = &lookup->project->plan;

	for (size_t i = lookup->at; i-- > 0;) {
		if (plan->tasks[i].variable && strcmp(plan->tasks[i].variable, variable) == 0)
			return state_outputs(&lookup->project->state, plan->tasks[i].kind->key);
	}
	return json_object_get(lookup->project->reg, variable);
}

static void fill_fallbacks(const struct task_kind *kind, json_t *fields)
{
	for (const struct task_field *field = kind->fields; field->name; field++) {
		if (field->fallback && !json_object_get(fields, field->name))
			json_object_set_new(fields, field->name, json_string(field->fallback));
	}
}

int project_fields(const struct project *project, size_t at, json_t **ret_fields, struct err *err)
{
	const struct plan_task *task = &project->plan.tasks[at];
	struct lookup lookup = { project, at };
	auto_json json_t *fields = json_object();

	for (size_t i = 0; i < task->n_values; i++) {
		auto_free char *text = NULL;

		if (plan_resolve(task->values[i].text, lookup_variable, &lookup, &text, err) < 0)
			return err_wrap(err, "line %u, '%s' of %s", task->values[i].line,
				task->values[i].path, task->kind->key);
		json_object_set_new(fields, task->values[i].path, json_string(text));
	}
	fill_fallbacks(task->kind, fields);
	*ret_fields = take_ptr(fields);
	return 0;
}

static void add_text(json_t *inputs, const char *kind, const char *name, const char *text)
{
	auto_free char *input = mem_printf("%s %s", kind, name);
	char digest[DIGEST_TEXT_SIZE];

	digest_text(text, strlen(text), digest);
	json_object_set_new(inputs, input, json_string(digest));
}

static int add_path(json_t *inputs, const char *path, struct err *err)
{
	auto_free char *input = mem_printf("file %s", path);
	char digest[DIGEST_TEXT_SIZE];

	if (files_tree_digest(path, digest, err) < 0)
		return -1;
	json_object_set_new(inputs, input, json_string(digest));
	return 0;
}

/* Whether the contents count: a given archive takes the place of app_dir; a local code base is a
 * folder. */
static bool is_path(const struct task_field *field, const json_t *fields)
{
	const char *mode = json_text(fields, "mode");

	if (strcmp(field->name, "app_dir") == 0)
		return !json_object_get(fields, "archive");
	if (strcmp(field->name, "url") == 0)
		return mode && strcmp(mode, "local") == 0;
	return field->input == FIELD_PATH;
}

static int add_fields(
	const struct task_kind *kind, const json_t *fields, json_t *inputs, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)fields, name, value) {
		const struct task_field *field = plan_field(kind, name);

		add_text(inputs, "field", name, json_string_value(value));
		if (field && is_path(field, fields) &&
			add_path(inputs, json_string_value(value), err) < 0)
			return err_wrap(err, "'%s' of %s", name, kind->key);
	}
	return 0;
}

/* The outputs that count of one earlier task; the empty object when it has none. */
static int add_dependency(const struct project *project, const struct task_dependency *after,
	json_t *inputs, struct err *err)
{
	const json_t *outputs = state_outputs(&project->state, after->key);
	auto_free char *input = mem_printf("result of %s", after->key);
	auto_json json_t *counting = json_object();
	char digest[DIGEST_TEXT_SIZE];
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)outputs, name, value) {
		if (!after->outputs || plan_list_has(after->outputs, " ", name))
			json_object_set(counting, name, value);
	}
	if (jcs_digest(counting, digest, err) < 0)
		return -1;
	json_object_set_new(inputs, input, json_string(digest));
	return 0;
}

int project_inputs(const struct project *project, size_t at, const json_t *fields,
	json_t **ret_inputs, struct err *err)
{
	const struct task_kind *kind = project->plan.tasks[at].kind;
	auto_json json_t *inputs = json_object();

	if (add_fields(kind, fields, inputs, err) < 0)
		return -1;
	for (size_t i = 0; i < PLAN_MAX_DEPENDENCIES && kind->after[i].key; i++) {
		if (add_dependency(project, &kind->after[i], inputs, err) < 0)
			return -1;
	}
	if (kind->uses_server)
		add_text(inputs, "profile", "url", project->profile.url);
	*ret_inputs = take_ptr(inputs);
	return 0;
}
