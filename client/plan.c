/* SPDX-License-Identifier: Apache-2.0 */
/* Reading main.yml into tasks, with every field judged by the table of its task. */
#include "client/plan.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/mem.h"

static int refuse(struct err *err, const char *code, const char *path, const struct yaml_value *at,
	const char *what)
{
	return err_set(err, ERR_INVALID, code, "%s:%u:%u: %s", path, at->line, at->column, what);
}

const struct task_kind *plan_kind(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(plan_kinds); i++) {
		if (strcmp(plan_kinds[i].key, key) == 0)
			return &plan_kinds[i];
	}
	return NULL;
}

static bool field_fits(const struct task_field *field, const char *name)
{
	size_t len = strlen(field->name);

	if (len > 2 && strcmp(field->name + len - 2, ".*") == 0)
		return strncmp(field->name, name, len - 1) == 0;
	return strcmp(field->name, name) == 0;
}

const struct task_field *plan_field(const struct task_kind *kind, const char *name)
{
	for (const struct task_field *field = kind->fields; field->name; field++) {
		if (field_fits(field, name))
			return field;
	}
	return NULL;
}

bool plan_list_has(const char *list, const char *between, const char *word)
{
	size_t len = strlen(word);

	while (*list) {
		size_t part = strcspn(list, between);

		if (part == len && memcmp(list, word, len) == 0)
			return true;
		list += part + (list[part] != '\0');
	}
	return false;
}

static void warn_ignored(struct plan *plan, const char *path, const struct yaml_value *value,
	const char *key, const char *name, const struct task_field *field)
{
	char text[320];

	snprintf(text, sizeof(text), "%s:%u:%u: '%s' of %s is ignored: %s", path, value->line,
		value->column, name, key, field->reason);
	json_array_append_new(plan->warnings, json_string(text));
}

static void keep_value(struct plan_task *task, const struct yaml_value *value, const char *name)
{
	task->values = mem_grow(task->values, task->n_values + 1, sizeof(*task->values));
	task->values[task->n_values++] = (struct yaml_value) {
		.path = mem_strdup(name),
		.text = mem_strdup(value->text),
		.line = value->line,
		.column = value->column,
	};
}

/* One field of a task. An empty one counts as absent: the original writes them so. */
static int add_field(struct plan *plan, struct plan_task *task, const char *path,
	const struct yaml_value *value, const char *name, struct err *err)
{
	const struct task_field *field = plan_field(task->kind, name);
	auto_free char *what = NULL;

	if (!*value->text)
		return 0;
	if (!field || field->rule == FIELD_UNSUPPORTED) {
		what = mem_printf("'%s' of %s is not supported%s%s", name, task->kind->key,
			field ? ": " : "", field ? field->reason : "");
		return refuse(err, "plan.field_unsupported", path, value, what);
	}
	if (field->rule == FIELD_IGNORED) {
		warn_ignored(plan, path, value, task->kind->key, name, field);
		return 0;
	}
	if (field->allowed && !strstr(value->text, "{{") &&
		!plan_list_has(field->allowed, "|", value->text)) {
		what = mem_printf("'%s' of %s must be one of %s%s%s", name, task->kind->key,
			field->allowed, field->reason ? ": " : "",
			field->reason ? field->reason : "");
		return refuse(err, "plan.field_value", path, value, what);
	}
	keep_value(task, value, name);
	return 0;
}

static int start_task(struct plan *plan, struct plan_task *task, const char *path,
	const struct yaml_value *value, const char *key, struct err *err)
{
	auto_free char *what = NULL;

	if (task->kind && strcmp(task->kind->key, key) == 0)
		return 0;
	what = mem_printf("'%s' is no task%s", key, task->kind ? " (one task key each)" : "");
	if (task->kind || !plan_kind(key))
		return refuse(err, "plan.unknown_task", path, value, what);
	for (size_t i = 0; i < plan->n_tasks; i++) {
		if (plan->tasks[i].kind == plan_kind(key))
			return refuse(
				err, "plan.duplicate_task", path, value, "this task stands twice");
	}
	task->kind = plan_kind(key);
	task->line = value->line;
	return 0;
}

