/* SPDX-License-Identifier: Apache-2.0 */
/* Claiming, waiting for and restarting sandboxes. */
#include "client/sandbox.h"

#include <stdlib.h>
#include <string.h>

#include "client/evidence_table.h"
#include "client/sandbox_verify.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define DEFAULT_WAIT_MS 600000

const json_t *sandbox_verified(const struct project *project)
{
	const json_t *sandbox = json_object_get(project->state.doc, "sandbox");

	return json_is_object(sandbox) ? sandbox : NULL;
}

int sandbox_use(struct task *task, const char *run_nonce, struct err *err)
{
	json_t *sandbox = json_object_get(task->project->state.doc, "sandbox");

	json_object_set_new(sandbox, "used_by", json_string(run_nonce));
	return state_save(&task->project->state, task->key, err);
}

int sandbox_get(
	struct api *api, const char *id, const char *etag, json_t **ret_sandbox, struct err *err)
{
	auto_free char *path = mem_printf("/v1/sandboxes/%s%s", id, etag ? "?wait=30s" : "");
	struct api_call call = { .label = "get-sandbox",
		.audience = "provisioner",
		.method = "GET",
		.path = path,
		.etag = etag };
	auto_json json_t *sandbox = NULL;

	if (api_call(api, &call, &sandbox, NULL, err) < 0)
		return -1;
	if (sandbox && (!json_text_is(sandbox, "id", id) || !json_text(sandbox, "state")))
		return err_set(err, ERR_UPSTREAM, "upstream.answer",
			"the sandbox has no state, or is another one");
	*ret_sandbox = take_ptr(sandbox);
	return 0;
}

static bool is_state(const json_t *sandbox, const char *state)
{
	const char *text = json_text(sandbox, "state");

	return text && strcmp(text, state) == 0;
}

static int failed(const json_t *sandbox, struct err *err)
{
	const json_t *failure = json_object_get(sandbox, "failure");
	const char *code = json_text(failure, "code"), *detail = json_text(failure, "detail");

	return err_set(err, ERR_UPSTREAM, "sandbox.failed", "sandbox %s is %s: %s %s",
		json_text(sandbox, "id"), json_text(sandbox, "state"), code ? code : "",
		detail ? detail : "");
}

/* Until the sandbox has that state. On the way down from it to another end: sandbox.failed. */
static int wait_for(struct task *task, const char *id, const char *wanted, long long wait_ms,
	json_t **ret_sandbox, struct err *err)
{
	long long until = clock_monotonic_ms() + wait_ms;
	auto_json json_t *sandbox = NULL;

	if (sandbox_get(task->project->api, id, NULL, &sandbox, err) < 0)
		return -1;
	while (!is_state(sandbox, wanted)) {
		json_t *next = NULL;

		if (is_state(sandbox, "failed") || is_state(sandbox, "deleted") ||
			(is_state(sandbox, "stopped") && strcmp(wanted, "ready") == 0 &&
				json_is_object(json_object_get(sandbox, "failure"))))
			return failed(sandbox, err);
		if (clock_monotonic_ms() > until)
			return err_set(err, ERR_TIMEOUT, "client.timeout",
				"sandbox %s is still %s after %lld s", id,
				json_text(sandbox, "state"), wait_ms / 1000);
		if (sandbox_get(task->project->api, id, json_text(sandbox, "etag"), &next, err) < 0)
			return -1;
		if (!next)
			continue;
		json_decref(sandbox);
		sandbox = next;
		ui_note(task->project->ui, "sandbox %s: %s", id, json_text(sandbox, "state"));
	}
	*ret_sandbox = take_ptr(sandbox);
	return 0;
}

/* The claim for one boot, made once and kept: the evidence must repeat exactly it. Borrowed. */
static json_t *claim_for(struct task *task, const char *of, struct err *err)
{
	auto_free char *name = mem_printf("claim-%s", of);
	auto_free char *nonce = NULL;
	unsigned char random[32];
	const char *owner;

	if (task_kept_json(task, name))
		return task_kept_json(task, name);
	owner = task_after_text(task, "get-certs", "spki", err);
	if (!owner)
		return NULL;
	rand_bytes(random, sizeof(random));
	nonce = codec_b64url_text(random, sizeof(random));
	if (task_keep_json(task, name,
		    json_pack("{s:s,s:s,s:n,s:s}", "v", "strongroom-claim-1", "owner", owner,
			    "policy", "nonce", nonce),
		    err) < 0)
		return NULL;
	return task_kept_json(task, name);
}

