/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom profile list|show|remove: which servers this user has keys for. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "client/files.h"
#include "client/profile.h"
#include "client/who.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "yes", NULL, "remove: it is meant; the keys of its projects cannot be opened any more" },
	{ NULL, NULL, NULL },
};

static void print(const struct cli *cli, const char *name)
{
	bool is_chosen = strcmp(name, cli->profile) == 0;
	struct err reason = { 0 };
	struct profile profile;

	if (profile_load(name, &profile, &reason) < 0) {
		ui_result(cli->ui, json_pack("{s:s,s:s}", "profile", name, "broken", reason.code),
			"  %-16s  (%s)", name, reason.code);
		return;
	}
	ui_result(cli->ui,
		json_pack("{s:s,s:s,s:s,s:b,s:s}", "profile", name, "url", profile.url, "key",
			profile.key_id, "chosen", is_chosen, "trust", profile.trust_digest),
		"%c %-16s  %s  %s", is_chosen ? '*' : ' ', name, profile.url, profile.key_id);
	profile_release(&profile);
}

static int is_name(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int list(const struct cli *cli, struct err *err)
{
	auto_free char *root = profile_root();
	auto_free char *path = mem_printf("%s/profiles", root);
	struct dirent **names = NULL;
	int count = scandir(path, &names, is_name, alphasort);

	(void)err;
	for (int i = 0; i < count; i++) {
		print(cli, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return 0;
}

static int drop(const struct cli *cli, const char *name, struct err *err)
{
	auto_free char *dir = NULL;
	struct profile profile;

	if (profile_load(name, &profile, err) < 0)
		return -1;
	profile_release(&profile);
	if (!cli_switch(cli, "yes"))
		return err_set(err, ERR_CONFLICT, "profile.not_confirmed",
			"profile '%s' holds an API key, pins, and what opens its projects' keys",
			name);
	if (profile_folder(name, &dir, err) < 0 || files_tree_remove(dir, err) < 0)
		return -1;
	ui_result(cli->ui, json_pack("{s:s}", "profile", name), "%s removed", name);
	return 0;
}

static int profile(const struct cli *cli, struct err *err)
{
	const char *verb = cli->arguments[0];
	struct cli chosen = *cli;

	if (strcmp(verb, "list") == 0)
		return list(cli, err);
	if (cli->n_arguments > 1)
		chosen.profile = cli->arguments[1];
	if (strcmp(verb, "show") == 0)
		return who_am_i(&chosen, false, err);
	if (strcmp(verb, "remove") == 0 && cli->n_arguments > 1)
		return drop(cli, cli->arguments[1], err);
	return err_set(err, ERR_INVALID, "usage.arguments",
		"usage: strongroom profile list | show [NAME] | remove NAME");
}

const struct command command_profile = { "profile", "list | show [NAME] | remove NAME",
	"servers that this user has keys for", options, 1, 2, profile };