/* "name", "register", "get-certs" or "get-certs.path" of one task. */
static int add_task_member(struct plan *plan, struct plan_task *task, const char *path,
	const struct yaml_value *value, const char *member, struct err *err)
{
	const char *dot = strchr(member, '.');
	auto_free char *key = mem_strndup(member, dot ? (size_t)(dot - member) : strlen(member));

	if (strcmp(member, "name") == 0 || strcmp(member, "register") == 0) {
		char **text = *member == 'n' ? &task->name : &task->variable;

		free(*text);
		*text = mem_strdup(value->text);
		return 0;
	}
	if (start_task(plan, task, path, value, key, err) < 0)
		return -1;
	return dot ? add_field(plan, task, path, value, dot + 1, err) : 0;
}

static int add_play_member(struct plan *plan, const char *path, const struct yaml_value *value,
	const char *member, struct err *err)
{
	char *rest = NULL;
	unsigned long at;

	if (strcmp(member, "name") == 0 || strcmp(member, "verbose") == 0) {
		char **text = *member == 'n' ? &plan->name : &plan->verbose;

		free(*text);
		*text = mem_strdup(value->text);
		return 0;
	}
	if (strncmp(member, "tasks.", 6) != 0)
		return refuse(err, "plan.syntax", path, value, "expected name, verbose or tasks");
	at = strtoul(member + 6, &rest, 10);
	if (at >= PLAN_MAX_TASKS || rest == member + 6 || *rest != '.')
		return refuse(err, "plan.syntax", path, value, "expected a short list of tasks");
	if (at >= plan->n_tasks)
		plan->n_tasks = at + 1;
	return add_task_member(plan, &plan->tasks[at], path, value, rest + 1, err);
}

static int fill(struct plan *plan, const struct yaml_flat *flat, const char *path, struct err *err)
{
	for (size_t i = 0; i < flat->n_values; i++) {
		const struct yaml_value *value = &flat->values[i];

		if (strncmp(value->path, "0.", 2) != 0)
			return refuse(
				err, "plan.syntax", path, value, "expected a list with one play");
		if (add_play_member(plan, path, value, value->path + 2, err) < 0)
			return -1;
	}
	if (plan->n_tasks == 0)
		return err_set(err, ERR_INVALID, "plan.syntax", "%s: no tasks", path);
	for (size_t i = 0; i < plan->n_tasks; i++) {
		if (!plan->tasks[i].kind)
			return err_set(err, ERR_INVALID, "plan.unknown_task",
				"%s: task %zu ('%s') has no task key", path, i + 1,
				plan->tasks[i].name ? plan->tasks[i].name : "");
	}
	return 0;
}

int plan_parse(const char *text, size_t len, const char *path, const json_t *reg,
	struct plan *ret_plan, struct err *err)
{
	struct plan *plan = mem_alloc(sizeof(*plan));
	struct yaml_flat flat = { 0 };
	int result = yaml_flat_parse(text, len, path, &flat, err);

	plan->warnings = json_array();
	if (result == 0)
		result = fill(plan, &flat, path, err);
	if (result == 0)
		result = plan_references_check(plan, path, reg, err);
	if (result == 0)
		*ret_plan = *plan;
	else
		plan_release(plan);
	yaml_flat_release(&flat);
	free(plan);
	return result;
}

int plan_read(const char *path, const json_t *reg, struct plan *ret_plan, struct err *err)
{
	auto_buf text = BUF_INIT(1024 * 1024);

	if (buf_read_file(&text, path, err) < 0) {
		struct err inner = *err;

		return err_set(err, ERR_NOT_FOUND, "project.missing", "no plan: %s", inner.detail);
	}
	return plan_parse(text.data ? (char *)text.data : "", text.len, path, reg, ret_plan, err);
}

static void task_release(struct plan_task *task)
{
	for (size_t i = 0; i < task->n_values; i++) {
		free(task->values[i].path);
		free(task->values[i].text);
	}
	free(task->values);
	free(task->name);
	free(task->variable);
}

void plan_release(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_tasks; i++)
		task_release(&plan->tasks[i]);
	free(plan->name);
	free(plan->verbose);
	json_decref(plan->warnings);
	*plan = (struct plan) { 0 };
}