/* Verifies, and only then records whose keys these are. */
static int believe(struct task *task, const struct sandbox_conf *conf, const json_t *sandbox,
	const json_t *claim, struct err *err)
{
	auto_json json_t *verified = NULL;

	if (sandbox_verify(task->project, conf, sandbox, claim, &verified, err) < 0)
		return -1;
	json_object_set(task->project->state.doc, "sandbox", verified);
	evidence_table_say_class(task->project->ui, json_text(verified, "class"));
	return state_save(&task->project->state, task->key, err);
}

static json_t *create_body(const struct sandbox_conf *conf, json_t *claim)
{
	json_t *body = json_pack("{s:s,s:O}", "template", conf->template_id, "claim", claim);
	json_t *parameters = json_object(), *value;
	const char *name;

	json_object_foreach ((json_t *)conf->parameters, name, value) {
		char *end = NULL;
		long long number = strtoll(json_string_value(value), &end, 10);

		json_object_set_new(parameters, name,
			*end || end == json_string_value(value) ? json_incref(value)
								: json_integer(number));
	}
	if (json_object_size(parameters))
		json_object_set(body, "parameters", parameters);
	json_decref(parameters);
	if (conf->name)
		json_object_set_new(body, "name", json_string(conf->name));
	if (conf->space)
		json_object_set_new(body, "space", json_string(conf->space));
	return body;
}

static bool is_gone(const json_t *sandbox, const struct err *err)
{
	if (!sandbox)
		return err->kind == ERR_NOT_FOUND || err->kind == ERR_GONE;
	return is_state(sandbox, "deleted") || is_state(sandbox, "deleting") ||
	       is_state(sandbox, "failed");
}

/* Whether a sandbox that this task made was lost before anybody could believe it. */
static int is_lost(struct task *task, const char *id, bool *ret_lost, struct err *err)
{
	auto_json json_t *sandbox = NULL;
	struct err reason = { 0 };

	if (sandbox_get(task->project->api, id, NULL, &sandbox, &reason) < 0 &&
		!is_gone(NULL, &reason)) {
		*err = reason;
		return -1;
	}
	*ret_lost = is_gone(sandbox, &reason) || is_state(sandbox, "stopping") ||
		    is_state(sandbox, "stopped");
	return 0;
}

/* What the next sandbox of this task is made under: after each loss another name, and so another
 * idempotency key and claim. */
static int creation_label(struct task *task, char **ret_label, struct err *err)
{
	const char *lost = task_kept(task, "lost-sandbox");
	auto_free char *label = mem_printf("create-sandbox%s%s", lost ? "-" : "", lost ? lost : "");
	const char *made = task_kept(task, label);
	bool is_made_lost = false;

	if (made && is_lost(task, made, &is_made_lost, err) < 0)
		return -1;
	if (!is_made_lost) {
		*ret_label = take_ptr(label);
		return 0;
	}
	*ret_label = mem_printf("create-sandbox-%s", made);
	return task_keep(task, "lost-sandbox", made, err);
}

int sandbox_create(struct task *task, const struct sandbox_conf *conf, struct err *err)
{
	auto_json json_t *body = NULL, *sandbox = NULL;
	auto_free char *label = NULL;
	json_t *claim;
	const char *id;

	if (!profile_template(&task->project->profile, conf->template_id, err) ||
		creation_label(task, &label, err) < 0)
		return -1;
	claim = claim_for(task, label, err);
	if (!claim)
		return -1;
	body = create_body(conf, claim);
	if (task_create(task, label, "provisioner", "/v1/sandboxes", body, &id, err) < 0 ||
		wait_for(task, id, "ready", conf->wait_ms, &sandbox, err) < 0)
		return -1;
	return believe(task, conf, sandbox, claim, err);
}

