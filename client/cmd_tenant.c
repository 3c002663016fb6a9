/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom tenant: for operators of the instance, who make and end tenants and see nothing in
 * them; `quota` of its own is for each member. */
#include "client/invitation.h"
#include "client/session.h"
#include "client/tenant_quota.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "owner", "NAME", "create: name of the first owner (owner)" },
	INVITATION_OPTION,
	TENANT_QUOTA_OPTION,
	SECRET_OPTIONS,
	{ NULL, NULL, NULL },
};

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
	return session_act(session, cli, &collection_tenants, ":suspend", err);
}

static int resume(struct session *session, const struct cli *cli, struct err *err)
{
	return session_act(session, cli, &collection_tenants, ":resume", err);
}

static const struct verb verbs[] = {
	{ "list", NULL, 0, "" },
	{ "create", create, 1, "NAME --owner NAME --out FILE" },
	{ "suspend", suspend, 1, "NAME" },
	{ "resume", resume, 1, "NAME" },
	{ "delete", NULL, 1, "NAME" },
	{ "quota", tenant_quota, 0, "[NAME [--set bytes=50g,vcpus=8,images=default]]" },
	{ NULL, NULL, 0, NULL },
};

static int tenant(const struct cli *cli, struct err *err)
{
	return session_verb_of(cli, "tenant", verbs, &collection_tenants, err);
}

const struct command command_tenant = { "tenant",
	"list | create NAME --owner NAME --out FILE | suspend NAME | resume NAME | delete NAME | "
	"quota [NAME]",
	"tenants of the instance, for its operators; quotas", options, 1, 2, tenant };
