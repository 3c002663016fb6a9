/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get-data-projection: the projection's columns and rows of a CSV, encrypted as they are read (no
 * plaintext file is made), uploaded, and registered as the next version of a data set.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/csv.h"
#include "client/files.h"
#include "client/keystore.h"
#include "client/task.h"
#include "client/upload.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/stream_aead.h"
#include "proto/trust.h"

/* By id, or by name among ours. */
static int find_projection(
	struct task *task, const char *which, json_t **ret_projection, struct err *err)
{
	auto_free char *path = mem_printf("/v1/projections/%s", which);
	struct api_call call = {
		.label = "get-projection", .audience = "policy", .method = "GET", .path = path
	};
	int found = 1;

	if (!id_is(which, "prj"))
		found = api_find(task->project->api, "policy", "/v1/projections", "name", which,
			ret_projection, err);
	else if (api_call(task->project->api, &call, ret_projection, NULL, err) < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "projection.missing",
			"no projection '%s': strongroom projection create", which);
	if (found > 0 && (!id_is(json_text(*ret_projection, "id"), "prj") ||
				 !json_text(*ret_projection, "name")))
		return err_set(err, ERR_UPSTREAM, "upstream.answer",
			"the server's answer is not the projection '%s'", which);
	return found < 0 ? -1 : 0;
}

/* The data set of that name, or a new one; and the version that our upload will be. */
static int find_dataset(struct task *task, const json_t *projection, struct err *err)
{
	const char *name = json_text(projection, "name");
	auto_json json_t *dataset = NULL, *body = NULL;
	const char *id;
	int found;

	if (task_kept_json(task, "version"))
		return 0;
	found = api_find(task->project->api, "policy", "/v1/datasets", "name", name, &dataset, err);
	if (found < 0)
		return -1;
	body = json_pack("{s:s,s:s,s:s}", "name", name, "direction", "input", "projection",
		json_text(projection, "id"));
	if (found == 0 &&
		task_create(task, "create-dataset", "policy", "/v1/datasets", body, &id, err) < 0)
		return -1;
	if (found > 0 && !id_is(json_text(dataset, "id"), "dst"))
		return err_set(err, ERR_UPSTREAM, "upstream.answer",
			"the server's answer is not the dataset '%s'", name);
	if (found > 0 && task_keep(task, "create-dataset", json_text(dataset, "id"), err) < 0)
		return -1;
	return task_keep_json(task, "version",
		json_integer(json_integer_value(json_object_get(dataset, "version")) + 1), err);
}

struct encryption {
	struct stream_aead *aead;
	struct digest_stream *digest;
	int fd;
	long long size;
};

static int on_cipher(void *arg, const void *data, size_t len, struct err *err)
{
	struct encryption *encryption = arg;

	digest_stream_add(encryption->digest, data, len);
	encryption->size += (long long)len;
	return files_write_all(encryption->fd, data, len, err);
}

static int on_plain(void *arg, const void *data, size_t len, struct err *err)
{
	return stream_aead_add(((struct encryption *)arg)->aead, data, len, err);
}

static int run_encryption(struct encryption *encryption, const char *data_path,
	const json_t *projection, json_t **ret_made, struct err *err)
{
	auto_file FILE *in = fopen(data_path, "re");
	char digest[DIGEST_TEXT_SIZE];
	struct csv_result rows;

	if (!in)
		return err_errno(err, "open '%s'", data_path);
	if (csv_project(in, projection, on_plain, encryption, &rows, err) < 0)
		return err_wrap(err, "'%s'", data_path);
	if (stream_aead_finish(encryption->aead, err) < 0)
		return -1;
	if (fsync(encryption->fd) < 0)
		return err_errno(err, "sync the encrypted data");
	digest_stream_finish_text(encryption->digest, digest);
	*ret_made = json_pack("{s:s,s:I,s:I,s:I}", "digest", digest, "size", encryption->size,
		"rows", rows.rows_out, "rows_in", rows.rows_in);
	return 0;
}

static int encrypt_to(const char *path, const char *data_path, const json_t *projection,
	const unsigned char key[32], const char *aad, json_t **ret_made, struct err *err)
{
	auto_free char *part = mem_printf("%s.part", path);
	auto_fd int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct encryption encryption = { .fd = fd, .digest = digest_stream_new() };
	int result;

	encryption.aead = stream_aead_encrypter(key, aad, strlen(aad), on_cipher, &encryption);
	result = fd < 0 ? err_errno(err, "open '%s'", part)
			: run_encryption(&encryption, data_path, projection, ret_made, err);
	stream_aead_free(encryption.aead);
	digest_stream_free(encryption.digest);
	if (result == 0 && rename(part, path) < 0)
		result = err_errno(err, "rename '%s'", part);
	if (result < 0)
		unlink(part);
	return result;
}

static int encrypt(struct task *task, const char *path, const char *key_path,
	const json_t *projection, struct err *err)
{
	auto_json json_t *secret = keystore_new_symmetric();
	auto_free char *aad = NULL;
	unsigned char key[32];
	json_t *made = NULL;
	size_t len = 0;
	int result;

	if (files_make_dirs("keys", 0700, err) < 0 || files_make_dirs("build", 0700, err) < 0 ||
		trust_input_aad(task_kept(task, "create-dataset"),
			json_integer_value(task_kept_json(task, "version")), &aad, &len, err) < 0 ||
		keystore_symmetric(secret, key, err) < 0)
		return -1;
	result = encrypt_to(
		path, task_field(task, "data_identifier"), projection, key, aad, &made, err);
	explicit_bzero(key, sizeof(key));
	if (result < 0)
		return -1;
	if (keystore_write(task->project->profile.storage, key_path, secret, err) < 0) {
		json_decref(made);
		return -1;
	}
	return task_keep_json(task, "encrypted", made, err);
}

