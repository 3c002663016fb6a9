/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom projection list|show|create|delete: named selections of a data set, the unit that data
 * is encrypted against. */
#include <stdlib.h>
#include <string.h>

#include "client/projection.h"
#include "client/session.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "name", "NAME", "create: its name" },
	{ "columns", "A,B", "create: columns, in this order" },
	{ "data", "FILE", "create: all columns of this CSV's header, when --columns is absent" },
	{ "filter", "RULES",
		"create: column=value, also != < <= > >=, several joined by '&'; column in a|b" },
	{ "minimum-rows", "N", "create: fewer rows are refused" },
	{ NULL, NULL, NULL },
};

static int create(struct session *session, const struct cli *cli, struct err *err)
{
	const char *name = cli_value(cli, "name"), *minimum = cli_value(cli, "minimum-rows");
	auto_json json_t *columns = NULL, *body = NULL, *answer = NULL;

	if (!name)
		return err_set(err, ERR_INVALID, "usage.arguments", "create needs --name");
	if (projection_columns(cli_value(cli, "columns"), cli_value(cli, "data"), &columns, err) <
			0 ||
		projection_body(name, columns, cli_value(cli, "filter"), minimum, &body, err) < 0 ||
		session_post(session, "policy", "/v1/projections", body, &answer, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(answer), "%s", json_text(answer, "id"));
	return 0;
}

static int on_one(struct session *session, const struct cli *cli, bool remove, struct err *err)
{
	struct api_call call = { .label = "show", .audience = "policy", .method = "GET" };
	auto_json json_t *record = NULL;
	auto_free char *path = NULL;

	if (cli->n_arguments < 2)
		return err_set(err, ERR_INVALID, "usage.arguments", "which projection? (prj_…)");
	path = mem_printf("/v1/projections/%s", cli->arguments[1]);
	if (!remove)
		return session_show(session, cli, "policy", path, err);
	call.path = path;
	if (api_call(session->api, &call, &record, NULL, err) < 0)
		return -1;
	return session_change(session,
		&(const struct api_call) { .audience = "policy",
			.method = "DELETE",
			.path = path,
			.etag = json_text(record, "etag") },
		NULL, err);
}

static int act(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const members[] = { "id", "name", "minimum_rows", NULL };
	const char *verb = cli->arguments[0];

	if (strcmp(verb, "list") == 0)
		return session_list(session, cli, "policy", "/v1/projections", members, err);
	if (strcmp(verb, "show") == 0 || strcmp(verb, "delete") == 0)
		return on_one(session, cli, *verb == 'd', err);
	if (strcmp(verb, "create") == 0)
		return create(session, cli, err);
	return err_set(err, ERR_INVALID, "usage.arguments", "no 'projection %s'", verb);
}

static int projection(const struct cli *cli, struct err *err)
{
	struct session session;
	int result;

	if (session_open(&session, cli, err) < 0)
		return -1;
	result = act(&session, cli, err);
	session_close(&session);
	return result;
}

const struct command command_projection = { "projection",
	"list | show ID | create --name NAME --columns A,B|--data FILE [--filter RULES] | delete "
	"ID",
	"selections of columns and rows", options, 1, 2, projection };
