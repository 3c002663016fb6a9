/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom app: applications, an image by its digest and the domains that it may reach. */
#include <string.h>

#include "client/shares.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "image", "REPOSITORY@DIGEST", "create, update: tenant/name@sha256:… of its manifest" },
	{ "domains", "LIST", "create, update: host or host:port, joined by commas; '' for none" },
	{ "labels", "LIST", "create, update: NAME=VALUE, joined by commas" },
	{ "description", "TEXT", "create, update" },
	{ "name", "NAME", "update: a new name" },
	SHARES_OPTION,
	{ NULL, NULL, NULL },
};

static int set_image(const struct cli *cli, json_t *body, struct err *err)
{
	const char *image = cli_value(cli, "image"), *at = image ? strchr(image, '@') : NULL;

	if (!image)
		return 0;
	if (!at)
		return err_set(err, ERR_INVALID, "usage.option",
			"--image is REPOSITORY@sha256:…, the digest that 'image push' prints");
	json_object_set_new(body, "image",
		json_pack("{s:s%,s:s}", "repository", image, (size_t)(at - image), "manifest",
			at + 1));
	return 0;
}

/* What the command line says of an application. */
static int read_body(const struct cli *cli, json_t *body, struct err *err)
{
	const char *description = cli_value(cli, "description"), *name = cli_value(cli, "name");
	auto_json json_t *domains = cli_list(cli, "domains"), *labels = NULL;

	if (set_image(cli, body, err) < 0 || cli_map(cli, "labels", &labels, err) < 0)
		return -1;
	if (domains)
		json_object_set(body, "allowed_domains", domains);
	if (labels)
		json_object_set(body, "labels", labels);
	if (description)
		json_object_set_new(body, "description", json_string(description));
	if (name)
		json_object_set_new(body, "name", json_string(name));
	return 0;
}

/* What waits for a decision is said, with the command that decides. */
static void say_tasks(const struct cli *cli, const json_t *app)
{
	static const char *const parts[] = { "build", "domains" };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const json_t *part = json_object_get(app, parts[i]);

		if (json_text_is(part, "status", "PENDING"))
			ui_note(cli->ui,
				"%s: an owner or admin decides: strongroom task approve %s",
				parts[i], json_text(part, "task"));
	}
}

static void say(const struct cli *cli, json_t *app)
{
	ui_result(cli->ui, json_incref(app), "%s", json_text(app, "id"));
	say_tasks(cli, app);
}

static int create(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *body = json_pack("{s:s}", "name", cli->arguments[1]), *answer = NULL;

	if (read_body(cli, body, err) < 0 || session_post(session, collection_apps.audience,
						     collection_apps.path, body, &answer, err) < 0)
		return -1;
	say(cli, answer);
	return 0;
}

static int update(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const kept[] = { "name", "description", "image", "allowed_domains",
		"labels" };
	auto_json json_t *record = NULL, *body = json_object(), *answer = NULL;

	if (session_find(session, &collection_apps, cli->arguments[1], &record, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		json_object_set(body, kept[i], json_object_get(record, kept[i]));
	if (read_body(cli, body, err) < 0 ||
		session_replace(session, &collection_apps, record, "", body, &answer, err) < 0)
		return -1;
	say(cli, answer);
	return 0;
}

static const struct verb verbs[] = {
	{ "list", NULL, 0, "" },
	{ "show", NULL, 1, "NAME" },
	{ "create", create, 1, "NAME --image REPOSITORY@DIGEST" },
	{ "update", update, 1, "NAME" },
	{ "delete", NULL, 1, "NAME" },
	{ "share", NULL, 1, "NAME --space SPACE" },
	{ "unshare", NULL, 1, "NAME --space SPACE" },
	{ NULL, NULL, 0, NULL },
};

static int app(const struct cli *cli, struct err *err)
{
	return session_verb_of(cli, "app", verbs, &collection_apps, err);
}

const struct command command_app = { "app",
	"list | show NAME | create NAME --image REPOSITORY@DIGEST [--domains LIST] | update NAME | "
	"delete NAME | share NAME --space SPACE | unshare NAME --space SPACE",
	"applications: images by digest, and what they may reach", options, 1, 2, app };