static int send_start(
	struct task *task, const char *id, const char *of, const json_t *body, struct err *err)
{
	auto_free char *path = mem_printf("/v1/sandboxes/%s:start", id);
	auto_free char *label = mem_printf("start-sandbox-%s", of);
	struct api_call call = { .label = label,
		.audience = "provisioner",
		.method = "POST",
		.path = path,
		.body = body };

	if (task_kept(task, label))
		return 0;
	if (task_call(task, &call, NULL, err) < 0)
		return -1;
	return task_keep(task, label, "sent", err);
}

/* stopping, creating and starting pass by themselves; a state at rest is what the caller acts on.
 */
static int settle(
	struct task *task, const char *id, long long wait_ms, json_t **ret_sandbox, struct err *err)
{
	struct err ignored = { 0 };
	auto_json json_t *sandbox = NULL;

	if (sandbox_get(task->project->api, id, NULL, &sandbox, err) < 0)
		return -1;
	if (is_state(sandbox, "stopping") &&
		wait_for(task, id, "stopped", wait_ms, ret_sandbox, err) < 0)
		return -1;
	if (is_state(sandbox, "stopping"))
		return 0;
	if ((is_state(sandbox, "creating") || is_state(sandbox, "starting")) &&
		wait_for(task, id, "ready", wait_ms, ret_sandbox, &ignored) == 0)
		return 0;
	return sandbox_get(task->project->api, id, NULL, ret_sandbox, err);
}

int sandbox_restart(struct task *task, const struct sandbox_conf *conf, struct err *err)
{
	const json_t *known = sandbox_verified(task->project);
	auto_free char *of = mem_printf("%s-%lld", json_text(known, "id"),
		(long long)json_integer_value(json_object_get(known, "boot")));
	auto_json json_t *sandbox = NULL, *ready = NULL, *body = NULL;
	const char *id = json_text(known, "id");
	json_t *claim = claim_for(task, of, err);
	bool is_started;

	if (!claim || settle(task, id, conf->wait_ms, &sandbox, err) < 0)
		return -1;
	is_started = !json_equal(json_object_get(sandbox, "boot"), json_object_get(known, "boot"));
	body = json_pack("{s:O}", "claim", claim);
	if ((!is_started && send_start(task, id, of, body, err) < 0) ||
		wait_for(task, id, "ready", conf->wait_ms, &ready, err) < 0)
		return -1;
	return believe(task, conf, ready, claim, err);
}

/* Whether what stands there now is the boot that was verified. */
static bool is_same_boot(const json_t *sandbox, const json_t *known)
{
	return is_state(sandbox, "ready") &&
	       json_equal(json_object_get(sandbox, "boot"), json_object_get(known, "boot"));
}

int sandbox_ensure(
	struct task *task, const struct sandbox_conf *conf, const char *run_nonce, struct err *err)
{
	const json_t *known = sandbox_verified(task->project);
	const char *used_by = json_text(known, "used_by");
	auto_json json_t *sandbox = NULL;
	struct err reason = { 0 };

	if (!known)
		return sandbox_create(task, conf, err);
	if (sandbox_get(task->project->api, json_text(known, "id"), NULL, &sandbox, &reason) < 0 &&
		!is_gone(NULL, &reason)) {
		*err = reason;
		return -1;
	}
	if (is_gone(sandbox, &reason)) {
		ui_note(task->project->ui, "sandbox %s is gone, making another",
			json_text(known, "id"));
		return sandbox_create(task, conf, err);
	}
	if (is_same_boot(sandbox, known) && (!used_by || strcmp(used_by, run_nonce) == 0)) {
		evidence_table_say_class(task->project->ui, json_text(known, "class"));
		return 0;
	}
	return sandbox_restart(task, conf, err);
}

int sandbox_conf_of(const struct task *task, struct sandbox_conf *ret_conf, struct err *err)
{
	const json_t *outputs = task_after(task, "set-sandbox-specs", err);

	if (!outputs)
		return -1;
	*ret_conf = (struct sandbox_conf) {
		.template_id = json_text(outputs, "template_id"),
		.name = json_text(outputs, "instance_name"),
		.space = json_text(outputs, "space"),
		.parameters = json_object_get(outputs, "parameters"),
		.accept = json_text(outputs, "accept_evidence"),
		.wait_ms = DEFAULT_WAIT_MS,
	};
	return 0;
}
