/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retrieve-output and decrypt-output. The receipt is verified first; the plaintext goes to a file
 * without a name, and only behind the last verified segment is it unpacked, beside ./output, and
 * renamed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/audit_log.h"
#include "client/files.h"
#include "client/keystore.h"
#include "client/task.h"
#include "client/untar.h"
#include "client/upload.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/stream_aead.h"
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
		download_object(task, json_text(run, "object"), path, json_text(run, "digest"),
			json_integer_value(json_object_get(run, "size")), err) < 0 ||
		write_receipt(task, receipt, json_object_get(run, "receipt"), err) < 0)
		return -1;
	task_put(task, "path", path);
	task_put(task, "receipt", receipt);
	task_put(task, "id", json_text(run, "id"));
	task_put(task, "name", json_text(run, "name"));
	return 0;
}

/* --- decrypt --- */

static int check_receipt(struct task *task, const char *path, const char *receipt_path,
	json_t **ret_statement, struct err *err)
{
	const json_t *run = task_after(task, "execute-policy", err);
	auto_buf text = BUF_INIT(1024 * 1024);
	auto_json json_t *receipt = NULL;
	char digest[DIGEST_TEXT_SIZE];
	struct trust_receipt_expect expect = {
		.policy_hash = task_after_text(task, "upload-policy", "policy_hash", err),
		.run_nonce = json_text(run, "run_nonce"),
		.output_digest = digest,
	};

	if (!run || !expect.policy_hash || buf_read_file(&text, receipt_path, err) < 0 ||
		digest_file(path, digest, &expect.output_size, err) < 0)
		return -1;
	receipt = json_parse((char *)text.data, text.len, err);
	if (!receipt)
		return -1;
	return trust_receipt_check(
		json_object_get(run, "machine"), receipt, &expect, ret_statement, err);
}

/* What the receipt says beyond what trust_receipt_check() compares: the machine that we believed,
 * and that run. */
static int check_machine(const struct task *task, const json_t *statement, struct err *err)
{
	const json_t *run = task_after(task, "execute-policy", err);
	const json_t *predicate = json_object_get(statement, "predicate");
	static const char *const same[][2] = { { "sandbox", "sandbox" }, { "evidence", "evidence" },
		{ "run", "id" } };

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		const char *said = json_text(predicate, same[i][0]);
		const char *expected = json_text(run, same[i][1]);

		if (!said || !expected || strcmp(said, expected) != 0)
			return err_set(err, ERR_FORBIDDEN, "receipt.wrong_machine",
				"the receipt's %s is not the one that was ordered", same[i][0]);
	}
	return 0;
}

static int to_fd(void *arg, const void *data, size_t len, struct err *err)
{
	return files_write_all(*(int *)arg, data, len, err);
}

static int pump(struct stream_aead *aead, const char *path, struct err *err)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char chunk[65536];
	ssize_t got;

	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	while ((got = read(fd, chunk, sizeof(chunk))) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_errno(err, "read '%s'", path);
		if (stream_aead_add(aead, chunk, (size_t)got, err) < 0)
			return -1;
	}
	return stream_aead_finish(aead, err);
}

static int decrypt_to(
	struct task *task, const char *path, const json_t *statement, int fd, struct err *err)
{
	const char *key_path = task_after_text(task, "output-encrypt-bundle", "key", err);
	const char *name = task_after_text(task, "output-encrypt-bundle", "name", err);
	const char *hash = task_after_text(task, "upload-policy", "policy_hash", err);
	const json_t *predicate = json_object_get(statement, "predicate");
	auto_json json_t *secret = NULL;
	auto_free char *aad = NULL;
	struct stream_aead *aead;
	unsigned char key[32];
	size_t len = 0;
	int result;

	if (!key_path || !name || !hash ||
		keystore_read(task->project->profile.storage, key_path, &secret, err) < 0 ||
		keystore_symmetric(secret, key, err) < 0 ||
		trust_output_aad(hash, json_text(predicate, "run_nonce"), name, &aad, &len, err) <
			0)
		return -1;
	aead = stream_aead_decrypter(key, aad, len, to_fd, &fd);
	explicit_bzero(key, sizeof(key));
	result = pump(aead, path, err);
	stream_aead_free(aead);
	return result;
}

/* `dest` is replaced at once: there is never a half of one output beside a half of another. */
static int unpack(int fd, const char *dest, struct err *err)
{
	auto_free char *part = mem_printf("%s.new", dest);
	auto_free char *old = mem_printf("%s.old", dest);

	if (files_tree_remove(part, err) < 0 || files_make_dirs(part, 0755, err) < 0 ||
		untar(fd, part, err) < 0)
		return -1;
	if (files_tree_remove(old, err) < 0)
		return -1;
	if (rename(dest, old) < 0 && errno != ENOENT)
		return err_errno(err, "move '%s' away", dest);
	if (rename(part, dest) < 0)
		return err_errno(err, "rename '%s'", part);
	return files_tree_remove(old, err);
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

/* The agent saw the same log as we do. */
static int check_log(struct task *task, const json_t *statement, struct err *err)
{
	const json_t *predicate = json_object_get(statement, "predicate");

	return audit_log_check(task->project->api, json_object_get(predicate, "log_head"), err);
}

static int decrypt_output(
	struct task *task, const char *path, const char *receipt, const char *dest, struct err *err)
{
	auto_json json_t *statement = NULL;
	auto_fd int fd = -1;

	if (check_receipt(task, path, receipt, &statement, err) < 0 ||
		check_machine(task, statement, err) < 0 || check_log(task, statement, err) < 0)
		return -1;
	fd = files_unnamed(".", err);
	if (fd < 0 || decrypt_to(task, path, statement, fd, err) < 0)
		return -1;
	return unpack(fd, dest, err);
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

	if (!path)
		path = task_after_text(task, "retrieve-output", "path", err);
	if (!path || !receipt)
		return -1;
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
