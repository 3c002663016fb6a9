/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of shares.h. */
#include "client/shares.h"

#include "lib/json.h"
#include "lib/mem.h"

int shares_space(struct session *session, const struct cli *cli, char **ret_space, struct err *err)
{
	const char *called = cli_value(cli, "space");
	auto_json json_t *space = NULL;

	*ret_space = NULL;
	if (!called)
		return 0;
	if (session_find(session, &collection_spaces, called, &space, err) < 0)
		return -1;
	*ret_space = mem_strdup(json_text(space, "id"));
	return 0;
}

/* Of the record that the second argument calls. */
static int shares_path(struct session *session, const struct cli *cli,
	const struct collection *kind, char **ret_path, struct err *err)
{
	auto_json json_t *record = NULL;

	if (session_find(session, kind, cli->arguments[1], &record, err) < 0)
		return -1;
	*ret_path = mem_printf("%s/%s/shares", kind->path, json_text(record, "id"));
	return 0;
}

static int place(struct session *session, const struct cli *cli, const struct collection *kind,
	char **ret_path, char **ret_space, struct err *err)
{
	if (!cli_value(cli, "space"))
		return err_set(err, ERR_INVALID, "usage.arguments", "with which --space?");
	if (shares_space(session, cli, ret_space, err) < 0)
		return -1;
	return shares_path(session, cli, kind, ret_path, err);
}

int shares_add(struct session *session, const struct cli *cli, const struct collection *kind,
	struct err *err)
{
	auto_free char *path = NULL, *space = NULL;
	auto_json json_t *body = NULL, *answer = NULL;

	if (place(session, cli, kind, &path, &space, err) < 0)
		return -1;
	body = json_pack("{s:s}", "space", space);
	if (session_post(session, kind->audience, path, body, &answer, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(answer), "%s", json_text(answer, "id"));
	return 0;
}

int shares_remove(struct session *session, const struct cli *cli, const struct collection *kind,
	struct err *err)
{
	auto_free char *path = NULL, *space = NULL, *one = NULL;
	auto_json json_t *found = NULL;
	int count;

	if (place(session, cli, kind, &path, &space, err) < 0)
		return -1;
	count = api_find(session->api, kind->audience, path, "space", space, &found, err);
	if (count == 0)
		return err_set(
			err, ERR_NOT_FOUND, "client.not_found", "it is not shared with that space");
	if (count < 0)
		return -1;
	one = mem_printf("%s/%s", path, json_text(found, "id"));
	if (session_change(session,
		    &(const struct api_call) {
			    .audience = kind->audience, .method = "DELETE", .path = one },
		    NULL, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(found), "%s deleted", json_text(found, "id"));
	return 0;
}

int shares_list(struct session *session, const struct cli *cli, const struct collection *kind,
	struct err *err)
{
	static const char *const members[] = { "id", "space", "created_at", NULL };
	auto_free char *path = NULL;

	if (shares_path(session, cli, kind, &path, err) < 0)
		return -1;
	return session_list(session, cli, kind->audience, path, members, err);
}
