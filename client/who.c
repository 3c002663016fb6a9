/* SPDX-License-Identifier: Apache-2.0 */
/* The connection tried out, and what came of it. */
#include "client/who.h"

#include <stdlib.h>

#include "client/audit_log.h"
#include "client/session.h"
#include "lib/json.h"
#include "lib/mem.h"

static void say_trust(const struct cli *cli, const struct profile *profile)
{
	if (profile->trust)
		ui_note(cli->ui, "trust file %s: compare this with what you were told",
			profile->trust_digest);
	else
		ui_warn(cli->ui, "no trust file: no evidence can be verified with this profile");
}

/* An instance may be asked before it has a log; then nothing of it is checked. */
static void show_log_key(const struct cli *cli, struct api *api)
{
	struct err err = { .kind = ERR_NONE };
	auto_free char *key = NULL;

	if (audit_log_pin(api, &key, &err) < 0)
		ui_warn(cli->ui, "no key of an audit log: %s", err.detail);
	else
		ui_note(cli->ui, "log key %s: compare this with what you were told", key);
}

static int ask(struct session *session, const struct cli *cli, struct err *err)
{
	const struct profile *profile = &session->profile;
	struct api_call call = { .label = "who-am-i",
		.audience = "certreg",
		.method = "GET",
		.path = "/v1/members/self" };
	const json_t *tenant = api_tenant(session->api, err);
	auto_json json_t *member = NULL;
	auto_free char *roles = NULL;

	if (!tenant || api_call(session->api, &call, &member, NULL, err) < 0)
		return -1;
	show_log_key(cli, session->api);
	roles = session_list_text(json_object_get(member, "roles"));
	ui_result(cli->ui,
		json_pack("{s:s,s:s,s:O*,s:O*,s:O*,s:s,s:s}", "profile", profile->name, "url",
			profile->url, "tenant", json_object_get(tenant, "name"), "member",
			json_object_get(member, "name"), "roles", json_object_get(member, "roles"),
			"key", profile->key_id, "trust", profile->trust_digest),
		"profile %s: %s, tenant %s, member %s (%s), key %s", profile->name, profile->url,
		json_text(tenant, "name"), json_text(member, "name"), roles, profile->key_id);
	return 0;
}

int who_am_i(const struct cli *cli, bool offline, struct err *err)
{
	struct session session;
	int result;

	if (session_open(&session, cli, err) < 0)
		return -1;
	say_trust(cli, &session.profile);
	result = offline ? 0 : ask(&session, cli, err);
	session_close(&session);
	return result;
}
