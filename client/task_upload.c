/* SPDX-License-Identifier: Apache-2.0 */
/* upload-policy: the author's approval over the hash of the file as it is, the policy, and a
 * pipeline bound to it. */
#include <string.h>

#include "client/audit_log.h"
#include "client/parties.h"
#include "client/task.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

static int post_policy(
	struct task *task, const struct trust_policy *policy, const char **ret_id, struct err *err)
{
	long long now = clock_unix_ms() / 1000;
	auto_key EVP_PKEY *key = NULL;
	auto_json json_t *body = NULL;
	auto_json json_t *head = NULL;
	json_t *approval = NULL;

	if (audit_log_head(task->project->api, &head, err) < 0 ||
		task_owner_key(task, &key, err) < 0 ||
		trust_approval_make(key, policy,
			&(const struct trust_vote) { .scope = "author",
				.decision = "approve",
				.iat = now,
				.exp = policy->deadline,
				.log_head = head },
			&approval, err) < 0)
		return -1;
	body = json_pack("{s:O,s:[o]}", "policy", policy->doc, "approvals", approval);
	return task_create(task, "post-policy", "policy", "/v1/policies", body, ret_id, err);
}

static int get_pipeline(struct task *task, const char *path, json_t **ret_pipeline, struct err *err)
{
	struct api_call call = {
		.label = "get-pipeline", .audience = "policy", .method = "GET", .path = path
	};

	return api_call(task->project->api, &call, ret_pipeline, NULL, err);
}

/* A new version of the pipeline, unless it is bound to this policy already. */
static int update_pipeline(struct task *task, const char *id, const char *policy_id,
	const struct trust_policy *policy, struct err *err)
{
	auto_free char *path = mem_printf("/v1/pipelines/%s", id);
	auto_json json_t *body =
		json_pack("{s:s,s:s}", "policy", policy_id, "template", policy->template_id);
	auto_json json_t *pipeline = NULL;
	struct api_call call = { .label = "update-pipeline",
		.audience = "policy",
		.method = "PUT",
		.path = path,
		.body = body };
	const char *bound;

	if (get_pipeline(task, path, &pipeline, err) < 0)
		return -1;
	bound = json_text(pipeline, "policy_hash");
	call.etag = json_text(pipeline, "etag");
	if ((!bound || strcmp(bound, policy->hash) != 0) && task_call(task, &call, NULL, err) < 0)
		return -1;
	return task_keep(task, "create-pipeline", id, err);
}

static int bind_pipeline(struct task *task, const char *policy_id,
	const struct trust_policy *policy, const char **ret_id, struct err *err)
{
	auto_json json_t *pipeline = NULL, *body = NULL;
	int found = 0;

	if (!task_kept(task, "create-pipeline"))
		found = api_find(task->project->api, "policy", "/v1/pipelines", "name",
			policy->name, &pipeline, err);
	if (found < 0 || (found > 0 && update_pipeline(task, json_text(pipeline, "id"), policy_id,
					       policy, err) < 0))
		return -1;
	body = json_pack("{s:s,s:s,s:s}", "name", policy->name, "template", policy->template_id,
		"policy", policy_id);
	return task_create(task, "create-pipeline", "policy", "/v1/pipelines", body, ret_id, err);
}

int task_upload(struct task *task, struct err *err)
{
	const char *path = task_field(task, "policy_doc");
	const char *name = task_field(task, "pipeline_name");
	const char *policy_id, *pipeline_id;
	auto_arena struct arena *arena = arena_new();
	auto_buf text = BUF_INIT(1024 * 1024);
	struct trust_policy policy;

	if (buf_read_file(&text, path, err) < 0 ||
		trust_policy_parse(arena, (char *)text.data, text.len, &policy, err) < 0)
		return err_wrap(err, "'%s'", path);
	if (name && strcmp(name, policy.name) != 0)
		return err_set(err, ERR_INVALID, "plan.field_value",
			"pipeline_name is not the policy's name '%s'", policy.name);
	if (parties_check(task, policy.doc, err) < 0 ||
		post_policy(task, &policy, &policy_id, err) < 0 ||
		bind_pipeline(task, policy_id, &policy, &pipeline_id, err) < 0)
		return -1;
	task_put(task, "id", pipeline_id);
	task_put(task, "pipeline_id", pipeline_id);
	task_put(task, "pipeline_name", policy.name);
	task_put(task, "policy_id", policy_id);
	task_put(task, "policy_hash", policy.hash);
	task_put(task, "policy_doc", path);
	ui_note(task->project->ui, "pipeline %s, policy %s", pipeline_id, policy_id);
	return 0;
}
