/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom member: who belongs to the tenant, as what; inviting and accepting. */
#include <string.h>

#include "client/invitation.h"
#include "client/secret.h"
#include "client/who.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "roles", "LIST",
		"invite, set, add-service: owner, admin, algorithm-owner, data-owner, auditor" },
	{ "trust", "FILE", "accept: reference values, as for configure" },
	INVITATION_OPTION,
	SECRET_OPTIONS,
	{ NULL, NULL, NULL },
};

static int show(struct session *session, const struct cli *cli, struct err *err)
{
	const char *called = cli->n_arguments > 1 ? cli->arguments[1] : "self";
	auto_json json_t *record = NULL;

	if (strcmp(called, "self") == 0)
		return session_show(session, cli, "certreg", "/v1/members/self", err);
	if (session_find(session, &collection_members, called, &record, err) < 0)
		return -1;
	session_print(cli, record);
	return 0;
}

/* --roles, which must be there. */
static int read_roles(const struct cli *cli, json_t **ret_roles, struct err *err)
{
	*ret_roles = cli_list(cli, "roles");
	if (!*ret_roles)
		return err_set(err, ERR_INVALID, "usage.arguments", "as what? --roles LIST");
	return 0;
}

static int invite(struct session *session, const struct cli *cli, struct err *err)
{
	const json_t *tenant = api_tenant(session->api, err);
	auto_json json_t *roles = NULL, *body = NULL;
	struct invitation_offer offer;
	int result;

	if (!tenant || read_roles(cli, &roles, err) < 0 ||
		invitation_offer_new(
			cli, json_text(tenant, "name"), cli->arguments[1], &offer, err) < 0)
		return -1;
	body = invitation_offer_words(&offer);
	json_object_set(body, "roles", roles);
	result = invitation_offer_send(session, cli, &offer, "/v1/invitations", body, err);
	secret_wipe(&offer.secret);
	return result;
}

static int invitations(struct session *session, const struct cli *cli, struct err *err)
{
	return session_list(session, cli, collection_invitations.audience,
		collection_invitations.path, collection_invitations.columns, err);
}

static int withdraw(struct session *session, const struct cli *cli, struct err *err)
{
	return session_act(session, cli, &collection_invitations, "", err);
}

static int add_service(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *roles = NULL, *body = NULL, *record = NULL;

	if (read_roles(cli, &roles, err) < 0)
		return -1;
	body = json_pack("{s:s,s:O}", "name", cli->arguments[1], "roles", roles);
	if (session_post(session, "certreg", "/v1/members", body, &record, err) < 0)
		return -1;
	ui_note(cli->ui, "next: strongroom key create NAME --member %s --out FILE",
		cli->arguments[1]);
	ui_result(cli->ui, json_incref(record), "%s", json_text(record, "id"));
	return 0;
}

/* PUT takes the whole of what can change; NULL stays as it is. */
static int change(struct session *session, const struct cli *cli, json_t *roles, const char *state,
	struct err *err)
{
	auto_json json_t *record = NULL, *body = NULL, *answer = NULL;

	if (session_find(session, &collection_members, cli->arguments[1], &record, err) < 0)
		return -1;
	body = json_pack("{s:O,s:s}", "roles", roles ? roles : json_object_get(record, "roles"),
		"state", state ? state : json_text(record, "state"));
	if (session_replace(session, &collection_members, record, "", body, &answer, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(answer), "%s %s", json_text(record, "id"),
		json_text(answer, "state"));
	return 0;
}

static int set(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *roles = NULL;

	if (read_roles(cli, &roles, err) < 0)
		return -1;
	return change(session, cli, roles, NULL, err);
}

static int disable(struct session *session, const struct cli *cli, struct err *err)
{
	return change(session, cli, NULL, "disabled", err);
}

static int enable(struct session *session, const struct cli *cli, struct err *err)
{
	return change(session, cli, NULL, "active", err);
}

static const struct verb verbs[] = {
	{ "list", NULL, 0, "" },
	{ "show", show, 0, "[NAME]" },
	{ "invite", invite, 1, "NAME --roles LIST --out FILE" },
	{ "invitations", invitations, 0, "" },
	{ "withdraw", withdraw, 1, "ID" },
	{ "set", set, 1, "NAME --roles LIST" },
	{ "disable", disable, 1, "NAME" },
	{ "enable", enable, 1, "NAME" },
	{ "remove", NULL, 1, "NAME" },
	{ "add-service", add_service, 1, "NAME --roles LIST" },
	{ NULL, NULL, 0, NULL },
};

/* Accepting is the one that works without a profile: it makes it. */
static int member(const struct cli *cli, struct err *err)
{
	if (strcmp(cli->arguments[0], "accept") != 0)
		return session_verb_of(cli, "member", verbs, &collection_members, err);
	if (cli->n_arguments < 2)
		return err_set(err, ERR_INVALID, "usage.arguments",
			"usage: strongroom member accept FILE");
	if (invitation_accept(cli->profile, cli->arguments[1], cli_value(cli, "trust"), err) < 0)
		return -1;
	return who_am_i(cli, false, err);
}

const struct command command_member = { "member",
	"list | show [NAME] | invite NAME --roles LIST --out FILE | accept FILE | invitations | "
	"withdraw ID | set NAME --roles LIST | disable NAME | enable NAME | remove NAME | "
	"add-service NAME --roles LIST",
	"who belongs to the tenant, as what", options, 1, 2, member };
