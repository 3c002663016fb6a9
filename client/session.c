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

static void print_item(const struct cli *cli, json_t *item, const char *const *members)
{
	auto_buf line = BUF_INIT(8192);
	struct err ignored = { 0 };

	for (; *members; members++) {
		const json_t *value = json_object_get(item, *members);

		if (json_is_integer(value))
			buf_printf(
				&line, &ignored, "%-12lld  ", (long long)json_integer_value(value));
		else
			buf_printf(&line, &ignored, "%-12s  ",
				json_is_string(value) ? json_string_value(value) : "-");
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

int session_show(struct session *session, const struct cli *cli, const char *audience,
	const char *path, struct err *err)
{
	struct api_call call = {
		.label = "show", .audience = audience, .method = "GET", .path = path
	};
	auto_free char *text = NULL;
	json_t *object = NULL;

	if (api_call(session->api, &call, &object, NULL, err) < 0)
		return -1;
	text = json_dumps(object, JSON_INDENT(2) | JSON_SORT_KEYS);
	ui_result(cli->ui, object, "%s", text);
	return 0;
}

int session_change(struct session *session, const char *audience, const char *method,
	const char *path, const json_t *body, const char *etag, json_t **ret_json, struct err *err)
{
	char key[ID_SIZE];
	struct api_call call = { .label = method,
		.audience = audience,
		.method = method,
		.path = path,
		.body = body,
		.idempotency_key = key,
		.etag = etag };

	id_new("req", key);
	return api_call(session->api, &call, ret_json, NULL, err);
}
