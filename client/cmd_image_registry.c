/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom image push|pull|list|show|delete: what the registry has. */
#include <stdlib.h>
#include <string.h>

#include "client/cmd_image.h"
#include "client/files.h"
#include "client/image_crypt.h"
#include "client/image_keys.h"
#include "client/image_place.h"
#include "lib/json.h"
#include "lib/mem.h"

static void warned(void *arg, const char *text)
{
	ui_warn(arg, "%s", text);
}

int image_open_remote(struct session *session, const struct cli *cli, const struct image_ref *ref,
	const char *actions, const char *session_file, struct image_remote **ret_remote,
	struct err *err)
{
	const struct image_remote_conf conf = {
		.repository = ref->repository,
		.actions = actions,
		.base_url = session->profile.url,
		.ca_file = session->profile.ca_file,
		.token = api_registry_token,
		.token_arg = session->api,
		.session_file = session_file,
		.progress = ui_progress_stage,
		.progress_arg = cli->ui,
		.warned = warned,
		.warned_arg = cli->ui,
	};

	return image_remote_new(&conf, ret_remote, err);
}

/* --- push --- */

static int push_layout(struct session *session, const struct cli *cli, const char *layout,
	const struct image_ref *ref, struct err *err)
{
	auto_free char *upload = mem_printf("%s.upload", cli->arguments[1]);
	auto_json json_t *descriptor = NULL;
	struct image_remote *remote = NULL;
	int done;

	if (image_place_choose(layout, ref->digest ? ref->digest : ref->tag, &descriptor, err) <
			0 ||
		image_open_remote(session, cli, ref, "pull,push", upload, &remote, err) < 0)
		return -1;
	done = image_remote_push(
		remote, layout, descriptor, ref->tag, cli_switch(cli, "allow-plain"), err);
	image_remote_free(remote);
	if (done < 0)
		return -1;
	ui_result(cli->ui,
		json_pack("{s:s,s:s?,s:O}", "repository", ref->repository, "tag", ref->tag,
			"manifest", json_object_get(descriptor, "digest")),
		"%s@%s", ref->repository, json_text(descriptor, "digest"));
	return 0;
}

int image_push_verb(struct session *session, const struct cli *cli, struct err *err)
{
	auto_free char *work = mem_printf("%s.push", cli->arguments[1]), *layout = NULL;
	auto_image_ref ref = { .tag = NULL };
	struct err ignored = { 0 };
	int done;

	if (image_ref_parse(cli->arguments[2], &ref, err) < 0)
		return -1;
	done = image_place_open(cli->arguments[1], work, &layout, err);
	if (done == 0)
		done = push_layout(session, cli, layout, &ref, err);
	files_tree_remove(work, done < 0 ? &ignored : err);
	return done;
}

/* --- pull --- */

static int open_pulled(const struct cli *cli, const struct ocicrypt_keys *keys, const char *from,
	const char *to, struct err *err)
{
	const struct image_crypt crypt = {
		.from = from,
		.to = to,
		.keys = keys,
		.progress = ui_progress_stage,
		.progress_arg = cli->ui,
	};

	return files_tree_remove(to, err) < 0 ? -1 : image_decrypt(&crypt, err);
}

static int pull_to(struct session *session, const struct cli *cli, const struct image_ref *ref,
	const char *layout, json_t **ret_descriptor, struct err *err)
{
	auto_json json_t *descriptor = NULL;
	struct image_remote *remote = NULL;
	int done;

	if (image_open_remote(session, cli, ref, "pull", NULL, &remote, err) < 0)
		return -1;
	done = image_remote_find(remote, image_ref_reference(ref), &descriptor, err);
	if (done == 0)
		done = image_remote_pull(remote, descriptor, ref->tag, layout, err);
	image_remote_free(remote);
	if (done == 0)
		*ret_descriptor = take_ptr(descriptor);
	return done;
}

