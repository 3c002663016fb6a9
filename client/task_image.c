/* SPDX-License-Identifier: Apache-2.0 */
/* dockerize-algo: build or take an image, encrypt its layers to the image key, push. The encrypted
 * layout is kept until it is pushed, so that an interrupted push does not build again. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/files.h"
#include "client/image.h"
#include "client/image_place.h"
#include "client/image_remote.h"
#include "client/keystore.h"
#include "client/task.h"
#include "lib/crash.h"
#include "lib/json.h"
#include "lib/mem.h"

#define WORK_DIR "build/image"

/* A key is for one image: when another image was encrypted to the one in the file, a new one takes
 * its place. */
static int image_key(struct task *task, const char *path, json_t **ret_jwk, struct err *err)
{
	const json_t *storage = task->project->profile.storage;
	const char *before = task_previous(task, "key_id");
	char thumbprint[JOSE_THUMBPRINT_SIZE];
	auto_json json_t *jwk = NULL;

	if (keystore_read(storage, path, &jwk, err) < 0 ||
		jose_key_thumbprint(jwk, thumbprint, err) < 0)
		return -1;
	if (!task_kept(task, "key_id") && before && strcmp(before, thumbprint) == 0) {
		json_decref(jwk);
		jwk = jose_key_new("enc");
		if (keystore_write(storage, path, jwk, err) < 0 ||
			jose_key_thumbprint(jwk, thumbprint, err) < 0)
			return -1;
	}
	if (task_keep(task, "key_id", thumbprint, err) < 0)
		return -1;
	*ret_jwk = jose_key_public(jwk);
	return 0;
}

static json_t *describe(const struct image_result *image)
{
	json_t *layers = json_array();

	for (unsigned i = 0; i < image->n_layers; i++)
		json_array_append_new(
			layers, json_pack("{s:s,s:s}", "inner", image->layers[i].inner, "diff_id",
					image->layers[i].diff_id));
	return json_pack("{s:s,s:s,s:s,s:I,s:o,s:O,s:O,s:s}", "layout", image->layout, "manifest",
		image->manifest, "config", image->config, "size", image->size, "layers", layers,
		"argv", image->argv, "env", image->env, "cwd", image->cwd);
}

static int prepare(struct task *task, const json_t *jwk, struct err *err)
{
	auto_ocicrypt_keys recipients = { .n = 0 };
	struct image_conf conf = {
		.archive = task_field(task, "archive"),
		.containerfile = task_field(task, "containerfile"),
		.work_dir = WORK_DIR,
		.recipients = &recipients,
		.progress = ui_progress_stage,
		.progress_arg = task->project->ui,
	};
	struct image_result image = { 0 };
	int result;

	if (!conf.archive)
		conf.context = task_field(task, "app_dir");
	if (ocicrypt_keys_add_jwk(&recipients, jwk, err) < 0 ||
		files_tree_remove(WORK_DIR, err) < 0 || files_make_dirs(WORK_DIR, 0700, err) < 0 ||
		image_prepare(&conf, &image, err) < 0)
		return -1;
	result = task_keep_json(task, "image", describe(&image), err);
	image_result_release(&image);
	return result;
}

static int push(struct task *task, const json_t *image, const char *repository, struct err *err)
{
	const char *layout = json_text(image, "layout"),
		   *tag = task_field(task, "docker.image_tag");
	auto_free char *session = mem_printf("%s.upload", layout);
	const struct image_remote_conf conf = {
		.repository = repository,
		.actions = "pull,push",
		.base_url = task->project->profile.url,
		.ca_file = task->project->profile.ca_file,
		.token = api_registry_token,
		.token_arg = task->project->api,
		.session_file = session,
		.progress = ui_progress_stage,
		.progress_arg = task->project->ui,
	};
	auto_json json_t *descriptor = NULL;
	struct image_remote *remote = NULL;
	int done;

	crash_point("before", "push-image");
	if (image_place_choose(layout, json_text(image, "manifest"), &descriptor, err) < 0 ||
		image_remote_new(&conf, &remote, err) < 0)
		return -1;
	done = image_remote_push(remote, layout, descriptor, tag ? tag : "latest", false, err);
	image_remote_free(remote);
	if (done < 0)
		return -1;
	crash_point("after", "push-image");
	return task_keep(task, "pushed", json_text(image, "manifest"), err);
}

static void put_outputs(
	struct task *task, const json_t *image, const char *repository, const char *key)
{
	static const char *const kept[] = { "layers", "argv", "env", "cwd" };
	auto_free char *reference = mem_printf("%s@%s", repository, json_text(image, "manifest"));

	task_put(task, "algo_image", reference);
	task_put(task, "image", reference);
	task_put(task, "repository", repository);
	task_put(task, "manifest", json_text(image, "manifest"));
	task_put(task, "mrenclave", json_text(image, "manifest"));
	task_put(task, "config", json_text(image, "config"));
	task_put(task, "layout", json_text(image, "layout"));
	task_put(task, "key_algo", key);
	task_put(task, "key_id", task_kept(task, "key_id"));
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		json_object_set(task->outputs, kept[i], json_object_get(image, kept[i]));
}

int task_image(struct task *task, struct err *err)
{
	const char *key = task_field(task, "key_algo"), *name;
	auto_json json_t *jwk = NULL;
	auto_free char *repository = NULL;
	const json_t *tenant, *image;

	if (!key)
		key = task_after_text(task, "get-symmetric-algokey", "key", err);
	if (!key || task_need(task, "docker.image_name", &name, err) < 0 ||
		image_key(task, key, &jwk, err) < 0)
		return -1;
	tenant = api_tenant(task->project->api, err);
	if (!tenant)
		return -1;
	repository = mem_printf("%s/%s", json_text(tenant, "name"), name);
	image = task_kept_json(task, "image");
	if ((!image || access(json_text(image, "layout"), F_OK) < 0) && prepare(task, jwk, err) < 0)
		return -1;
	image = task_kept_json(task, "image");
	if (!task_kept(task, "pushed") && push(task, image, repository, err) < 0)
		return -1;
	put_outputs(task, image, repository, key);
	ui_note(task->project->ui, "image %s@%s", repository, json_text(image, "manifest"));
	return 0;
}
