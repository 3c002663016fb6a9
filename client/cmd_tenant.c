/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom tenant: for operators of the instance, who make and end tenants and see nothing in
 * them. */
#include "client/invitation.h"
#include "client/session.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "owner", "NAME", "create: name of the first owner (owner)" },
	INVITATION_OPTION,
	SECRET_OPTIONS,
	{ NULL, NULL, NULL },
};

static int list(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const members[] = { "id", "name", "state", "created_at", NULL };

	return session_list(session, cli, "certreg", "/v1/tenants", members, err);
}

static int create(struct session *session, const struct cli *cli, struct err *err)
{
	const char *tenant = cli->arguments[1], *owner = cli_value(cli, "owner");
	struct invitation_offer offer;
	auto_json json_t *body = NULL;
	int result;

	if (invitation_offer_new(cli, tenant, owner ? owner : "owner", &offer, err) < 0)
		return -1;
	body = json_pack("{s:s,s:o}", "name", tenant, "owner", invitation_offer_words(&offer));
	result = invitation_offer_send(session, cli, &offer, "/v1/tenants", body, err);
	secret_wipe(&offer.secret);
	return result;
}

static int suspend(struct session *session, const struct cli *cli, struct err *err)
{
	return session_act(session, cli, "/v1/tenants", "tnt", ":suspend", err);
}

static int resume(struct session *session, const struct cli *cli, struct err *err)
{
	return session_act(session, cli, "/v1/tenants", "tnt", ":resume", err);
}

static int drop(struct session *session, const struct cli *cli, struct err *err)
{
	return session_act(session, cli, "/v1/tenants", "tnt", "", err);
}

static const struct verb verbs[] = {
	{ "list", list, 0, "" },
	{ "create", create, 1, "NAME --owner NAME --out FILE" },
	{ "suspend", suspend, 1, "NAME" },
	{ "resume", resume, 1, "NAME" },
	{ "delete", drop, 1, "NAME" },
	{ NULL, NULL, 0, NULL },
};

static int tenant(const struct cli *cli, struct err *err)
{
	return session_verb(cli, "tenant", verbs, err);
}

const struct command command_tenant = { "tenant",
	"list | create NAME --owner NAME --out FILE | suspend NAME | resume NAME | delete NAME",
	"tenants of the instance, for its operators", options, 1, 2, tenant };
