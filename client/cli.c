/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing of a command's options from its table, usage texts, and which failure ends with which
 * exit code. */
#include "client/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/mem.h"

static int find_option(const struct cli_option *options, const char *name, size_t len)
{
	for (int i = 0; options && options[i].name; i++) {
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return i;
	}
	return -1;
}

/* One "--name", "--name=value" or "--name value"; moves *i over what it took. */
static int take_option(struct cli *cli, int argc, char **argv, int *i, struct err *err)
{
	const char *name = argv[*i] + 2;
	const char *equals = strchr(name, '=');
	int at = find_option(cli->options, name, equals ? (size_t)(equals - name) : strlen(name));

	if (at < 0)
		return err_set(err, ERR_INVALID, "usage.option", "unknown option '%s'", argv[*i]);
	if (!cli->options[at].value) {
		if (equals)
			return err_set(err, ERR_INVALID, "usage.option", "'--%s' takes no value",
				cli->options[at].name);
		cli->values[at] = "";
		return 0;
	}
	if (cli->values[at])
		return err_set(err, ERR_INVALID, "usage.option",
			"'--%s' is given twice: several values are joined by ','",
			cli->options[at].name);
	if (!equals && *i + 1 >= argc)
		return err_set(err, ERR_INVALID, "usage.option", "'%s' needs a value", argv[*i]);
	cli->values[at] = equals ? equals + 1 : argv[++*i];
	return 0;
}

bool cli_is_help(const char *argument)
{
	return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

int cli_parse_globals(int argc, char **argv, struct cli *cli, struct err *err)
{
	int i = 1;

	cli->options = cli_global_options;
	for (; i < argc && strncmp(argv[i], "--", 2) == 0 && !cli_is_help(argv[i]); i++) {
		if (take_option(cli, argc, argv, &i, err) < 0)
			return -1;
	}
	return i;
}

int cli_parse(
	const struct command *command, int argc, char **argv, struct cli *cli, struct err *err)
{
	bool only_arguments = false;

	cli->options = command->options;
	for (int i = 0; i < argc; i++) {
		if (!only_arguments && strcmp(argv[i], "--") == 0) {
			only_arguments = true;
		} else if (!only_arguments && strncmp(argv[i], "--", 2) == 0) {
			if (take_option(cli, argc, argv, &i, err) < 0)
				return -1;
		} else if (cli->n_arguments < command->max_arguments) {
			cli->arguments[cli->n_arguments++] = argv[i];
		} else {
			return err_set(err, ERR_INVALID, "usage.arguments",
				"unexpected argument '%s'", argv[i]);
		}
	}
	if (cli->n_arguments < command->min_arguments)
		return err_set(err, ERR_INVALID, "usage.arguments", "usage: strongroom %s %s",
			command->name, command->arguments);
	return 0;
}

const char *cli_value(const struct cli *cli, const char *name)
{
	int at = find_option(cli->options, name, strlen(name));

	return at < 0 ? NULL : cli->values[at];
}

int cli_number(const struct cli *cli, const char *name, long long max, long long otherwise,
	long long *ret_number, struct err *err)
{
	const char *text = cli_value(cli, name);
	char *end = NULL;
	long long number = text ? strtoll(text, &end, 10) : otherwise;

	if (text && (end == text || *end || number < 0 || number > max))
		return err_set(err, ERR_INVALID, "usage.option", "--%s is a number from 0 to %lld",
			name, max);
	*ret_number = number;
	return 0;
}

json_t *cli_list(const struct cli *cli, const char *name)
{
	const char *at = cli_value(cli, name);
	json_t *list = at ? json_array() : NULL;

	while (at && *at) {
		size_t len = strcspn(at, ",");

		json_array_append_new(list, json_stringn(at, len));
		at += len + (at[len] == ',');
	}
	return list;
}

int cli_map(const struct cli *cli, const char *name, json_t **ret_map, struct err *err)
{
	auto_json json_t *list = cli_list(cli, name), *map = list ? json_object() : NULL;
	json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		const char *text = json_string_value(item), *equals = strchr(text, '=');
		auto_free char *key = equals ? mem_strndup(text, (size_t)(equals - text)) : NULL;

		if (!key || !*key)
			return err_set(err, ERR_INVALID, "usage.option",
				"--%s is NAME=VALUE, several joined by commas", name);
		json_object_set_new(map, key, json_string(equals + 1));
	}
	*ret_map = json_incref(map);
	return 0;
}

bool cli_switch(const struct cli *cli, const char *name)
{
	return cli_value(cli, name) != NULL;
}

int cli_confirm(const struct cli *cli, const char *what, struct err *err)
{
	char answer[8] = "";

	if (cli_switch(cli, "yes"))
		return 0;
	if (isatty(STDIN_FILENO)) {
		ui_note(cli->ui, "%s - is that meant? [y/N]", what);
		if (fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y'))
			return 0;
	}
	return err_set(err, ERR_CONFLICT, "client.not_confirmed", "not done: %s", what);
}

void cli_usage(const struct command *command)
{
	printf("usage: strongroom %s %s\n\n%s\n", command->name, command->arguments, command->help);
	for (int i = 0; command->options && command->options[i].name; i++) {
		const struct cli_option *option = &command->options[i];
		auto_free char *left = mem_printf("--%s%s%s", option->name,
			option->value ? " " : "", option->value ? option->value : "");

		printf("  %-30s %s\n", left, option->help);
	}
}

/* By code first: the kind is for HTTP, the exit code for scripts. */
static const struct {
	const char *prefix;
	enum cli_exit code;
} exits[] = {
	{ "usage.", CLI_USAGE },
	{ "plan.", CLI_USAGE },
	{ "evidence.", CLI_EVIDENCE },
	{ "log.", CLI_EVIDENCE },
	{ "receipt.", CLI_EVIDENCE },
	{ "trust.", CLI_EVIDENCE },
	{ "order.", CLI_DENIED },
	{ "approval.", CLI_DENIED },
	{ "peer.unpinned", CLI_DENIED },
	{ "run.refused", CLI_DENIED },
	{ "run.grants_unavailable", CLI_RUN_FAILED },
	{ "run.failed", CLI_RUN_FAILED },
	{ "run.cancelled", CLI_RUN_FAILED },
	{ "run.alive", CLI_PENDING },
	{ "client.timeout", CLI_PENDING },
	{ "upstream.", CLI_UNREACHABLE },
	{ "profile.", CLI_AUTH },
};

int cli_exit_of(const struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(exits); i++) {
		if (strncmp(err->code, exits[i].prefix, strlen(exits[i].prefix)) == 0)
			return exits[i].code;
	}
	if (err->kind == ERR_UNAUTHENTICATED)
		return CLI_AUTH;
	if (err->kind == ERR_FORBIDDEN)
		return CLI_DENIED;
	if (err->kind == ERR_UPSTREAM || err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT)
		return CLI_UNREACHABLE;
	return CLI_FAILED;
}
