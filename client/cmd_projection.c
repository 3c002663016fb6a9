/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom projection: named selections of a data set, the unit that data is encrypted against,
 * and who may see and use them. */
#include <stdlib.h>
#include <string.h>

#include "client/projection.h"
#include "client/shares.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "name", "NAME", "create: its name; update: a new one" },
	{ "columns", "A,B", "create, update: columns, in this order" },
	{ "data", "FILE",
		"create, update: all columns of this CSV's header, when --columns is absent" },
	{ "filter", "RULES",
		"create, update: column=value, also != < <= > >=, several joined by '&'; column in "
		"a|b" },
	{ "minimum-rows", "N", "create, update: fewer rows are refused" },
	{ "members", "LIST",
		"create, update: who may see and use it, beside owners and admins; 'all': every "
		"member" },
	SHARES_OPTION,
	{ NULL, NULL, NULL },
};

/* --members, by name or id. */
static int read_members(
	struct session *session, const struct cli *cli, json_t *body, struct err *err)
{
	auto_json json_t *names = cli_list(cli, "members"), *ids = json_array();
	json_t *name;
	size_t i;

	if (!names)
		return 0;
	json_object_del(body, "members");
	if (strcmp(cli_value(cli, "members"), "all") == 0)
		return 0;
	json_array_foreach (names, i, name) {
		auto_json json_t *member = NULL;

		if (session_find(session, &collection_members, json_string_value(name), &member,
			    err) < 0)
			return -1;
		json_array_append(ids, json_object_get(member, "id"));
	}
	json_object_set(body, "members", ids);
	return 0;
}

/* What the command line says, over what `body` has. */
static int read_body(struct session *session, const struct cli *cli, json_t *body, struct err *err)
{
	const char *name = cli_value(cli, "name"), *filter = cli_value(cli, "filter"),
		   *minimum = cli_value(cli, "minimum-rows");
	auto_json json_t *columns = NULL, *said = NULL;

	if ((cli_value(cli, "columns") || cli_value(cli, "data") ||
		    !json_object_get(body, "columns")) &&
		projection_columns(
			cli_value(cli, "columns"), cli_value(cli, "data"), &columns, err) < 0)
		return -1;
	if (projection_body("", columns ? columns : json_object_get(body, "columns"), filter,
		    minimum, &said, err) < 0)
		return -1;
	json_object_set(body, "columns", json_object_get(said, "columns"));
	if (filter || !json_object_get(body, "filter"))
		json_object_set(body, "filter", json_object_get(said, "filter"));
	if (minimum || !json_object_get(body, "minimum_rows"))
		json_object_set(body, "minimum_rows", json_object_get(said, "minimum_rows"));
	if (name)
		json_object_set_new(body, "name", json_string(name));
	return read_members(session, cli, body, err);
}

static int create(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *body = json_object(), *answer = NULL;

	if (!cli_value(cli, "name"))
		return err_set(err, ERR_INVALID, "usage.arguments", "create needs --name");
	if (read_body(session, cli, body, err) < 0 ||
		session_post(session, collection_projections.audience, collection_projections.path,
			body, &answer, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(answer), "%s", json_text(answer, "id"));
	return 0;
}

static int update(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const kept[] = { "name", "columns", "filter", "minimum_rows",
		"members" };
	auto_json json_t *record = NULL, *body = json_object(), *answer = NULL;

	if (session_find(session, &collection_projections, cli->arguments[1], &record, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		if (!json_is_null(json_object_get(record, kept[i])))
			json_object_set(body, kept[i], json_object_get(record, kept[i]));
	}
	if (read_body(session, cli, body, err) < 0 ||
		session_replace(session, &collection_projections, record, "", body, &answer, err) <
			0)
		return -1;
	ui_result(cli->ui, json_incref(answer), "%s", json_text(answer, "id"));
	return 0;
}

static const struct verb verbs[] = {
	{ "list", NULL, 0, "" },
	{ "show", NULL, 1, "NAME" },
	{ "create", create, 0, "--name NAME --columns A,B|--data FILE" },
	{ "update", update, 1, "NAME" },
	{ "delete", NULL, 1, "NAME" },
	{ "share", NULL, 1, "NAME --space SPACE" },
	{ "unshare", NULL, 1, "NAME --space SPACE" },
	{ NULL, NULL, 0, NULL },
};

static int projection(const struct cli *cli, struct err *err)
{
	return session_verb_of(cli, "projection", verbs, &collection_projections, err);
}

const struct command command_projection = { "projection",
	"list | show NAME | create --name NAME --columns A,B|--data FILE [--filter RULES] | update "
	"NAME | delete NAME | share NAME --space SPACE | unshare NAME --space SPACE",
	"selections of columns and rows", options, 1, 2, projection };
