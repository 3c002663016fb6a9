/* SPDX-License-Identifier: Apache-2.0 */
/* What the tasks share: fields, kept work, results, calls under a stored idempotency key, the
 * owner's key. */
#include "client/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/collection.h"
#include "client/files.h"
#include "client/keystore.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

const char *task_field(const struct task *task, const char *name)
{
	return json_text(task->fields, name);
}

int task_need(const struct task *task, const char *name, const char **ret_text, struct err *err)
{
	const char *text = task_field(task, name);

	if (!text || !*text)
		return err_set(err, ERR_INVALID, "plan.field_missing", "line %u: %s needs '%s'",
			task->plan->line, task->key, name);
	*ret_text = text;
	return 0;
}

int task_number(const struct task *task, const char *name, long long min, long long max,
	long long *ret_number, struct err *err)
{
	const char *text = NULL;
	char *end = NULL;
	long long number;

	if (task_need(task, name, &text, err) < 0)
		return -1;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno || end == text || *end || number < min || number > max)
		return err_set(err, ERR_INVALID, "plan.field_value",
			"line %u: '%s' of %s must be a number from %lld to %lld", task->plan->line,
			name, task->key, min, max);
	*ret_number = number;
	return 0;
}

json_t *task_fields_below(const struct task *task, const char *prefix)
{
	json_t *below = json_object(), *value;
	size_t len = strlen(prefix);
	const char *name;

	json_object_foreach (task->fields, name, value) {
		if (strncmp(name, prefix, len) == 0 && name[len] == '.')
			json_object_set(below, name + len + 1, value);
	}
	return below;
}

int task_find_space(struct task *task, struct err *err)
{
	const char *called = task_field(task, "space");
	auto_json json_t *space = NULL;

	if (!called || id_is(called, collection_spaces.prefix))
		return 0;
	if (collection_find(task->project->api, &collection_spaces, called, &space, err) < 0)
		return err_wrap(err, "space '%s'", called);
	json_object_set(task->fields, "space", json_object_get(space, "id"));
	return 0;
}

const json_t *task_after(const struct task *task, const char *key, struct err *err)
{
	const json_t *outputs = state_outputs(&task->project->state, key);

	if (!outputs)
		err_set(err, ERR_INVALID, "plan.missing_task", "%s needs the results of %s",
			task->key, key);
	return outputs;
}

const char *task_after_text(
	const struct task *task, const char *key, const char *output, struct err *err)
{
	const json_t *outputs = task_after(task, key, err);
	const char *text = outputs ? json_text(outputs, output) : NULL;

	if (outputs && !text)
		err_set(err, ERR_INTERNAL, "state.invalid", "%s left no '%s'", key, output);
	return text;
}

const char *task_kept(const struct task *task, const char *name)
{
	return json_text(state_work(&task->project->state, task->key), name);
}

json_t *task_kept_json(const struct task *task, const char *name)
{
	return json_object_get(state_work(&task->project->state, task->key), name);
}

int task_keep_json(struct task *task, const char *name, json_t *value, struct err *err)
{
	json_object_set_new(state_work(&task->project->state, task->key), name, value);
	return state_save(&task->project->state, task->key, err);
}

int task_keep(struct task *task, const char *name, const char *text, struct err *err)
{
	return task_keep_json(task, name, json_string(text), err);
}

void task_put(struct task *task, const char *name, const char *text)
{
	json_object_set_new(task->outputs, name, json_string(text));
}

void task_put_number(struct task *task, const char *name, long long number)
{
	json_object_set_new(task->outputs, name, json_integer(number));
}

int task_made(struct task *task, const char *path, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];

	if (files_tree_digest(path, digest, err) < 0)
		return -1;
	json_object_set_new(task->made, path, json_string(digest));
	return 0;
}

void task_made_present(struct task *task, const char *path)
{
	json_object_set_new(task->made, path, json_string(STATE_PRESENT));
}

const char *task_previous(const struct task *task, const char *output)
{
	const json_t *entry = state_task(&task->project->state, task->key);

	return json_text(json_object_get(entry, "previous"), output);
}

int task_call(struct task *task, struct api_call *call, json_t **ret_json, struct err *err)
{
	call->idempotency_key =
		state_idempotency(&task->project->state, task->key, call->label, call->body, err);
	if (!call->idempotency_key)
		return -1;
	return api_call(task->project->api, call, ret_json, NULL, err);
}

int task_create(struct task *task, const char *label, const char *audience, const char *path,
	const json_t *body, const char **ret_id, struct err *err)
{
	struct api_call call = {
		.label = label, .audience = audience, .method = "POST", .path = path, .body = body
	};
	auto_json json_t *answer = NULL;

	if (!task_kept(task, label)) {
		if (task_call(task, &call, &answer, err) < 0)
			return -1;
		if (!id_is_any(json_text(answer, "id")))
			return err_set(err, ERR_UPSTREAM, "upstream.answer",
				"%s: the answer has no id", label);
		if (task_keep(task, label, json_text(answer, "id"), err) < 0)
			return -1;
	}
	*ret_id = task_kept(task, label);
	return 0;
}

int task_owner_key(const struct task *task, EVP_PKEY **ret_key, struct err *err)
{
	const char *path = task_after_text(task, "get-certs", "key", err);

	if (!path)
		return -1;
	return keystore_read_key(task->project->profile.storage, path, ret_key, err);
}

/* The fields of the original that name a certificate file must mean the one that get-certs
 * registered. */
int task_owner_check(const struct task *task, struct err *err)
{
	static const char *const names[] = { "certificate", "cert_path" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *path = task_field(task, names[i]);
		auto_buf pem = BUF_INIT(64 * 1024);
		struct cert_info info;
		const char *spki;

		if (!path || strcmp(task->key, "get-certs") == 0)
			continue;
		spki = task_after_text(task, "get-certs", "spki", err);
		if (!spki || buf_read_file(&pem, path, err) < 0 ||
			cert_parse(pem.data, pem.len, &info, NULL, NULL, NULL, err) < 0)
			return -1;
		if (strcmp(info.spki, spki) != 0)
			return err_set(err, ERR_INVALID, "plan.certificate_mismatch",
				"'%s' of %s is not the certificate of get-certs", names[i],
				task->key);
	}
	return 0;
}
