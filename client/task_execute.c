/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execute-policy: order and grants made now, the run started and followed. When its VM is lost the
 * run waits in awaiting_grants: then the new boot's evidence is verified here, and a new order goes
 * to the same run.
 */
#include <stdlib.h>
#include <string.h>

#include "client/follow.h"
#include "client/last_run.h"
#include "client/order.h"
#include "client/sandbox.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"

static int read_policy(struct task *task, struct arena *arena, struct buf *text,
	struct trust_policy *ret_policy, struct err *err)
{
	const char *path = task_after_text(task, "upload-policy", "policy_doc", err);
	const char *hash = task_after_text(task, "upload-policy", "policy_hash", err);

	if (!path || !hash || buf_read_file(text, path, err) < 0 ||
		trust_policy_parse(arena, (char *)text->data, text->len, ret_policy, err) < 0)
		return -1;
	if (strcmp(ret_policy->hash, hash) != 0)
		return err_set(err, ERR_CONFLICT, "policy.altered",
			"'%s' is not the policy that was uploaded", path);
	return 0;
}

/* In the policy's space, so that owners of its slots see whom they wait for. */
static int start_run(struct task *task, const struct trust_policy *policy, const char *pipeline,
	const char *order, const char **ret_run, struct err *err)
{
	auto_json json_t *body = json_pack("{s:s,s:s,s:s,s:s}", "pipeline", pipeline, "sandbox",
		json_text(sandbox_verified(task->project), "id"), "order", order, "space",
		policy->space);

	return task_create(task, "create-run", "orchestrator", "/v1/runs", body, ret_run, err);
}

/* Gives the waiting run another order, for the machine that stands there now. */
static int order_again(struct task *task, const struct trust_policy *policy, const char *run,
	long long round, struct err *err)
{
	auto_free char *label = mem_printf("reorder-%lld", round);
	auto_free char *path = mem_printf("/v1/runs/%s:order", run);
	auto_json json_t *body = NULL;
	struct api_call call = {
		.label = label, .audience = "orchestrator", .method = "POST", .path = path
	};
	const char *order;

	ui_note(task->project->ui, "run %s waits for grants: ordering again", run);
	if (order_place(task, policy, round, &order, err) < 0)
		return -1;
	if (task_kept(task, label))
		return 0;
	body = json_pack("{s:s,s:s}", "order", order, "sandbox",
		json_text(sandbox_verified(task->project), "id"));
	call.body = body;
	if (task_call(task, &call, NULL, err) < 0)
		return -1;
	return task_keep(task, label, "sent", err);
}

/* Whether the ordered machine is still there: then the run only has not noticed yet. */
static int is_machine_there(struct task *task, long long round, bool *ret_there, struct err *err)
{
	const json_t *placed = order_of(task, round);
	auto_json json_t *sandbox = NULL;
	struct err reason = { 0 };
	const char *state;

	*ret_there = false;
	if (sandbox_get(task->project->api, json_text(placed, "sandbox"), NULL, &sandbox, &reason) <
		0) {
		if (reason.kind == ERR_NOT_FOUND || reason.kind == ERR_GONE)
			return 0;
		*err = reason;
		return -1;
	}
	state = json_text(sandbox, "state");
	*ret_there = state && strcmp(state, "ready") == 0 &&
		     json_equal(json_object_get(sandbox, "boot"), json_object_get(placed, "boot"));
	return 0;
}

static int follow_run(struct task *task, const struct trust_policy *policy, const char *run,
	json_t **ret_run, struct err *err)
{
	long long round = json_integer_value(task_kept_json(task, "round"));

	for (bool is_there = false;;) {
		enum follow_end end;

		if (follow(task, run, is_there, &end, ret_run, err) < 0)
			return -1;
		if (end == FOLLOW_FINAL)
			return 0;
		if (is_machine_there(task, round, &is_there, err) < 0)
			return -1;
		if (is_there)
			continue;
		if (task_keep_json(task, "round", json_integer(++round), err) < 0 ||
			order_again(task, policy, run, round, err) < 0)
			return -1;
	}
}

