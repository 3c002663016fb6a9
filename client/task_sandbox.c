/* SPDX-License-Identifier: Apache-2.0 */
/* set-sandbox-specs: intent, claim, wait, evidence verified here, machine keys recorded. */
#include <string.h>

#include "client/files.h"
#include "client/sandbox.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MACHINE_KEY_FILE "certs/machine.jwk"

static int write_machine_key(struct task *task, const json_t *sandbox, struct err *err)
{
	auto_free char *text =
		json_dumps(json_object_get(sandbox, "enc"), JSON_INDENT(1) | JSON_SORT_KEYS);

	if (files_make_dirs("certs", 0755, err) < 0 ||
		buf_write_file(MACHINE_KEY_FILE, text, strlen(text), 0644, err) < 0)
		return -1;
	task_made_present(task, MACHINE_KEY_FILE);
	return 0;
}

static void put_outputs(struct task *task, const struct sandbox_conf *conf, const json_t *reference,
	const json_t *sandbox)
{
	const char *agent = json_text(reference, "agent");

	task_put(task, "instance_id", json_text(sandbox, "id"));
	task_put(task, "instance_name", conf->name);
	task_put(task, "template_id", conf->template_id);
	task_put(task, "template_name", conf->template_id);
	task_put_number(task, "template_version",
		json_integer_value(json_object_get(reference, "version")));
	task_put(task, "public_key", MACHINE_KEY_FILE);
	task_put(task, "measurement", agent ? agent : "");
	task_put(task, "status", "ready");
	task_put(task, "evidence_class", json_text(sandbox, "class"));
	task_put(task, "accept_evidence", conf->accept);
	if (conf->space)
		task_put(task, "space", conf->space);
	json_object_set(task->outputs, "parameters", (json_t *)conf->parameters);
}

int task_sandbox(struct task *task, struct err *err)
{
	auto_json json_t *parameters = task_fields_below(task, "parameters");
	struct sandbox_conf conf = { .name = task_field(task, "name"),
		.space = task_field(task, "space"),
		.parameters = parameters,
		.accept = task_field(task, "accept_evidence") };
	const json_t *reference;
	long long seconds;

	if (task_need(task, "template_id", &conf.template_id, err) < 0 ||
		task_number(task, "wait_seconds", 1, 86400, &seconds, err) < 0)
		return -1;
	if (!conf.name)
		conf.name = task->project->plan.name ? task->project->plan.name : conf.template_id;
	conf.wait_ms = seconds * 1000;
	reference = profile_template(&task->project->profile, conf.template_id, err);
	if (!reference || sandbox_create(task, &conf, err) < 0)
		return -1;
	put_outputs(task, &conf, reference, sandbox_verified(task->project));
	return write_machine_key(task, sandbox_verified(task->project), err);
}
