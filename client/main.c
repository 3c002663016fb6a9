/* SPDX-License-Identifier: Apache-2.0 */
/* `strongroom`: finds the command and runs it. Any time Ctrl-C is safe: see state.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli.h"
#include "lib/log.h"

/* Everything that matters is in the state already, so there is nothing to do but go. */
static void on_interrupt(int signal_number)
{
	static const char text[] = "\ninterrupted; go on with: strongroom run\n";

	(void)signal_number;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(CLI_INTERRUPTED);
	_exit(CLI_INTERRUPTED);
}

/* No core file may hold a key, and nobody may attach. */
static void harden(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_interrupt);
	signal(SIGTERM, on_interrupt);
	umask(077);
}

/* --json is also taken behind the command, where people write it. */
static int drop_json(int argc, char **argv, bool *ret_json)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			*ret_json = true;
		else
			argv[n++] = argv[i];
	}
	return n;
}

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (cli_is_help(argv[i]))
			return true;
	}
	return false;
}

static int run_command(const struct command *command, const struct cli *global, int argc,
	char **argv, struct err *err)
{
	const char *from_environment = getenv("STRONGROOM_PROFILE");
	const char *project = cli_value(global, "project");
	bool json = cli_switch(global, "json");
	struct ui ui;
	struct cli cli = { .ui = &ui, .profile = cli_value(global, "profile") };
	int result;

	if (asks_for_help(argc, argv)) {
		cli_usage(command);
		return CLI_OK;
	}
	argc = drop_json(argc, argv, &json);
	ui_open(&ui, json);
	if (!cli.profile)
		cli.profile = from_environment && *from_environment ? from_environment : "default";
	if (project && chdir(project) < 0)
		result = err_set(err, ERR_INVALID, "usage.option", "no folder '%s'", project);
	else if (cli_parse(command, argc, argv, &cli, err) < 0)
		result = -1;
	else
		result = command->run(&cli, err);
	if (result < 0) {
		result = cli_exit_of(err);
		ui_error(&ui, err, result);
	}
	return result;
}

int main(int argc, char **argv)
{
	struct cli global = { 0 };
	struct err err = { 0 };
	const struct command *command;
	int at = cli_parse_globals(argc, argv, &global, &err);

	log_open("strongroom", LOG_LEVEL_WARN);
	harden();
	if (at < 0) {
		fprintf(stderr, "strongroom: %s: %s\n", err.code, err.detail);
		return CLI_USAGE;
	}
	command = at >= argc || cli_is_help(argv[at]) ? &command_help : cli_find(argv[at]);
	if (!command) {
		fprintf(stderr,
			"strongroom: usage.command: no command '%s'\n  next: strongroom help\n",
			argv[at]);
		return CLI_USAGE;
	}
	if (at < argc)
		at++; /* behind the command's name */
	return run_command(command, &global, argc - at, argv + at, &err);
}