/* After a crash the version may be there already, with our object in it. */
static int is_our_version(struct task *task, const char *path, const char *object, struct err *err)
{
	struct api_call call = {
		.label = "dataset-versions", .audience = "policy", .method = "GET", .path = path
	};
	auto_json json_t *page = NULL;
	const json_t *item;
	size_t i;

	if (api_call(task->project->api, &call, &page, NULL, err) < 0)
		return -1;
	json_array_foreach (json_object_get(page, "items"), i, item) {
		if (json_equal(json_object_get(item, "version"), task_kept_json(task, "version")))
			return json_text_is(item, "object", object);
	}
	return 0;
}

/* Another client may have made that version meanwhile: then ours, whose associated data names it,
 * is worthless. */
static int register_version(struct task *task, const char *object, struct err *err)
{
	const json_t *made = task_kept_json(task, "encrypted");
	auto_free char *path =
		mem_printf("/v1/datasets/%s/versions", task_kept(task, "create-dataset"));
	auto_json json_t *body = json_pack("{s:s,s:O,s:O,s:O}", "object", object, "digest",
		json_object_get(made, "digest"), "size", json_object_get(made, "size"), "version",
		task_kept_json(task, "version"));
	struct api_call call = { .label = "dataset-version",
		.audience = "policy",
		.method = "POST",
		.path = path,
		.body = body };
	struct err reason = { 0 };
	int ours;

	if (task_call(task, &call, NULL, &reason) == 0)
		return 0;
	if (reason.kind != ERR_CONFLICT) {
		*err = reason;
		return -1;
	}
	ours = is_our_version(task, path, object, err);
	if (ours)
		return ours < 0 ? -1 : 0;
	json_object_clear(state_work(&task->project->state, task->key));
	return err_set(err, ERR_CONFLICT, "dataset.moved_on",
		"another version of the data set was made at the same time; run again");
}

/* [a-z0-9][a-z0-9-]{0,30}, from the field or from the projection's name. */
static void slot_name(const struct task *task, const json_t *projection, char ret_slot[32])
{
	const char *from =
		task_field(task, "slot") ? task_field(task, "slot") : json_text(projection, "name");
	size_t n = 0;

	for (; *from && n < 31; from++) {
		int c = tolower((unsigned char)*from);

		if (isalnum(c) && c < 128)
			ret_slot[n++] = (char)c;
		else if (n > 0 && ret_slot[n - 1] != '-')
			ret_slot[n++] = '-';
	}
	ret_slot[n] = '\0';
	if (n == 0)
		snprintf(ret_slot, 32, "data");
}

static void put_outputs(
	struct task *task, const char *slot, const char *object, const char *key_path)
{
	const json_t *made = task_kept_json(task, "encrypted");
	auto_free char *file = mem_printf("%s.csv", slot);
	auto_free char *full_slot = mem_printf("input/%s", slot);

	task_put(task, "name", slot);
	task_put(task, "slot", full_slot);
	task_put(task, "file", file);
	task_put(task, "dataset_id", task_kept(task, "create-dataset"));
	task_put(task, "object", object);
	task_put(task, "data_sym_ekey", key_path);
	task_put(task, "cid", json_text(made, "digest"));
	task_put(task, "digest", json_text(made, "digest"));
	json_object_set(task->outputs, "size", json_object_get(made, "size"));
	json_object_set(task->outputs, "rows", json_object_get(made, "rows"));
	json_object_set(task->outputs, "version", task_kept_json(task, "version"));
}

int task_data(struct task *task, struct err *err)
{
	auto_json json_t *projection = NULL;
	auto_free char *path = NULL, *key_path = NULL;
	const char *which, *data, *object;
	const json_t *made;
	char slot[32];

	if (task_need(task, "projection_id", &which, err) < 0 ||
		task_need(task, "data_identifier", &data, err) < 0 ||
		find_projection(task, which, &projection, err) < 0 ||
		find_dataset(task, projection, err) < 0)
		return -1;
	slot_name(task, projection, slot);
	path = mem_printf("build/input-%s.enc", slot);
	key_path = mem_printf("keys/input-%s.jwe", slot);
	if ((!task_kept_json(task, "encrypted") ||
		    (!task_kept(task, "object-closed") && access(path, F_OK) < 0)) &&
		encrypt(task, path, key_path, projection, err) < 0)
		return -1;
	made = task_kept_json(task, "encrypted");
	if (upload_object(task, path, json_text(made, "digest"),
		    json_integer_value(json_object_get(made, "size")), &object, err) < 0 ||
		register_version(task, object, err) < 0)
		return -1;
	put_outputs(task, slot, object, key_path);
	ui_note(task->project->ui, "data: %lld rows, %s",
		(long long)json_integer_value(json_object_get(made, "rows")),
		json_text(made, "digest"));
	return 0;
}
