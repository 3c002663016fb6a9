/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of `strongroom`: one row of a table per command, one file per command. Options of a
 * command are rows too, so that parsing, usage text and the refusal of unknown options come from
 * one place.
 */
#ifndef STRONGROOM_CLIENT_CLI_H
#define STRONGROOM_CLIENT_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "client/ui.h"
#include "lib/err.h"

#define CLI_VERSION "0.1.0"
#define CLI_MAX_ARGUMENTS 8

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_CHANGES = 3,
	CLI_AUTH = 4,
	CLI_RUN_FAILED = 5,
	CLI_DENIED = 6,
	CLI_EVIDENCE = 7,
	CLI_PENDING = 8,
	CLI_UNREACHABLE = 9,
	CLI_INTERRUPTED = 130,
};

struct cli_option {
	const char *name;  /* "--key-file" without the dashes */
	const char *value; /* what the usage text calls the value; NULL: a switch */
	const char *help;
};

/* What the command line said. Texts are argv's own. */
struct cli {
	const struct cli_option *options;
	const char *values[16]; /* as `options`; "" for a switch that was given, NULL when absent */
	const char *arguments[CLI_MAX_ARGUMENTS];
	unsigned n_arguments;
	const char *profile; /* --profile or STRONGROOM_PROFILE or "default" */
	struct ui *ui;
};

struct command {
	const char *name;
	const char *arguments; /* for the usage text */
	const char *help;
	const struct cli_option *options; /* ends with name NULL */
	unsigned min_arguments, max_arguments;
	/* 0, or a cli_exit, or -1 with err. */
	int (*run)(const struct cli *cli, struct err *err);
};

bool cli_is_help(const char *argument); /* --help, -h */
/* The options before the command; the place of what is behind them, or -1. */
int cli_parse_globals(int argc, char **argv, struct cli *cli, struct err *err);
/* Fills `cli` from the arguments behind the command's name. Code usage.*. */
int cli_parse(
	const struct command *command, int argc, char **argv, struct cli *cli, struct err *err);
const char *cli_value(const struct cli *cli, const char *name); /* NULL when absent */
/* A whole number in its bounds, or `otherwise` when absent. usage.option. */
int cli_number(const struct cli *cli, const char *name, long long max, long long otherwise,
	long long *ret_number, struct err *err) __attribute__((warn_unused_result));
/* "a,b" as ["a","b"]; NULL when absent. New reference. */
json_t *cli_list(const struct cli *cli, const char *name);
/* "a=x,b=y" as {"a":"x","b":"y"}; NULL when absent. New reference. usage.option */
int cli_map(const struct cli *cli, const char *name, json_t **ret_map, struct err *err)
	__attribute__((warn_unused_result));
bool cli_switch(const struct cli *cli, const char *name);
/* --yes, or a yes at the terminal; otherwise client.not_confirmed. */
int cli_confirm(const struct cli *cli, const char *what, struct err *err)
	__attribute__((warn_unused_result));
void cli_usage(const struct command *command);
/* The exit code that a failure deserves (docs: client/DESIGN.md). */
int cli_exit_of(const struct err *err);

extern const struct command command_configure, command_setup, command_run, command_plan,
	command_status, command_sandbox, command_image, command_template, command_evidence,
	command_encrypt, command_decrypt, command_output, command_cert, command_key, command_member,
	command_tenant, command_space, command_peer, command_profile, command_audit,
	command_dataset, command_projection, command_app, command_app_config, command_task,
	command_workflow, command_policy, command_approve, command_decline, command_offer,
	command_release, command_doctor, command_completion, command_help, command_version;
extern const struct command *const cli_commands[]; /* ends with NULL */
extern const struct cli_option cli_global_options[];
const struct command *cli_find(const char *name); /* NULL when there is none */

#endif
