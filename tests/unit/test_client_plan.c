/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: the original's format, references with their places, and what the table refuses or
 * ignores. */
#include <stdlib.h>
#include <string.h>

#include "client/plan.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static int parse(const char *text, struct plan *plan, struct err *err)
{
	return plan_parse(text, strlen(text), "main.yml", NULL, plan, err);
}

static void fails_with(const char *text, const char *code, const char *place)
{
	struct plan plan = { 0 };
	struct err err = { 0 };

	CHECK_FAILS(parse(text, &plan, &err), &err, code);
	if (!strstr(err.detail, place))
		printf("'%s' does not name '%s'\n", err.detail, place);
	CHECK(strstr(err.detail, place) != NULL);
}

static void test_original(void)
{
	struct plan plan = { 0 };
	struct err err = { 0 };
	int result = plan_read("examples/original/main.yml", NULL, &plan, &err);

	if (result < 0)
		printf("%s: %s\n", err.code, err.detail);
	CHECK_NUMBER(result, 0);
	CHECK_NUMBER(plan.n_tasks, 13);
	for (size_t i = 0; i < plan.n_tasks; i++)
		CHECK(plan.tasks[i].kind == &plan_kinds[i]);
	CHECK_TEXT(plan.tasks[8].variable, "policy_metadata");
	CHECK(json_array_size(plan.warnings) > 10);
	plan_release(&plan);
}

/* What setup writes has nothing that is ignored. */
static void test_demo(void)
{
	struct plan plan = { 0 };
	struct err err = { 0 };

	CHECK_NUMBER(plan_read("examples/conditions/main.yml", NULL, &plan, &err), 0);
	CHECK_NUMBER(plan.n_tasks, 13);
	CHECK_NUMBER(json_array_size(plan.warnings), 0);
	plan_release(&plan);
}

static void test_references(void)
{
	static const char good[] =
		"- name: x\n  tasks:\n"
		"    - get-symmetric-algokey:\n        path: keys\n      register: k\n"
		"    - dockerize-algo:\n        key_algo: '{{ k \"path\" }}'\n";
	static const char bare[] =
		"- name: x\n  tasks:\n"
		"    - get-symmetric-algokey:\n        path: keys\n      register: k\n"
		"    - dockerize-algo:\n        key_algo: {{ k \"path\" }}\n";
	struct plan plan = { 0 };
	struct err err = { 0 };

	CHECK_NUMBER(parse(good, &plan, &err), 0);
	CHECK_TEXT(plan.tasks[1].values[0].text, "{{ k \"path\" }}");
	plan_release(&plan);
	CHECK_NUMBER(parse(bare, &plan, &err), 0);
	CHECK_TEXT(plan.tasks[1].values[0].text, "{{ k \"path\" }}");
	plan_release(&plan);
	fails_with("- tasks:\n    - dockerize-algo:\n        key_algo: '{{ k \"path\" }}'\n",
		"plan.unknown_reference", "main.yml:3:19");
	fails_with("- tasks:\n    - get-symmetric-algokey: {}\n      register: k\n"
		   "    - dockerize-algo:\n        key_algo: '{{ k \"colour\" }}'\n",
		"plan.unknown_reference", "main.yml:5:19");
	fails_with("- tasks:\n    - dockerize-algo:\n        key_algo: '{{ k }}'\n",
		"plan.unknown_reference", "main.yml:3:19");
}

static void test_registered_before(void)
{
	static const char text[] = "- tasks:\n    - upload-policy:\n"
				   "        pipeline_name: '{{ properties \"pipeline_name\" }}'\n";
	auto_json json_t *reg = json_pack("{s:{s:s}}", "properties", "pipeline_name", "p");
	struct plan plan = { 0 };
	struct err err = { 0 };

	CHECK_NUMBER(plan_parse(text, strlen(text), "main.yml", reg, &plan, &err), 0);
	plan_release(&plan);
	fails_with(text, "plan.unknown_reference", "main.yml:3:24");
}

static void test_fields(void)
{
	struct plan plan = { 0 };
	struct err err = { 0 };

	fails_with("- tasks:\n    - populate-codebase:\n        credentials:\n          password: "
		   "hush\n",
		"plan.field_unsupported", "main.yml:4:21");
	fails_with("- tasks:\n    - get-certs:\n        colour: red\n", "plan.field_unsupported",
		"colour");
	fails_with("- tasks:\n    - get-certs:\n        mode: from-CA\n", "plan.field_value",
		"self-signed");
	fails_with("- tasks:\n    - fly:\n        to: moon\n", "plan.unknown_task", "fly");
	fails_with("- tasks:\n    - get-certs: {}\n    - get-certs: {}\n", "plan.duplicate_task",
		"3:");
	fails_with("- tasks:\n    - name: nothing\n", "plan.unknown_task", "nothing");
	fails_with("tasks: []\n", "plan.syntax", "main.yml");
	CHECK_NUMBER(parse("- tasks:\n    - populate-codebase:\n        main_file: a.py\n"
			   "        credentials: {username: '', password: ''}\n",
			     &plan, &err),
		0);
	CHECK_NUMBER(json_array_size(plan.warnings), 1);
	CHECK_NUMBER(plan.tasks[0].n_values, 0);
	plan_release(&plan);
}

static void test_hostile_yaml(void)
{
	fails_with("- &a tasks:\n    - *a\n", "plan.syntax", "aliases");
	fails_with("- tasks: &a x\n", "plan.syntax", "anchors");
	fails_with("- tasks: *a\n", "plan.syntax", "main.yml");
	fails_with("- tasks: [[[[[[[[[[[[1]]]]]]]]]]]]\n", "plan.syntax", "deeply");
	fails_with("- tasks: {\n", "plan.syntax", "main.yml:2");
	fails_with("--- a\n--- b\n", "plan.syntax", "one document");
	fails_with("- {[a]: b}\n", "plan.syntax", "key must be");
	fails_with("", "plan.syntax", "no tasks");
}

static const json_t *lookup(void *arg, const char *variable)
{
	return json_object_get(arg, variable);
}

static void test_resolve(void)
{
	auto_json json_t *values = json_pack("{s:{s:s,s:i}}", "v", "a", "one", "n", 2);
	auto_free char *text = NULL;
	char *none = NULL;
	struct err err = { 0 };

	CHECK_NUMBER(plan_resolve("x-{{ v \"a\" }}-{{v 'n'}}.", lookup, values, &text, &err), 0);
	CHECK_TEXT(text, "x-one-2.");
	CHECK_FAILS(plan_resolve("{{ v \"b\" }}", lookup, values, &none, &err), &err,
		"plan.unknown_reference");
}

int main(void)
{
	test_original();
	test_demo();
	test_references();
	test_registered_before();
	test_fields();
	test_hostile_yaml();
	test_resolve();
	CHECK_DONE();
}
