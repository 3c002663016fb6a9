/* SPDX-License-Identifier: Apache-2.0 */
/* The table of collection.h, and its verbs. */
#include "client/collection.h"

#include <string.h>

#include "client/session.h"
#include "client/shares.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define COLUMNS(...)                                                                               \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

/* clang-format off */
const struct collection collection_apps = { "policy", "/v1/apps", "app",
	COLUMNS("id", "name", "image.repository", "build.status", "domains.status", "allowed_domains") };
const struct collection collection_app_configs = { "policy", "/v1/app-configs", "acf",
	COLUMNS("id", "name", "app", "ports", "app_config_id") };
const struct collection collection_datasets = { "policy", "/v1/datasets", "dst",
	COLUMNS("id", "name", "direction", "version", "location.url", "credentials_version", "description") };
const struct collection collection_invitations = { "certreg", "/v1/invitations", "inv",
	COLUMNS("id", "name", "state", "roles", "expires_at") };
const struct collection collection_keys = { "certreg", "/v1/keys", "key",
	COLUMNS("id", "name", "state", "scopes", "member", "created_by", "expires_at", "last_used_at") };
const struct collection collection_members = { "certreg", "/v1/members", "mbr",
	COLUMNS("id", "name", "kind", "state", "roles") };
const struct collection collection_policies = { "policy", "/v1/policies", "pol",
	COLUMNS("id", "name", "version", "hash", "created_at") };
const struct collection collection_projections = { "policy", "/v1/projections", "prj",
	COLUMNS("id", "name", "minimum_rows") };
const struct collection collection_sandboxes = { "provisioner", "/v1/sandboxes", "sbx",
	COLUMNS("id", "name", "state", "boot", "created_at") };
const struct collection collection_spaces = { "certreg", "/v1/spaces", "spc",
	COLUMNS("id", "name", "founder", "created_at") };
const struct collection collection_templates = { "provisioner", "/v1/templates", "tpl",
	COLUMNS("id", "version", "title", "driver") };
const struct collection collection_tenants = { "certreg", "/v1/tenants", "tnt",
	COLUMNS("id", "name", "state", "created_at") };
const struct collection collection_workflows = { "policy", "/v1/workflows", "wfl",
	COLUMNS("id", "name", "version", "space", "updated_at") };
/* clang-format on */

int session_find(struct session *session, const struct collection *kind, const char *called,
	json_t **ret_record, struct err *err)
{
	return collection_find(session->api, kind, called, ret_record, err);
}

/* Its id becomes a part of paths, of requests and of files. */
static int check_record(
	const struct collection *kind, const char *called, const json_t *record, struct err *err)
{
	const char *id = json_text(record, "id");

	if (id_is(id, kind->prefix) && (!id_is(called, kind->prefix) || strcmp(id, called) == 0))
		return 0;
	return err_set(err, ERR_UPSTREAM, "upstream.answer",
		"the server's answer is not the record of '%s'", called);
}

int collection_find(struct api *api, const struct collection *kind, const char *called,
	json_t **ret_record, struct err *err)
{
	auto_free char *url = mem_printf("%s/%s", kind->path, called);
	struct api_call call = {
		.label = "show", .audience = kind->audience, .method = "GET", .path = url
	};
	auto_json json_t *record = NULL;
	int found = 1;

	if (!id_is(called, kind->prefix))
		found = api_find(api, kind->audience, kind->path, "name", called, &record, err);
	else if (api_call(api, &call, &record, NULL, err) < 0)
		return -1;
	if (found == 0)
		return err_set(
			err, ERR_NOT_FOUND, "client.not_found", "nothing is called '%s'", called);
	if (found < 0 || check_record(kind, called, record, err) < 0)
		return -1;
	*ret_record = take_ptr(record);
	return 0;
}

int session_act(struct session *session, const struct cli *cli, const struct collection *kind,
	const char *action, struct err *err)
{
	auto_json json_t *record = NULL, *answer = NULL;
	auto_free char *target = NULL;
	const char *state;

	if (session_find(session, kind, cli->arguments[1], &record, err) < 0)
		return -1;
	target = mem_printf("%s/%s%s", kind->path, json_text(record, "id"), action);
	if (session_change(session,
		    &(const struct api_call) { .audience = kind->audience,
			    .method = *action ? "POST" : "DELETE",
			    .path = target,
			    .etag = json_text(record, "etag") },
		    &answer, err) < 0)
		return -1;
	state = json_text(answer, "state");
	state = state ? state : json_text(answer, "status");
	ui_result(cli->ui, json_incref(answer ? answer : record), "%s %s", json_text(record, "id"),
		state ? state : "deleted");
	return 0;
}

int session_replace(struct session *session, const struct collection *kind, const json_t *record,
	const char *part, const json_t *body, json_t **ret_answer, struct err *err)
{
	auto_free char *path = mem_printf("%s/%s%s", kind->path, json_text(record, "id"), part);

	return session_change(session,
		&(const struct api_call) { .audience = kind->audience,
			.method = "PUT",
			.path = path,
			.body = body,
			.etag = json_text(record, "etag") },
		ret_answer, err);
}

/* --- verbs --- */

static int list(struct session *session, const struct cli *cli, const struct collection *kind,
	struct err *err)
{
	return session_list(session, cli, kind->audience, kind->path, kind->columns, err);
}

static int show(struct session *session, const struct cli *cli, const struct collection *kind,
	struct err *err)
{
	auto_json json_t *record = NULL;

	if (session_find(session, kind, cli->arguments[1], &record, err) < 0)
		return -1;
	session_print(cli, record);
	return 0;
}

static int drop(struct session *session, const struct cli *cli, const struct collection *kind,
	struct err *err)
{
	return session_act(session, cli, kind, "", err);
}

static const struct {
	const char *name;
	collection_verb *act;
} verbs[] = {
	{ "list", list },
	{ "show", show },
	{ "delete", drop },
	{ "remove", drop },
	{ "revoke", drop },
	{ "share", shares_add },
	{ "unshare", shares_remove },
	{ "shares", shares_list },
};

collection_verb *collection_verb_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(verbs[i].name, name) == 0)
			return verbs[i].act;
	}
	return NULL;
}
