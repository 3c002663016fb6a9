/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom output get: the last tasks of the plan, from a run that is done. */
#include <string.h>

#include "client/cli.h"
#include "client/project.h"
#include "lib/json.h"

static const struct cli_option options[] = {
	{ "plan", "FILE", "instead of main.yml" },
	{ NULL, NULL, NULL },
};

static int output(const struct cli *cli, struct err *err)
{
	struct project_options given = { cli_value(cli, "plan"), cli->profile, true };
	struct project project;
	int result;

	if (strcmp(cli->arguments[0], "get") != 0)
		return err_set(
			err, ERR_INVALID, "usage.arguments", "no 'output %s'", cli->arguments[0]);
	if (project_open(&project, &given, cli->ui, err) < 0)
		return -1;
	if (!state_outputs(&project.state, "execute-policy")) {
		result = err_set(
			err, ERR_CONFLICT, "output.no_run", "no run of this project is done");
	} else {
		state_forget(&project.state, "retrieve-output");
		state_forget(&project.state, "decrypt-output");
		result = project_run(&project, "retrieve-output", NULL, err);
	}
	if (result == 0)
		ui_result(cli->ui, json_deep_copy(state_outputs(&project.state, "decrypt-output")),
			"%s", json_text(state_outputs(&project.state, "decrypt-output"), "path"));
	project_close(&project);
	return result;
}

const struct command command_output = { "output", "get [--plan FILE]",
	"fetch, verify and decrypt the output again", options, 1, 1, output };
