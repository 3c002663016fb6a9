/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom sandbox create|start|restart|attest in a project: create, start and restart verify the
 * evidence (as `run` does), attest verifies it again. list, show, stop, delete, retry, cancel, logs
 * and wait only ask the server. */
#include <stdlib.h>
#include <string.h>

#include "client/attest.h"
#include "client/evidence_table.h"
#include "client/project.h"
#include "client/sandbox.h"
#include "client/sandbox_verify.h"
#include "client/sandbox_watch.h"
#include "client/session.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "plan", "FILE", "create, start, restart, attest: instead of main.yml" },
	{ "follow", NULL, "logs: goes on until the VM ends" },
	{ "out", "FILE", "attest: keeps the evidence, for `evidence verify`" },
	{ NULL, NULL, NULL },
};

static int get(struct session *session, const char *path, json_t **ret_sandbox, struct err *err)
{
	struct api_call call = {
		.label = "show", .audience = "provisioner", .method = "GET", .path = path
	};

	return api_call(session->api, &call, ret_sandbox, NULL, err);
}

static int change(struct session *session, const struct cli *cli, const char *verb, struct err *err)
{
	auto_free char *path = mem_printf("/v1/sandboxes/%s", cli->arguments[1]);
	auto_free char *action = mem_printf("%s:%s", path, verb);
	auto_json json_t *sandbox = NULL, *answer = NULL;
	bool is_delete = strcmp(verb, "delete") == 0;
	const char *state;

	if (get(session, path, &sandbox, err) < 0 ||
		session_change(session,
			&(const struct api_call) { .audience = "provisioner",
				.method = is_delete ? "DELETE" : "POST",
				.path = is_delete ? path : action,
				.etag = json_text(sandbox, "etag") },
			&answer, err) < 0)
		return -1;
	state = json_text(answer, "state");
	ui_result(cli->ui, json_pack("{s:s,s:s*}", "id", cli->arguments[1], "state", state),
		"%s %s", cli->arguments[1], state ? state : "deleting");
	return 0;
}

static int change_as_asked(struct session *session, const struct cli *cli, struct err *err)
{
	return change(session, cli, cli->arguments[0], err);
}

static int show(struct session *session, const struct cli *cli, struct err *err)
{
	auto_free char *path = mem_printf("/v1/sandboxes/%s", cli->arguments[1]);

	return session_show(session, cli, "provisioner", path, err);
}

static const struct verb verbs[] = {
	{ "list", NULL, 0, "" },
	{ "show", show, 1, "ID" },
	{ "stop", change_as_asked, 1, "ID" },
	{ "delete", change_as_asked, 1, "ID" },
	{ "retry", change_as_asked, 1, "ID" },
	{ "cancel", change_as_asked, 1, "ID" },
	{ "logs", sandbox_logs, 1, "ID [--follow]" },
	{ "wait", sandbox_wait, 1, "ID" },
	{ NULL, NULL, 0, NULL },
};

/* A restart is a step of the project: kept in its state, under its lock. */
static int restart(struct project *project, struct err *err)
{
	auto_json json_t *inputs = json_object(), *outputs = json_object(), *made = json_object();
	struct task task = { project, &project->plan.tasks[0], "sandbox-start", inputs, outputs,
		made };
	const json_t *before = state_task(&project->state, task.key);
	const char *what = json_text(before, "state");
	struct sandbox_conf conf;

	if (sandbox_conf_of(&task, &conf, err) < 0)
		return -1;
	if (!sandbox_verified(project))
		return err_set(
			err, ERR_NOT_FOUND, "plan.missing_task", "this project has no sandbox yet");
	if (state_begin(&project->state, task.key, inputs, what && strcmp(what, "running") == 0,
		    err) < 0 ||
		sandbox_restart(&task, &conf, err) < 0)
		return -1;
	return state_finish(&project->state, task.key, outputs, made, err);
}

static int keep(const char *path, const json_t *evidence, struct err *err)
{
	size_t len;
	auto_free char *text = path ? json_encode(evidence, &len) : NULL;

	return text ? buf_write_file(path, text, len, 0644, err) : 0;
}

/* The project's sandbox, asked once more with a nonce and a credential of our own. */
static int attest_again(const struct project *project, const struct cli *cli, struct err *err)
{
	auto_attestation attestation = { .evidence = NULL };
	auto_json json_t *result = NULL;

	if (!sandbox_verified(project))
		return err_set(
			err, ERR_NOT_FOUND, "plan.missing_task", "this project has no sandbox yet");
	if (sandbox_attest(project, &attestation, &result, err) < 0 ||
		keep(cli_value(cli, "out"), attestation.evidence, err) < 0)
		return -1;
	evidence_table_print(cli->ui, result);
	evidence_table_say_class(cli->ui, json_text(result, "class"));
	return sandbox_judge(project, &attestation, result, err);
}

static int with_project(const struct cli *cli, const char *verb, struct err *err)
{
	struct project_options given = { cli_value(cli, "plan"), cli->profile, true };
	struct project project;
	int result;

	if (project_open(&project, &given, cli->ui, err) < 0)
		return -1;
	if (strcmp(verb, "create") == 0)
		result = project_run(&project, NULL, "set-sandbox-specs", err);
	else if (strcmp(verb, "start") == 0 || strcmp(verb, "restart") == 0)
		result = restart(&project, err);
	else
		result = attest_again(&project, cli, err);
	if (result == 0)
		ui_result(cli->ui, json_deep_copy(sandbox_verified(&project)), "%s ready",
			json_text(sandbox_verified(&project), "id"));
	project_close(&project);
	return result;
}

static int sandbox(const struct cli *cli, struct err *err)
{
	static const char *const in_project[] = { "create", "start", "restart", "attest" };

	for (size_t i = 0; i < ARRAY_LEN(in_project); i++) {
		if (strcmp(cli->arguments[0], in_project[i]) == 0)
			return with_project(cli, cli->arguments[0], err);
	}
	return session_verb_of(cli, "sandbox", verbs, &collection_sandboxes, err);
}

const struct command command_sandbox = { "sandbox",
	"list | create | start | restart | attest | show ID | stop ID | delete ID | retry ID | "
	"cancel ID | logs ID | wait ID",
	"sandbox VMs; create, start, restart and attest work in a project", options, 1, 2,
	sandbox };
