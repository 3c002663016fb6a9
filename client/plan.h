/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.yml: a list with one play of tasks, in the format of the original client. Each task has one
 * of thirteen keys; the table of plan_table.c says of every field whether it is mapped, ignored
 * with a warning, or refused.
 */
#ifndef STRONGROOM_CLIENT_PLAN_H
#define STRONGROOM_CLIENT_PLAN_H

#include <jansson.h>
#include <stdbool.h>

#include "client/yaml_flat.h"
#include "lib/err.h"

#define PLAN_MAX_TASKS 32
#define PLAN_MAX_DEPENDENCIES 6

struct task;

enum field_rule { FIELD_MAPPED, FIELD_IGNORED, FIELD_UNSUPPORTED };

enum field_input {
	FIELD_VALUE, /* the text counts */
	FIELD_PATH,  /* a file or folder: its contents count too */
};

struct task_field {
	const char *name; /* "docker.image_name"; "limits.*" stands for all below */
	enum field_rule rule;
	enum field_input input;
	const char *allowed;  /* "git|local", or NULL: any */
	const char *fallback; /* or NULL */
	const char *reason;   /* why it is ignored or unsupported */
};

struct task_dependency {
	const char *key;
	const char *outputs; /* "a b": only these count; NULL: all */
};

struct task_kind {
	const char *key;		 /* "get-certs" */
	const char *variable;		 /* what the original registers it as */
	const struct task_field *fields; /* ends with name NULL */
	const char *outputs;		 /* "a b c": what a reference may name */
	struct task_dependency after[PLAN_MAX_DEPENDENCIES];
	bool uses_server;
	int (*run)(struct task *task, struct err *err);
};

struct plan_task {
	const struct task_kind *kind;
	char *name;
	char *variable; /* register: */
	unsigned line;
	struct yaml_value *values; /* paths below the task key; ignored ones left out */
	size_t n_values;
};

struct plan {
	char *name;
	char *verbose; /* debug, info, warn */
	struct plan_task tasks[PLAN_MAX_TASKS];
	size_t n_tasks;
	json_t *warnings; /* texts: ignored fields */
};

extern const struct task_kind plan_kinds[13];
const struct task_kind *plan_kind(const char *key);
const struct task_field *plan_field(const struct task_kind *kind, const char *name);

/* plan.syntax, plan.unknown_task, plan.duplicate_task, plan.field_unsupported, plan.field_value,
 * plan.unknown_reference: all with line and column. `reg`: variables known beforehand (.register).
 */
int plan_read(const char *path, const json_t *reg, struct plan *ret_plan, struct err *err)
	__attribute__((warn_unused_result));
int plan_parse(const char *text, size_t len, const char *path, const json_t *reg,
	struct plan *ret_plan, struct err *err) __attribute__((warn_unused_result));
void plan_release(struct plan *plan);

/* --- references --- */
struct plan_reference {
	const char *start, *end; /* of the whole "{{ … }}" */
	char variable[64], field[64];
};
/* 1 and the next reference at or behind `text`, 0, or -1 (malformed: plan.unknown_reference without
 * a place). */
int plan_reference_next(const char *text, struct plan_reference *ret_reference, struct err *err);
/* Checks every reference of the plan against earlier tasks and `reg`. */
int plan_references_check(
	const struct plan *plan, const char *path, const json_t *reg, struct err *err);
/* The text with references replaced: `lookup` gives the object of a variable or NULL. Caller frees.
 */
int plan_resolve(const char *text, const json_t *(*lookup)(void *arg, const char *variable),
	void *arg, char **ret_text, struct err *err) __attribute__((warn_unused_result));
/* Whether `word` is one of the words of `list`, separated by one of `between`. */
bool plan_list_has(const char *list, const char *between, const char *word);

#endif
