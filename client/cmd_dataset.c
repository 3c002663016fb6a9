/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom dataset: what a data owner offers or receives, where it lies and who may see that. */
#include <string.h>

#include "client/dataset.h"
#include "client/secret.h"
#include "client/shares.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "direction", "WAY", "create: input (default) or output" },
	{ "name", "NAME", "update: a new name" },
	{ "description", "TEXT", "create, update: one line" },
	{ "long-description", "FILE", "create, update: Markdown" },
	{ "description-url", "URL", "create, update: Markdown that the server fetches from there" },
	{ "labels", "LIST",
		"create, update: NAME=VALUE, joined by commas; list: those that have "
		"all" },
	{ "projection", "NAME", "create, update: its columns and rows" },
	{ "location", "URL", "create, update: https://…, without '?', or s3://bucket/key" },
	{ "digest", "DIGEST", "create, update: sha256:… of what lies there" },
	{ "query-file", "FILE", "credentials: what is behind the URL's '?'; '-': asks" },
	{ "key-file", "FILE", "credentials: the content's key, 64 hex digits; '-': asks" },
	{ "new-key", NULL, "credentials: a fresh key" },
	SECRET_OPTIONS,
	SHARES_OPTION,
	{ NULL, NULL, NULL },
};

static int put(struct session *session, const char *path, const char *method, const json_t *body,
	json_t **record, struct err *err)
{
	json_t *answer = NULL;

	if (session_change(session,
		    &(const struct api_call) { .audience = collection_datasets.audience,
			    .method = method,
			    .path = path,
			    .body = body,
			    .etag = json_text(*record, "etag") },
		    &answer, err) < 0)
		return -1;
	json_decref(*record);
	*record = answer;
	return 0;
}

/* --description-url, on the record as it is now. */
static int fetch_description(
	struct session *session, const struct cli *cli, json_t **record, struct err *err)
{
	const char *url = cli_value(cli, "description-url");
	auto_json json_t *body = NULL;
	auto_free char *path = NULL;

	if (!url)
		return 0;
	path = mem_printf(
		"%s/%s:fetch-description", collection_datasets.path, json_text(*record, "id"));
	body = json_pack("{s:s}", "url", url);
	return put(session, path, "POST", body, record, err);
}

static int create(struct session *session, const struct cli *cli, struct err *err)
{
	const char *direction = cli_value(cli, "direction");
	auto_json json_t *body = json_pack("{s:s}", "direction", direction ? direction : "input"),
			 *record = NULL;

	if (dataset_read_options(session, cli, body, err) < 0)
		return -1;
	json_object_set_new(body, "name", json_string(cli->arguments[1]));
	if (session_post(session, collection_datasets.audience, collection_datasets.path, body,
		    &record, err) < 0 ||
		fetch_description(session, cli, &record, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(record), "%s", json_text(record, "id"));
	return 0;
}

/* By id, so that the long description is there. */
static int find_whole(
	struct session *session, const struct cli *cli, json_t **ret_record, struct err *err)
{
	auto_json json_t *line = NULL;

	if (session_find(session, &collection_datasets, cli->arguments[1], &line, err) < 0)
		return -1;
	return session_find(session, &collection_datasets, json_text(line, "id"), ret_record, err);
}

static int update(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const kept[] = { "name", "description", "long_description", "labels",
		"projection", "location", "digest" };
	auto_json json_t *record = NULL, *body = json_object();
	auto_free char *path = NULL;

	if (find_whole(session, cli, &record, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		json_t *value = json_object_get(record, kept[i]);

		if (value && !json_is_null(value))
			json_object_set(body, kept[i], value);
	}
	if (!json_object_get(body, "location"))
		json_object_del(body, "digest");
	path = mem_printf("%s/%s", collection_datasets.path, json_text(record, "id"));
	if (dataset_read_options(session, cli, body, err) < 0 ||
		put(session, path, "PUT", body, &record, err) < 0 ||
		fetch_description(session, cli, &record, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(record), "%s", json_text(record, "id"));
	if (cli_value(cli, "location") &&
		json_integer_value(json_object_get(record, "credentials_version")))
		ui_note(cli->ui,
			"credentials are good for one location: strongroom dataset "
			"credentials %s",
			json_text(record, "name"));
	return 0;
}

static int list(struct session *session, const struct cli *cli, struct err *err)
{
	auto_free char *query = NULL, *path = NULL;

	if (dataset_list_query(session, cli, &query, err) < 0)
		return -1;
	path = mem_printf("%s%s", collection_datasets.path, query);
	return session_list(
		session, cli, collection_datasets.audience, path, collection_datasets.columns, err);
}

static int show(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *record = NULL;

	if (find_whole(session, cli, &record, err) < 0)
		return -1;
	session_print(cli, record);
	return 0;
}

static int versions(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const members[] = { "version", "object", "location.url", "digest",
		"size", "created_at", NULL };
	auto_json json_t *record = NULL;
	auto_free char *path = NULL;

	if (session_find(session, &collection_datasets, cli->arguments[1], &record, err) < 0)
		return -1;
	path = mem_printf("%s/%s/versions", collection_datasets.path, json_text(record, "id"));
	return session_list(session, cli, collection_datasets.audience, path, members, err);
}

static const struct verb verbs[] = {
	{ "list", list, 0, "" },
	{ "show", show, 1, "NAME" },
	{ "create", create, 1, "NAME" },
	{ "update", update, 1, "NAME" },
	{ "delete", NULL, 1, "NAME" },
	{ "versions", versions, 1, "NAME" },
	{ "credentials", dataset_credentials_verb, 1, "NAME" },
	{ "shares", NULL, 1, "NAME" },
	{ "share", NULL, 1, "NAME --space SPACE" },
	{ "unshare", NULL, 1, "NAME --space SPACE" },
	{ NULL, NULL, 0, NULL },
};

static int dataset(const struct cli *cli, struct err *err)
{
	return session_verb_of(cli, "dataset", verbs, &collection_datasets, err);
}

const struct command command_dataset = { "dataset",
	"list | show NAME | create NAME [--location URL] | update NAME | delete NAME | versions "
	"NAME | credentials NAME --query-file FILE --key-file FILE | shares NAME | share NAME "
	"--space SPACE | unshare NAME --space SPACE",
	"datasets: where data lies, what opens it, who may see it", options, 1, 2, dataset };
