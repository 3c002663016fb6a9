/* SPDX-License-Identifier: Apache-2.0 */
/* Listing, showing and changing of server objects for the small commands. */
#include "client/session.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

int session_open(struct session *ret_session, const struct cli *cli, struct err *err)
{
	if (profile_load(cli->profile, &ret_session->profile, err) < 0)
		return -1;
	ret_session->api = api_new(&ret_session->profile);
	return 0;
}

void session_close(struct session *session)
{
	api_free(session->api);
	profile_release(&session->profile);
}

bool session_has_verb(const struct verb *verbs, const char *name)
{
	while (verbs->name && strcmp(verbs->name, name) != 0)
		verbs++;
	return verbs->name != NULL;
}

static const struct verb *choose(
	const struct cli *cli, const char *command, const struct verb *verbs, struct err *err)
{
	const char *name = cli->arguments[0];

	while (verbs->name && strcmp(verbs->name, name) != 0)
		verbs++;
	if (!verbs->name) {
		err_set(err, ERR_INVALID, "usage.arguments", "no '%s %s'", command, name);
		return NULL;
	}
	if (cli->n_arguments < verbs->min_arguments + 1) {
		err_set(err, ERR_INVALID, "usage.arguments", "usage: strongroom %s %s %s", command,
			name, verbs->usage);
		return NULL;
	}
	return verbs;
}

int session_verb_of(const struct cli *cli, const char *command, const struct verb *verbs,
	const struct collection *kind, struct err *err)
{
	const struct verb *verb = choose(cli, command, verbs, err);
	struct session session;
	int result;

	if (!verb || session_open(&session, cli, err) < 0)
		return -1;
	result = verb->act ? verb->act(&session, cli, err)
			   : collection_verb_named(verb->name)(&session, cli, kind, err);
	session_close(&session);
	return result;
}

int session_verb(
	const struct cli *cli, const char *command, const struct verb *verbs, struct err *err)
{
	return session_verb_of(cli, command, verbs, NULL, err);
}

int session_local_verb(
	const struct cli *cli, const char *command, const struct verb *verbs, struct err *err)
{
	const struct verb *verb = choose(cli, command, verbs, err);

	return verb ? verb->act(NULL, cli, err) : -1;
}

char *session_list_text(const json_t *list)
{
	auto_buf text = BUF_INIT(8192);
	struct err ignored = { 0 };
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		if (json_is_string(item))
			buf_printf(&text, &ignored, "%s%s", i ? "," : "", json_string_value(item));
	}
	return mem_strdup(text.data ? (char *)text.data : "-");
}

static char *column_of(const json_t *value)
{
	if (json_is_string(value))
		return mem_strdup(json_string_value(value));
	if (json_is_integer(value))
		return mem_printf("%lld", (long long)json_integer_value(value));
	if (json_is_boolean(value))
		return mem_strdup(json_is_true(value) ? "yes" : "no");
	return json_array_size(value) > 0 ? session_list_text(value) : mem_strdup("-");
}

/* "build.status": that of the member `build`. */
static const json_t *member_of(const json_t *item, const char *name)
{
	const char *dot = strchr(name, '.');
	auto_free char *first = dot ? mem_strndup(name, (size_t)(dot - name)) : NULL;

	return dot ? json_object_get(json_object_get(item, first), dot + 1)
		   : json_object_get(item, name);
}

static void print_item(const struct cli *cli, json_t *item, const char *const *members)
{
	auto_buf line = BUF_INIT(8192);
	struct err ignored = { 0 };

	for (; *members; members++) {
		auto_free char *column = column_of(member_of(item, *members)),
			       *plain = ui_plain(column); /* others wrote it: it is no line */

		buf_printf(&line, &ignored, "%-12s  ", plain);
	}
	ui_result(cli->ui, json_incref(item), "%s", line.data ? (char *)line.data : "");
}

int session_list(struct session *session, const struct cli *cli, const char *audience,
	const char *path, const char *const *members, struct err *err)
{
	const char *joint = strchr(path, '?') ? "&" : "?";
	auto_free char *next = NULL;

	do {
		auto_free char *url = mem_printf("%s%spage_size=200%s%s", path, joint,
			next ? "&page_token=" : "", next ? next : "");
		struct api_call call = {
			.label = "list", .audience = audience, .method = "GET", .path = url
		};
		auto_json json_t *page = NULL;
		json_t *item;
		size_t i;

		if (api_call(session->api, &call, &page, NULL, err) < 0)
			return -1;
		json_array_foreach (json_object_get(page, "items"), i, item)
			print_item(cli, item, members);
		free(next);
		next = json_text(page, "next_page_token")
			       ? mem_strdup(json_text(page, "next_page_token"))
			       : NULL;
	} while (next);
	return 0;
}

void session_print(const struct cli *cli, json_t *object)
{
	auto_free char *text = json_dumps(object, JSON_INDENT(2) | JSON_SORT_KEYS);

	ui_result(cli->ui, json_incref(object), "%s", text);
}

int session_show(struct session *session, const struct cli *cli, const char *audience,
	const char *path, struct err *err)
{
	struct api_call call = {
		.label = "show", .audience = audience, .method = "GET", .path = path
	};
	auto_json json_t *object = NULL;

	if (api_call(session->api, &call, &object, NULL, err) < 0)
		return -1;
	session_print(cli, object);
	return 0;
}

int session_change(
	struct session *session, const struct api_call *change, json_t **ret_json, struct err *err)
{
	char key[ID_SIZE];
	struct api_call call = *change;

	id_new("req", key);
	call.label = call.method;
	call.idempotency_key = key;
	return api_call(session->api, &call, ret_json, NULL, err);
}

int session_post(struct session *session, const char *audience, const char *path,
	const json_t *body, json_t **ret_json, struct err *err)
{
	const struct api_call call = {
		.audience = audience, .method = "POST", .path = path, .body = body
	};

	return session_change(session, &call, ret_json, err);
}
