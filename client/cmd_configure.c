/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom configure: writes a profile and proves it with a token. The API key comes from a file
 * or stdin only. */
#include <string.h>

#include "client/api.h"
#include "client/audit_log.h"
#include "client/cli.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "url", "URL", "base URL of the instance, https://…" },
	{ "ca", "FILE", "PEM of the CA that its certificate is from" },
	{ "key-file", "FILE", "file with the API key; - reads it from standard input" },
	{ "trust", "FILE", "reference values, from whoever runs the instance, on another way" },
	{ "offline", NULL, "do not try the profile out" },
	{ NULL, NULL, NULL },
};

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

static int try_out(const struct cli *cli, const struct profile *profile, struct err *err)
{
	struct api *api = api_new(profile);
	const json_t *tenant = api_tenant(api, err);

	if (tenant)
		show_log_key(cli, api);
	if (tenant)
		ui_result(cli->ui,
			json_pack("{s:s,s:s,s:O,s:s}", "profile", profile->name, "url",
				profile->url, "tenant", json_object_get(tenant, "name"), "trust",
				profile->trust_digest),
			"profile %s: %s, tenant %s", profile->name, profile->url,
			json_text(tenant, "name"));
	api_free(api);
	return tenant ? 0 : -1;
}

static int configure(const struct cli *cli, struct err *err)
{
	struct profile_change change = {
		.url = cli_value(cli, "url"),
		.ca_file = cli_value(cli, "ca"),
		.trust_file = cli_value(cli, "trust"),
		.key_file = cli_value(cli, "key-file"),
	};
	struct profile profile;
	int result = 0;

	if (profile_write(cli->profile, &change, err) < 0 ||
		profile_load(cli->profile, &profile, err) < 0)
		return -1;
	if (profile.trust)
		ui_note(cli->ui, "trust file %s: compare this with what you were told",
			profile.trust_digest);
	else
		ui_warn(cli->ui, "no trust file: no evidence can be verified with this profile");
	if (!cli_switch(cli, "offline"))
		result = try_out(cli, &profile, err);
	profile_release(&profile);
	return result;
}

const struct command command_configure = { "configure",
	"[--url URL] [--ca FILE] [--key-file FILE] [--trust FILE]",
	"which server, as whom, trusting what", options, 0, 0, configure };
