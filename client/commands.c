/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands and the options before them: help and completion read it, main runs it. */
#include <string.h>

#include "client/cli.h"

const struct command *const cli_commands[] = { &command_configure, &command_setup, &command_run,
	&command_plan, &command_status, &command_sandbox, &command_image, &command_template,
	&command_evidence, &command_cert, &command_key, &command_member, &command_tenant,
	&command_space, &command_peer, &command_profile, &command_audit, &command_dataset,
	&command_projection, &command_app, &command_app_config, &command_task, &command_workflow,
	&command_policy, &command_approve, &command_decline, &command_offer, &command_release,
	&command_output, &command_encrypt, &command_decrypt, &command_doctor, &command_completion,
	&command_help, &command_version, NULL };

const struct cli_option cli_global_options[] = {
	{ "json", NULL, "one JSON object a line" },
	{ "profile", "NAME", "which server and key (default: $STRONGROOM_PROFILE, then default)" },
	{ "project", "DIR", "work in this folder" },
	{ NULL, NULL, NULL },
};

const struct command *cli_find(const char *name)
{
	for (size_t i = 0; cli_commands[i]; i++) {
		if (strcmp(cli_commands[i]->name, name) == 0)
			return cli_commands[i];
	}
	return NULL;
}
