/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom task: decisions about applications that wait for an owner or admin. */
#include <string.h>

#include "client/session.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "status", "STATUS", "list: INPROGRESS, SUCCESS, DENIED or FAILED" },
	{ "reason", "TEXT", "deny: why" },
	{ NULL, NULL, NULL },
};

static int list(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const members[] = { "id", "type", "status", "entity_id", "image",
		"domains", NULL };
	const char *status = cli_value(cli, "status");
	auto_free char *path =
		mem_printf("/v1/tasks%s%s", status ? "?status=" : "", status ? status : "");

	return session_list(session, cli, "policy", path, members, err);
}

static int show(struct session *session, const struct cli *cli, struct err *err)
{
	auto_free char *path = mem_printf("/v1/tasks/%s", cli->arguments[1]);

	return session_show(session, cli, "policy", path, err);
}

static int decide(struct session *session, const struct cli *cli, const char *verb,
	const json_t *body, struct err *err)
{
	auto_free char *path = mem_printf("/v1/tasks/%s:%s", cli->arguments[1], verb);
	auto_json json_t *answer = NULL;

	if (session_post(session, "policy", path, body, &answer, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(answer), "%s %s", json_text(answer, "id"),
		json_text(answer, "status"));
	return 0;
}

static int approve(struct session *session, const struct cli *cli, struct err *err)
{
	return decide(session, cli, "approve", NULL, err);
}

static int deny(struct session *session, const struct cli *cli, struct err *err)
{
	const char *reason = cli_value(cli, "reason");
	auto_json json_t *body = json_object();

	if (reason)
		json_object_set_new(body, "reason", json_string(reason));
	return decide(session, cli, "deny", body, err);
}

static const struct verb verbs[] = {
	{ "list", list, 0, "" },
	{ "show", show, 1, "ID" },
	{ "approve", approve, 1, "ID" },
	{ "deny", deny, 1, "ID" },
	{ NULL, NULL, 0, NULL },
};

static int task(const struct cli *cli, struct err *err)
{
	return session_verb(cli, "task", verbs, err);
}

const struct command command_task = { "task",
	"list [--status STATUS] | show ID | approve ID | deny ID [--reason TEXT]",
	"decisions about applications that wait", options, 1, 2, task };
