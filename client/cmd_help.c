/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom help, strongroom version. */
#include <stdio.h>

#include "client/cli.h"

static int help(const struct cli *cli, struct err *err)
{
	const struct command *command = cli->n_arguments ? cli_find(cli->arguments[0]) : NULL;

	(void)err;
	if (command) {
		cli_usage(command);
		return CLI_OK;
	}
	printf("usage: strongroom [--json] [--profile NAME] [--project DIR] COMMAND ...\n\n"
	       "  strongroom configure --url https://localhost:8443 --ca ca.pem --key-file key "
	       "--trust trust.json\n"
	       "  strongroom setup && strongroom run\n\n");
	for (size_t i = 0; cli_commands[i]; i++)
		printf("  %-11s %s\n", cli_commands[i]->name, cli_commands[i]->help);
	printf("\nExit codes: 0 done, 1 failed, 2 usage, 3 plan has changes, 4 who are you, 5 run "
	       "failed,\n"
	       "6 denied, 7 evidence, 8 still pending, 9 server unreachable, 130 interrupted.\n");
	return CLI_OK;
}

static int version(const struct cli *cli, struct err *err)
{
	(void)cli;
	(void)err;
	return printf("strongroom %s\n", CLI_VERSION) < 0 ? CLI_FAILED : CLI_OK;
}

const struct command command_help = { "help", "[COMMAND]", "all commands, or one with its options",
	NULL, 0, 1, help };
const struct command command_version = { "version", "", "which release this is", NULL, 0, 0,
	version };
