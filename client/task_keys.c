/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get-certs, get-client-keypair, get-symmetric-algokey: keys are made once, rest in the key files,
 * and are used again when the file is there. The original's "symmetric algorithm key" is the image
 * key here: a P-256 pair.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/certificate.h"
#include "client/files.h"
#include "client/keystore.h"
#include "client/task.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/json.h"
#include "lib/mem.h"

static int check_name(const char *name, struct err *err)
{
	if (!*name || strlen(name) > 64 || strchr(name, '/') || *name == '.')
		return err_set(
			err, ERR_INVALID, "plan.field_value", "'%s' is no name for a file", name);
	return 0;
}

/* The pair in the file, or a new one put there; `may_make` false: only what is there. */
static int key_pair(const struct task *task, const char *path, bool may_make, EVP_PKEY **ret_key,
	struct err *err)
{
	const json_t *storage = task->project->profile.storage;
	auto_json json_t *secret = NULL;
	auto_key EVP_PKEY *key = NULL;
	char *pem = NULL;

	if (access(path, F_OK) == 0 || !may_make)
		return keystore_read_key(storage, path, ret_key, err);
	if (cert_key_new(&key, err) < 0 || cert_key_write(key, &pem, err) < 0)
		return -1;
	secret = json_pack("{s:s}", "pem", pem);
	mem_wipe_free(pem, strlen(pem));
	if (keystore_write(storage, path, secret, err) < 0)
		return -1;
	*ret_key = take_ptr(key);
	return 0;
}

/* The certificate file, made again when it is missing or of another key. */
static int certificate_file(const struct task *task, const char *path, EVP_PKEY *key,
	struct cert_info *ret_info, struct err *err)
{
	auto_free char *pem = NULL;
	auto_buf text = BUF_INIT(64 * 1024);
	struct err ignored = { 0 };
	char spki[DIGEST_TEXT_SIZE];
	long long days;

	if (task_number(task, "days", 1, 3650, &days, err) < 0 || cert_spki(key, spki, err) < 0)
		return -1;
	if (buf_read_file(&text, path, &ignored) == 0 &&
		cert_parse(text.data, text.len, ret_info, NULL, NULL, NULL, &ignored) == 0 &&
		strcmp(ret_info->spki, spki) == 0)
		return 0;
	if (cert_self_sign(key, task_field(task, "name"), (int)days, &pem, err) < 0 ||
		buf_write_file(path, pem, strlen(pem), 0644, err) < 0)
		return -1;
	return cert_parse(pem, strlen(pem), ret_info, NULL, NULL, NULL, err);
}

int task_certs(struct task *task, struct err *err)
{
	bool may_make = strcmp(task_field(task, "action"), "create") == 0;
	const char *name = task_field(task, "name"), *folder = task_field(task, "path");
	auto_free char *key_path = mem_printf("keys/%s-certificate.jwe", name);
	auto_free char *path = mem_printf("%s/%s.crt", folder, name);
	auto_free char *id = NULL, *unique = NULL;
	auto_key EVP_PKEY *key = NULL;
	struct cert_info info;

	if (check_name(name, err) < 0 || files_make_dirs("keys", 0700, err) < 0 ||
		files_make_dirs(folder, 0755, err) < 0 ||
		key_pair(task, key_path, may_make, &key, err) < 0 ||
		certificate_file(task, path, key, &info, err) < 0)
		return -1;
	/* projects of one plan share its name, a tenant's certificates do not */
	unique = mem_printf("%s (%.12s)", name, info.spki + strlen("sha256:"));
	if (certificate_register(task->project->api, path, unique, key, &id, err) < 0)
		return -1;
	task_put(task, "path", folder);
	task_put(task, "name", name);
	task_put(task, "cert_path", path);
	task_put(task, "certificate", path);
	task_put(task, "key", key_path);
	task_put(task, "certificate_id", id);
	task_put(task, "spki", info.spki);
	task_put(task, "fingerprint", info.fingerprint);
	ui_note(task->project->ui, "certificate %s, key %s", id, info.spki);
	return task_made(task, path, err) < 0 ? -1 : task_made(task, key_path, err);
}

int task_keypair(struct task *task, struct err *err)
{
	bool may_make = strcmp(task_field(task, "mode"), "fetch") != 0;
	const char *name = task_field(task, "name"), *folder = task_field(task, "path");
	auto_free char *private_path = mem_printf("%s/%s.jwe", folder, name);
	auto_free char *public_path = mem_printf("%s/%s.spki", folder, name);
	auto_key EVP_PKEY *key = NULL;
	char spki[DIGEST_TEXT_SIZE];

	if (check_name(name, err) < 0 || files_make_dirs(folder, 0700, err) < 0 ||
		key_pair(task, private_path, may_make, &key, err) < 0 ||
		cert_spki(key, spki, err) < 0 ||
		buf_write_file(public_path, spki, strlen(spki), 0644, err) < 0)
		return -1;
	task_put(task, "path", folder);
	task_put(task, "name", name);
	task_put(task, "public_key", public_path);
	task_put(task, "private_key", private_path);
	task_put(task, "spki", spki);
	return task_made(task, public_path, err) < 0 ? -1 : task_made(task, private_path, err);
}

int task_algokey(struct task *task, struct err *err)
{
	const char *folder = task_field(task, "path");
	auto_free char *path = mem_printf("%s/image.jwe", folder);
	auto_json json_t *jwk = NULL;
	char thumbprint[JOSE_THUMBPRINT_SIZE];

	if (files_make_dirs(folder, 0700, err) < 0)
		return -1;
	if (access(path, F_OK) == 0) {
		if (keystore_read(task->project->profile.storage, path, &jwk, err) < 0)
			return -1;
	} else {
		jwk = jose_key_new("enc");
		if (keystore_write(task->project->profile.storage, path, jwk, err) < 0)
			return -1;
	}
	if (jose_key_thumbprint(jwk, thumbprint, err) < 0)
		return -1;
	task_put(task, "path", path);
	task_put(task, "key", path);
	task_put(task, "key_id", thumbprint);
	task_made_present(task, path);
	return 0;
}