int image_pull_verb(struct session *session, const struct cli *cli, struct err *err)
{
	auto_free char *work = NULL, *pulled = NULL, *opened = NULL;
	const char *path = cli->arguments[2];
	auto_ocicrypt_keys keys = { .n = 0 };
	auto_json json_t *descriptor = NULL;
	auto_image_ref ref = { .tag = NULL };

	if (image_ref_parse(cli->arguments[1], &ref, err) < 0 ||
		image_keys_private(cli, true, &keys, err) < 0 ||
		image_place_start(path, true, &work, err) < 0)
		return -1;
	pulled = mem_printf("%s/pulled", work);
	opened = mem_printf("%s/opened", work);
	if (pull_to(session, cli, &ref, pulled, &descriptor, err) < 0 ||
		(keys.n > 0 && open_pulled(cli, &keys, pulled, opened, err) < 0) ||
		image_place_finish(path, work, keys.n > 0 ? opened : pulled, err) < 0)
		return -1;
	ui_result(cli->ui,
		json_pack("{s:s,s:O,s:b}", "image", path, "manifest",
			json_object_get(descriptor, "digest"), "decrypted", keys.n > 0),
		"%s  %s", path, json_text(descriptor, "digest"));
	return 0;
}

/* --- list, show --- */

int image_list_verb(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const members[] = { "repository", "tags", "digest", "encrypted",
		"size_bytes", "pushed_at", "used_at", NULL };
	auto_free char *path =
		mem_printf("/v1/images%s%s", cli->n_arguments > 1 ? "?repository=" : "",
			cli->n_arguments > 1 ? cli->arguments[1] : "");

	return session_list(session, cli, "registry-gw", path, members, err);
}

int image_find_record(
	struct session *session, const struct image_ref *ref, json_t **ret_record, struct err *err)
{
	auto_free char *path = mem_printf("/v1/images?repository=%s&%s=%s", ref->repository,
		ref->digest ? "digest" : "tag", image_ref_reference(ref));
	struct api_call call = {
		.label = "find-image", .audience = "registry-gw", .method = "GET", .path = path
	};
	auto_json json_t *page = NULL;
	json_t *record;

	if (api_call(session->api, &call, &page, NULL, err) < 0)
		return -1;
	record = json_array_get(json_object_get(page, "items"), 0);
	if (!record)
		return err_set(err, ERR_NOT_FOUND, "client.not_found", "there is no image %s%s%s",
			ref->repository, ref->digest ? "@" : ":", image_ref_reference(ref));
	*ret_record = json_incref(record);
	return 0;
}

int image_show_verb(struct session *session, const struct cli *cli, struct err *err)
{
	auto_image_ref ref = { .tag = NULL };
	auto_json json_t *record = NULL;

	if (image_ref_parse(cli->arguments[1], &ref, err) < 0 ||
		image_find_record(session, &ref, &record, err) < 0)
		return -1;
	session_print(cli, record);
	return 0;
}

/* --- delete --- */

int image_delete_verb(struct session *session, const struct cli *cli, struct err *err)
{
	auto_image_ref ref = { .tag = NULL };
	struct image_remote *remote = NULL;
	auto_free char *what = NULL;
	int done;

	if (image_ref_parse(cli->arguments[1], &ref, err) < 0)
		return -1;
	what = ref.digest ? mem_printf("%s@%s goes, with all its tags", ref.repository, ref.digest)
			  : mem_printf("the tag %s of %s goes", ref.tag, ref.repository);
	if (cli_confirm(cli, what, err) < 0 ||
		image_open_remote(session, cli, &ref, "pull,delete", NULL, &remote, err) < 0)
		return -1;
	done = oci_registry_delete_manifest(
		image_remote_registry(remote), image_ref_reference(&ref), err);
	image_remote_free(remote);
	if (done < 0)
		return -1;
	ui_result(cli->ui,
		json_pack("{s:s,s:s}", "repository", ref.repository, "deleted",
			image_ref_reference(&ref)),
		"%s deleted", image_ref_reference(&ref));
	return 0;
}
