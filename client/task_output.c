/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retrieve-output and decrypt-output, which leaves an output closed that is for somebody else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/audit_log.h"
#include "client/files.h"
#include "client/keystore.h"
#include "client/output.h"
#include "client/task.h"
#include "client/upload.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

static int write_receipt(
	struct task *task, const char *path, const json_t *receipt, struct err *err)
{
	auto_free char *text = json_dumps(receipt, JSON_COMPACT | JSON_SORT_KEYS);

	if (buf_write_file(path, text, strlen(text), 0644, err) < 0)
		return -1;
	return task_made(task, path, err);
}

int task_retrieve(struct task *task, struct err *err)
{
	const json_t *run = task_after(task, "execute-policy", err);
	const char *wanted = task_field(task, "experiment_id"), *dest = task_field(task, "dest");
	auto_free char *path = NULL, *receipt = NULL;

	if (!run)
		return -1;
	if (wanted && strcmp(wanted, json_text(run, "id")) != 0)
		return err_set(err, ERR_INVALID, "plan.field_value", "experiment_id is not %s",
			json_text(run, "id"));
	path = mem_printf("%s/%s.enc", dest, json_text(run, "id"));
	receipt = mem_printf("%s/%s.receipt.json", dest, json_text(run, "id"));
	if (files_make_dirs(dest, 0755, err) < 0 ||
		download_object(task->project->api, task->project->ui,
			&(const struct download) { json_text(run, "object"),
				json_text(run, "digest"),
				json_integer_value(json_object_get(run, "size")) },
			path, err) < 0 ||
		write_receipt(task, receipt, json_object_get(run, "receipt"), err) < 0)
		return -1;
	task_put(task, "path", path);
	task_put(task, "receipt", receipt);
	task_put(task, "id", json_text(run, "id"));
	task_put(task, "name", json_text(run, "name"));
	return 0;
}

/* --- decrypt --- */

static int output_of(
	struct task *task, const char *path, struct output *ret_output, struct err *err)
{
	const json_t *run = task_after(task, "execute-policy", err);

	*ret_output = (struct output) {
		.path = path,
		.policy_hash = task_after_text(task, "upload-policy", "policy_hash", err),
		.name = task_after_text(task, "output-encrypt-bundle", "name", err),
		.run_nonce = json_text(run, "run_nonce"),
		.run = json_text(run, "id"),
		.sandbox = json_text(run, "sandbox"),
		.evidence = json_text(run, "evidence"),
		.machine = json_object_get(run, "machine"),
	};
	return run && ret_output->policy_hash && ret_output->name ? 0 : -1;
}

/* Ours unless somebody else offered the key: then nobody but him opens it. */
static int is_ours(struct task *task, bool *ret_ours, struct err *err)
{
	const char *path = task_after_text(task, "prepare-policy", "openings", err);
	auto_json json_t *openings = NULL;

	if (!path || keystore_read(task->project->profile.storage, path, &openings, err) < 0)
		return -1;
	*ret_ours = json_object_get(openings, "output");
	return 0;
}

static int put_result(struct task *task, const char *dest, struct err *err)
{
	auto_free char *path = mem_printf("%s/result.json", dest);
	auto_free char *output = mem_printf("%s/stdout", dest);
	auto_buf text = BUF_INIT(65536);
	auto_json json_t *result = NULL;

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	result = json_parse((char *)text.data, text.len, err);
	if (!result)
		return -1;
	task_put(task, "path", dest);
	json_object_set(task->outputs, "returncode", json_object_get(result, "returncode"));
	if (json_integer_value(json_object_get(result, "returncode")) != 0 ||
		json_integer_value(json_object_get(result, "signal")) != 0)
		ui_warn(task->project->ui, "the app ended with returncode %lld, signal %lld",
			(long long)json_integer_value(json_object_get(result, "returncode")),
			(long long)json_integer_value(json_object_get(result, "signal")));
	task_made_present(task, output);
	return task_made(task, path, err);
}

static bool keeps_original(const struct task *task)
{
	const char *text = task_field(task, "keep_original");

	return *text == 't' || *text == 'y' || *text == 'T';
}

static int read_receipt(const char *path, json_t **ret_receipt, struct err *err)
{
	auto_buf text = BUF_INIT(1024 * 1024);

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	*ret_receipt = json_parse((char *)text.data, text.len, err);
	return *ret_receipt ? 0 : -1;
}

static int check_output(struct task *task, const char *path, const char *receipt_path,
	struct output *ret_output, struct err *err)
{
	auto_json json_t *receipt = NULL;

	if (output_of(task, path, ret_output, err) < 0 ||
		read_receipt(receipt_path, &receipt, err) < 0)
		return -1;
	return output_check(task->project->api, ret_output, receipt, err);
}

static int decrypt_output(
	struct task *task, const char *path, const char *receipt, const char *dest, struct err *err)
{
	const char *key = task_after_text(task, "output-encrypt-bundle", "key", err);
	auto_json json_t *secret = NULL;
	struct output output;

	if (!key || check_output(task, path, receipt, &output, err) < 0 ||
		keystore_read(task->project->profile.storage, key, &secret, err) < 0)
		return -1;
	return output_open(&output, secret, dest, err);
}

/* The receipt of what somebody else will open. */
static int leave_closed(struct task *task, const char *path, const char *receipt, struct err *err)
{
	struct output output;

	if (check_output(task, path, receipt, &output, err) < 0)
		return -1;
	ui_note(task->project->ui,
		"receipt verified; the output is its receiver's to open: strongroom output fetch "
		"%s",
		output.run);
	return 0;
}

/* An interrupted task may have removed the original already: then all before that is done. */
static bool is_removed(const struct task *task, const char *path)
{
	return task_kept(task, "removing") && access(path, F_OK) < 0;
}

static int remove_original(struct task *task, const char *path, struct err *err)
{
	if (task_keep(task, "removing", path, err) < 0)
		return -1;
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(err, "remove '%s'", path);
	return 0;
}

int task_decrypt(struct task *task, struct err *err)
{
	const char *path = task_field(task, "from"), *dest = task_field(task, "dest");
	const char *receipt = task_after_text(task, "retrieve-output", "receipt", err);
	struct note_key key;
	bool ours;

	if (!path)
		path = task_after_text(task, "retrieve-output", "path", err);
	if (!path || !receipt || is_ours(task, &ours, err) < 0)
		return -1;
	if (!ours)
		return leave_closed(task, path, receipt, err);
	if (!is_removed(task, path) && decrypt_output(task, path, receipt, dest, err) < 0)
		return -1;
	if (put_result(task, dest, err) < 0)
		return -1;
	if (!keeps_original(task) && remove_original(task, path, err) < 0)
		return -1;
	ui_note(task->project->ui, "output in ./%s, receipt verified (log: %s)", dest,
		audit_log_key(&task->project->profile, &key, NULL) ? "consistent" : "not_checked");
	return 0;
}