/* A run that did not succeed has spent its output key: the next one gets another. */
static int not_succeeded(struct task *task, const json_t *run, struct err *err)
{
	const char *state = json_text(run, "state");
	const json_t *failure = json_object_get(run, "failure");
	const char *code = json_text(failure, "code"), *detail = json_text(failure, "detail");
	auto_free char *why = mem_printf("its key went with run %s", json_text(run, "id"));
	auto_free char *name = mem_printf("run.%s", state);

	state_spend(&task->project->state, STATE_OUTPUT_KEY, why);
	if (code && strcmp(code, "run.grants_unavailable") == 0)
		return err_set(err, ERR_CONFLICT, code, "run %s: %s", json_text(run, "id"),
			detail ? detail : "past the policy's deadline");
	return err_set(err, ERR_CONFLICT, name, "run %s is %s: %s: %s", json_text(run, "id"), state,
		code ? code : "no reason given", detail ? detail : "");
}

static int put_outputs(struct task *task, const json_t *run, long long round, struct err *err)
{
	const json_t *output = json_object_get(run, "output");
	const json_t *placed = order_of(task, round);
	const char *id = json_text(run, "id");

	if (!json_text(output, "object") || !json_text(output, "digest") ||
		!json_is_object(json_object_get(run, "receipt")))
		return err_set(err, ERR_UPSTREAM, "receipt.missing",
			"run %s has no output or receipt", id);
	task_put(task, "id", id);
	task_put(task, "experiment_id", id);
	task_put(task, "name", task_after_text(task, "upload-policy", "pipeline_name", err));
	task_put(task, "status", "succeeded");
	task_put(task, "run_nonce", json_text(placed, "nonce"));
	task_put(task, "object", json_text(output, "object"));
	task_put(task, "digest", json_text(output, "digest"));
	if (json_text(run, "created_at"))
		task_put(task, "execution_started_at", json_text(run, "created_at"));
	json_object_set(task->outputs, "size", json_object_get(output, "size"));
	json_object_set(task->outputs, "receipt", json_object_get(run, "receipt"));
	json_object_set(task->outputs, "machine", json_object_get(placed, "sig"));
	json_object_set(task->outputs, "evidence", json_object_get(placed, "evidence"));
	json_object_set(task->outputs, "sandbox", json_object_get(placed, "sandbox"));
	return 0;
}

static int execute(
	struct task *task, const struct trust_policy *policy, const char *pipeline, struct err *err)
{
	auto_json json_t *run = NULL;
	const char *order, *run_id;

	if (!task_kept_json(task, "round") &&
		task_keep_json(task, "round", json_integer(1), err) < 0)
		return -1;
	if (!task_kept(task, "create-run") &&
		(order_place(task, policy, 1, &order, err) < 0 ||
			start_run(task, policy, pipeline, order, &run_id, err) < 0))
		return -1;
	run_id = task_kept(task, "create-run");
	if (last_run_keep(task->project, run_id, err) < 0)
		return -1;
	if (json_integer_value(task_kept_json(task, "round")) > 1 &&
		order_again(task, policy, run_id, json_integer_value(task_kept_json(task, "round")),
			err) < 0)
		return -1;
	ui_note(task->project->ui, "run %s", run_id);
	if (follow_run(task, policy, run_id, &run, err) < 0)
		return -1;
	if (strcmp(json_text(run, "state"), "succeeded") != 0)
		return not_succeeded(task, run, err);
	return put_outputs(task, run, json_integer_value(task_kept_json(task, "round")), err);
}

int task_execute(struct task *task, struct err *err)
{
	const char *pipeline = task_field(task, "entity");
	auto_arena struct arena *arena = arena_new();
	auto_buf text = BUF_INIT(1024 * 1024);
	struct trust_policy policy;

	if (!pipeline)
		pipeline = task_after_text(task, "upload-policy", "pipeline_id", err);
	if (!pipeline || read_policy(task, arena, &text, &policy, err) < 0)
		return -1;
	return execute(task, &policy, pipeline, err);
}
