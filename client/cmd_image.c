/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom image: images by hand. What is here needs no server: build, encrypt, decrypt. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cmd_image.h"
#include "client/files.h"
#include "client/image_crypt.h"
#include "client/image_keys.h"
#include "client/image_place.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	IMAGE_KEYS_RECIPIENT,
	IMAGE_KEYS_NEW,
	IMAGE_KEYS_KEY,
	{ "containerfile", "NAME", "build: which file of the folder" },
	{ "allow-plain", NULL, "push: layers in clear too, if the tenant's rule lets them in" },
	{ "yes", NULL, "rewrap, reencrypt, delete: it is meant" },
	{ NULL, NULL, NULL },
};

/* --- build --- */

static int keep_built(const struct cli *cli, const char *path, const char *work,
	const struct image_result *image, struct err *err)
{
	if (image_place_finish(path, work, image->layout, err) < 0)
		return -1;
	ui_result(cli->ui,
		json_pack("{s:s,s:s,s:s,s:I,s:s,s:s,s:O,s:O,s:s}", "image", path, "manifest",
			image->manifest, "config", image->config, "size", (json_int_t)image->size,
			"inner", image->layers[0].inner, "diff_id", image->layers[0].diff_id,
			"argv", image->argv, "env", image->env, "cwd", image->cwd),
		"%s  %s", path, image->manifest);
	return 0;
}

/* A folder to build in, and not an image layout. */
static bool is_context(const char *path)
{
	auto_free char *marker = mem_printf("%s/oci-layout", path);
	struct stat info;

	return stat(path, &info) == 0 && S_ISDIR(info.st_mode) && access(marker, F_OK) < 0;
}

static int build_in(const struct cli *cli, const char *path, const char *work,
	const struct ocicrypt_keys *recipients, struct err *err)
{
	const char *from = cli->arguments[1];
	struct image_conf conf = {
		.containerfile = cli_value(cli, "containerfile"),
		.work_dir = work,
		.recipients = recipients->n > 0 ? recipients : NULL,
		.progress = ui_progress_stage,
		.progress_arg = cli->ui,
	};
	struct image_result image = { 0 };
	int done;

	if (is_context(from))
		conf.context = from;
	else
		conf.archive = from;
	if (image_prepare(&conf, &image, err) < 0)
		return -1;
	done = keep_built(cli, path, work, &image, err);
	image_result_release(&image);
	return done;
}

static int build(struct session *session, const struct cli *cli, struct err *err)
{
	auto_ocicrypt_keys recipients = { .n = 0 };
	const char *path = cli->arguments[2];
	auto_free char *work = NULL;

	(void)session;
	if (image_keys_recipients(cli, true, &recipients, err) < 0 ||
		image_place_start(path, false, &work, err) < 0)
		return -1;
	return build_in(cli, path, work, &recipients, err);
}

/* --- encrypt, decrypt --- */

static int transform(const struct cli *cli, struct image_crypt *crypt,
	int (*act)(const struct image_crypt *crypt, struct err *err), struct err *err)
{
	const char *path = cli->arguments[2];
	auto_free char *work = NULL, *from = NULL, *to = NULL;

	if (image_place_start(path, false, &work, err) < 0 ||
		image_place_open(cli->arguments[1], work, &from, err) < 0)
		return -1;
	to = mem_printf("%s/layout", work);
	crypt->from = from;
	crypt->to = to;
	crypt->progress = ui_progress_stage;
	crypt->progress_arg = cli->ui;
	if (act(crypt, err) < 0) {
		struct err ignored = { 0 };

		files_tree_remove(work, &ignored);
		return -1;
	}
	if (image_place_finish(path, work, to, err) < 0)
		return -1;
	ui_result(cli->ui, json_pack("{s:s}", "image", path), "%s", path);
	return 0;
}

static int encrypt(struct session *session, const struct cli *cli, struct err *err)
{
	auto_ocicrypt_keys recipients = { .n = 0 };
	struct image_crypt crypt = { .recipients = &recipients };

	(void)session;
	if (image_keys_recipients(cli, false, &recipients, err) < 0)
		return -1;
	return transform(cli, &crypt, image_encrypt, err);
}

static int decrypt(struct session *session, const struct cli *cli, struct err *err)
{
	auto_ocicrypt_keys keys = { .n = 0 };
	struct image_crypt crypt = { .keys = &keys };

	(void)session;
	if (image_keys_private(cli, false, &keys, err) < 0)
		return -1;
	return transform(cli, &crypt, image_decrypt, err);
}

static const struct verb local_verbs[] = {
	{ "build", build, 2, "DIR|ARCHIVE OUT [--recipient LIST] [--new-key FILE]" },
	{ "encrypt", encrypt, 2, "IN OUT --recipient LIST" },
	{ "decrypt", decrypt, 2, "IN OUT --key LIST" },
	{ NULL, NULL, 0, NULL },
};
static const struct verb verbs[] = {
	{ "push", image_push_verb, 2, "IMAGE TENANT/NAME:TAG" },
	{ "pull", image_pull_verb, 2, "TENANT/NAME:TAG OUT [--key LIST]" },
	{ "list", image_list_verb, 0, "[TENANT/NAME]" },
	{ "show", image_show_verb, 1, "TENANT/NAME:TAG" },
	{ "rewrap", image_rewrap_verb, 1, "TENANT/NAME:TAG --key LIST --recipient LIST" },
	{ "reencrypt", image_reencrypt_verb, 1, "TENANT/NAME:TAG --key LIST --recipient LIST" },
	{ "delete", image_delete_verb, 1, "TENANT/NAME:TAG | TENANT/NAME@DIGEST" },
	{ NULL, NULL, 0, NULL },
};

static int image(const struct cli *cli, struct err *err)
{
	if (session_has_verb(local_verbs, cli->arguments[0]))
		return session_local_verb(cli, "image", local_verbs, err);
	return session_verb(cli, "image", verbs, err);
}

const struct command command_image = { "image",
	"build DIR OUT | encrypt IN OUT | decrypt IN OUT | push IMAGE REF | pull REF OUT | "
	"list [NAME] | show REF | rewrap REF | reencrypt REF | delete REF",
	"encrypted images: make, store, open, and change whom they are for", options, 1, 3, image };
