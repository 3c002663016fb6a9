/* SPDX-License-Identifier: Apache-2.0 */
/* `{{ var "field" }}`: finding, checking and replacing references in the fields of a plan. */
#include <stdlib.h>
#include <string.h>

#include "client/plan.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
#define MAX_RESOLVED 65536

/* Copies a name and moves on; false when it is empty or too long. */
static bool take_name(const char **at, char *ret_name, size_t size)
{
	size_t len = strspn(*at, NAME_CHARACTERS);

	if (len == 0 || len >= size)
		return false;
	memcpy(ret_name, *at, len);
	ret_name[len] = '\0';
	*at += len;
	return true;
}

int plan_reference_next(const char *text, struct plan_reference *ret_reference, struct err *err)
{
	struct plan_reference reference = { .start = strstr(text, "{{") };
	const char *at = reference.start;
	char quote;

	if (!at)
		return 0;
	at += 2;
	at += strspn(at, " \t");
	if (!take_name(&at, reference.variable, sizeof(reference.variable)))
		goto malformed;
	at += strspn(at, " \t");
	quote = *at;
	if ((quote != '"' && quote != '\'') || !*++at ||
		!take_name(&at, reference.field, sizeof(reference.field)) || *at++ != quote)
		goto malformed;
	at += strspn(at, " \t");
	if (strncmp(at, "}}", 2) != 0)
		goto malformed;
	reference.end = at + 2;
	*ret_reference = reference;
	return 1;
malformed:
	return err_set(err, ERR_INVALID, "plan.unknown_reference",
		"a reference is written {{ variable \"field\" }}");
}

static bool is_registered_as(const struct plan_task *task, const char *variable)
{
	return task->variable && strcmp(task->variable, variable) == 0;
}

/* Whether some task before `at` registers that variable with that field, or `reg` has it. */
static bool is_known(const struct plan *plan, size_t at, const json_t *reg,
	const struct plan_reference *reference)
{
	while (at-- > 0) {
		if (is_registered_as(&plan->tasks[at], reference->variable))
			return plan_list_has(plan->tasks[at].kind->outputs, " ", reference->field);
	}
	return json_object_get(json_object_get(reg, reference->variable), reference->field) != NULL;
}

static int check_value(const struct plan *plan, size_t at, const struct yaml_value *value,
	const char *path, const json_t *reg, struct err *err)
{
	struct plan_reference reference = { .end = value->text };
	int found;

	while ((found = plan_reference_next(reference.end, &reference, err)) > 0) {
		if (!is_known(plan, at, reg, &reference))
			return err_set(err, ERR_INVALID, "plan.unknown_reference",
				"%s:%u:%u: nothing before this task registers '%s' with a field "
				"'%s'",
				path, value->line, value->column, reference.variable,
				reference.field);
	}
	return found < 0 ? err_wrap(err, "%s:%u:%u", path, value->line, value->column) : 0;
}

int plan_references_check(
	const struct plan *plan, const char *path, const json_t *reg, struct err *err)
{
	for (size_t i = 0; i < plan->n_tasks; i++) {
		const struct plan_task *task = &plan->tasks[i];

		for (size_t k = 0; k < task->n_values; k++) {
			if (check_value(plan, i, &task->values[k], path, reg, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int add_member(struct buf *text, const json_t *object,
	const struct plan_reference *reference, struct err *err)
{
	const json_t *member = json_object_get(object, reference->field);

	if (json_is_string(member))
		return buf_add_text(text, json_string_value(member), err);
	if (json_is_integer(member))
		return buf_printf(text, err, "%lld", (long long)json_integer_value(member));
	return err_set(err, ERR_INVALID, "plan.unknown_reference", "'%s' has no value '%s' yet",
		reference->variable, reference->field);
}

int plan_resolve(const char *text, const json_t *(*lookup)(void *arg, const char *variable),
	void *arg, char **ret_text, struct err *err)
{
	auto_buf resolved = BUF_INIT(MAX_RESOLVED);
	struct plan_reference reference;
	int found;

	while ((found = plan_reference_next(text, &reference, err)) > 0) {
		if (buf_add(&resolved, text, (size_t)(reference.start - text), err) < 0 ||
			add_member(&resolved, lookup(arg, reference.variable), &reference, err) < 0)
			return -1;
		text = reference.end;
	}
	if (found < 0 || buf_add_text(&resolved, text, err) < 0)
		return -1;
	*ret_text = mem_strdup((char *)resolved.data);
	return 0;
}
