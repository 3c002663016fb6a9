/* SPDX-License-Identifier: Apache-2.0 */
/* `strongroom`: global options, the table of commands, exit codes. Any time Ctrl-C is safe: see
 * state.h. */
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
#include "lib/mem.h"

static const struct command *const commands[] = { &command_configure, &command_setup, &command_run,
	&command_plan, &command_status, &command_sandbox, &command_cert, &command_projection,
	&command_output, &command_encrypt, &command_decrypt, &command_doctor };

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

static int help(const char *name)
{
	const struct command *command = name ? find(name) : NULL;

	if (command) {
		cli_usage(command);
		return CLI_OK;
	}
	printf("usage: strongroom [--json] [--profile NAME] [--project DIR] COMMAND ...\n\n"
	       "  strongroom configure --url https://localhost:8443 --ca ca.pem --key-file key "
	       "--trust trust.json\n"
	       "  strongroom setup && strongroom run\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-11s %s\n", commands[i]->name, commands[i]->help);
	printf("\nExit codes: 0 done, 1 failed, 2 usage, 3 plan has changes, 4 who are you, 5 run "
	       "failed,\n"
	       "6 denied, 7 evidence, 8 still pending, 9 server unreachable, 130 interrupted.\n");
	return CLI_OK;
}

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

struct global {
	const char *profile, *project;
	bool json;
};

/* Options before the command; --json is also taken behind it, where people write it. Returns the
 * command's place. */
static int global_options(int argc, char **argv, struct global *global, struct err *err)
{
	int i = 1;

	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		const char **value = strcmp(argv[i], "--profile") == 0	 ? &global->profile
				     : strcmp(argv[i], "--project") == 0 ? &global->project
									 : NULL;

		if (strcmp(argv[i], "--json") == 0)
			global->json = true;
		else if (value && i + 1 < argc)
			*value = argv[++i];
		else
			return err_set(
				err, ERR_INVALID, "usage.option", "unknown option '%s'", argv[i]);
	}
	return i;
}

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

static int run_command(const struct command *command, const struct global *global, int argc,
	char **argv, struct err *err)
{
	const char *from_environment = getenv("STRONGROOM_PROFILE");
	bool json = global->json;
	struct ui ui;
	struct cli cli = { .ui = &ui, .profile = global->profile };
	int result;

	argc = drop_json(argc, argv, &json);
	ui_open(&ui, json);
	if (!cli.profile)
		cli.profile = from_environment && *from_environment ? from_environment : "default";
	if (global->project && chdir(global->project) < 0)
		result = err_set(
			err, ERR_INVALID, "usage.option", "no folder '%s'", global->project);
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
	struct global global = { 0 };
	struct err err = { 0 };
	const struct command *command;
	int at = global_options(argc, argv, &global, &err);

	log_open("strongroom", LOG_LEVEL_WARN);
	harden();
	if (at < 0) {
		fprintf(stderr, "strongroom: %s: %s\n", err.code, err.detail);
		return CLI_USAGE;
	}
	if (at >= argc || strcmp(argv[at], "help") == 0 || strcmp(argv[at], "-h") == 0)
		return help(at + 1 < argc ? argv[at + 1] : NULL);
	if (strcmp(argv[at], "version") == 0)
		return printf("strongroom %s\n", CLI_VERSION) < 0;
	command = find(argv[at]);
	if (!command) {
		fprintf(stderr,
			"strongroom: usage.command: no command '%s'\n  next: strongroom help\n",
			argv[at]);
		return CLI_USAGE;
	}
	return run_command(command, &global, argc - at - 1, argv + at + 1, &err);
}
