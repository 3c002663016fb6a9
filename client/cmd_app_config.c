/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom app-config: ports, config files and labels of an application. The APPCONFIG_ID that
 * is printed is always computed here, from what is shown or sent, and never the server's word.
 */
#include <string.h>

#include "client/config_files.h"
#include "client/session.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/app_config.h"

#define MAX_RUNTIME (2u << 20)

static const struct cli_option options[] = {
	{ "app", "NAME", "create: of which application" },
	{ "ports", "LIST", "create: its ports, such as input,output" },
	{ "files", "DIR", "create: what the application finds below " APP_CONFIG_RW },
	{ "labels", "LIST", "create: NAME=VALUE, joined by commas" },
	{ "zone-ca", "FILE", "create: PEM of the CA that its zone has" },
	{ "workflow", "FILE", "create, id: JSON of its place in a workflow" },
	{ "description", "TEXT", "create" },
	{ "runtime", "FILE", "id: of this runtime (JSON), without a server" },
	{ NULL, NULL, NULL },
};

static int read_json(const char *path, json_t **ret_json, struct err *err)
{
	auto_buf text = BUF_INIT(MAX_RUNTIME);

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	*ret_json = json_parse((const char *)text.data, text.len, err);
	return *ret_json ? 0 : err_wrap(err, "%s", path);
}

/* app_config, labels, zone_ca and workflow of a record. */
static json_t *runtime_of(const json_t *record)
{
	static const char *const members[] = { "app_config", "labels", "zone_ca", "workflow" };
	json_t *runtime = json_object();

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		json_t *value = json_object_get(record, members[i]);

		if (value && !json_is_null(value))
			json_object_set(runtime, members[i], value);
	}
	return runtime;
}

/* --- create --- */

static int add_zone_ca(const struct cli *cli, json_t *body, struct err *err)
{
	const char *path = cli_value(cli, "zone-ca");
	auto_buf text = BUF_INIT(MAX_RUNTIME);

	if (!path)
		return 0;
	if (buf_read_file(&text, path, err) < 0)
		return -1;
	json_object_set_new(body, "zone_ca", json_pack("[s%]", (const char *)text.data, text.len));
	return 0;
}

static int add_workflow(const struct cli *cli, json_t *body, struct err *err)
{
	const char *path = cli_value(cli, "workflow");
	json_t *workflow = NULL;

	if (!path)
		return 0;
	if (read_json(path, &workflow, err) < 0)
		return -1;
	json_object_set_new(body, "workflow", workflow);
	return 0;
}

static int read_files(const struct cli *cli, json_t **ret_files, struct err *err)
{
	const char *folder = cli_value(cli, "files");

	if (folder)
		return config_files_read(folder, ret_files, err);
	*ret_files = json_object();
	return 0;
}

static int read_body(const struct cli *cli, json_t *body, struct err *err)
{
	const char *description = cli_value(cli, "description");
	auto_json json_t *files = NULL, *ports = cli_list(cli, "ports"), *labels = NULL;

	if (read_files(cli, &files, err) < 0 || cli_map(cli, "labels", &labels, err) < 0 ||
		add_zone_ca(cli, body, err) < 0 || add_workflow(cli, body, err) < 0)
		return -1;
	json_object_set(body, "app_config", files);
	json_object_set_new(body, "labels", labels ? json_incref(labels) : json_object());
	json_object_set_new(body, "ports", ports ? json_incref(ports) : json_array());
	if (!json_object_get(body, "zone_ca"))
		json_object_set_new(body, "zone_ca", json_array());
	if (description)
		json_object_set_new(body, "description", json_string(description));
	return 0;
}

static int create(struct session *session, const struct cli *cli, struct err *err)
{
	const char *called = cli_value(cli, "app");
	auto_json json_t *app = NULL, *body = NULL, *runtime = NULL, *answer = NULL;
	char id[APP_CONFIG_ID_SIZE];

	if (!called)
		return err_set(err, ERR_INVALID, "usage.arguments", "of which --app?");
	if (session_find(session, &collection_apps, called, &app, err) < 0)
		return -1;
	body = json_pack("{s:s,s:s}", "name", cli->arguments[1], "app", json_text(app, "id"));
	if (read_body(cli, body, err) < 0)
		return -1;
	runtime = runtime_of(body);
	if (app_config_id(runtime, id, err) < 0 ||
		session_post(session, collection_app_configs.audience, collection_app_configs.path,
			body, &answer, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(answer), "%s %s", json_text(answer, "id"), id);
	return 0;
}

/* --- reading --- */

static int show(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *found = NULL;
	auto_free char *path = NULL;

	if (session_find(session, &collection_app_configs, cli->arguments[1], &found, err) < 0)
		return -1;
	path = mem_printf("%s/%s", collection_app_configs.path, json_text(found, "id"));
	return session_show(session, cli, collection_app_configs.audience, path, err);
}

/* --- id --- */

static int print_id(const struct cli *cli, const json_t *runtime, struct err *err)
{
	char id[APP_CONFIG_ID_SIZE];

	if (app_config_id(runtime, id, err) < 0)
		return -1;
	ui_result(cli->ui, json_pack("{s:s}", "app_config_id", id), "%s", id);
	return 0;
}

/* Others' files hold it as {"config":…,"extra":…}; what is not `config` is not hashed. */
static int id_of_file(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *file = NULL;
	json_t *config;

	(void)session;
	if (read_json(cli_value(cli, "runtime"), &file, err) < 0 ||
		add_workflow(cli, file, err) < 0)
		return -1;
	config = json_object_get(file, "config");
	return print_id(cli, config ? config : file, err);
}

static int id_of_record(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *found = NULL, *record = NULL, *runtime = NULL;
	auto_free char *path = NULL;
	struct api_call call = {
		.label = "show", .audience = collection_app_configs.audience, .method = "GET"
	};

	if (session_find(session, &collection_app_configs, cli->arguments[1], &found, err) < 0)
		return -1;
	path = mem_printf("%s/%s", collection_app_configs.path, json_text(found, "id"));
	call.path = path;
	if (api_call(session->api, &call, &record, NULL, err) < 0)
		return -1;
	runtime = runtime_of(record);
	return add_workflow(cli, runtime, err) < 0 ? -1 : print_id(cli, runtime, err);
}

static const struct verb verbs[] = {
	{ "list", NULL, 0, "" },
	{ "show", show, 1, "NAME" },
	{ "create", create, 1, "NAME --app NAME" },
	{ "delete", NULL, 1, "NAME" },
	{ "id", id_of_record, 1, "NAME, or --runtime FILE" },
	{ NULL, NULL, 0, NULL },
};
static const struct verb local_verbs[] = {
	{ "id", id_of_file, 0, "--runtime FILE" },
	{ NULL, NULL, 0, NULL },
};

static int app_config(const struct cli *cli, struct err *err)
{
	if (cli_value(cli, "runtime"))
		return session_local_verb(cli, "app-config", local_verbs, err);
	return session_verb_of(cli, "app-config", verbs, &collection_app_configs, err);
}

const struct command command_app_config = { "app-config",
	"list | show NAME | create NAME --app NAME [--ports LIST] [--files DIR] | delete NAME | "
	"id NAME|--runtime FILE",
	"configurations of applications, and their APPCONFIG_ID", options, 1, 2, app_config };
