/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom completion SHELL: a script for the shell to read, made from the table of commands.
 * A command's verbs are what its usage text begins with: "list | show ID". A value is completed as
 * a file name, which is what most of them are.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "client/cli.h"

/* " list show": the first word of each alternative that is neither option nor placeholder. */
static void print_verbs(const char *arguments)
{
	const char *at = arguments, *next;

	for (; at; at = next) {
		next = strstr(at, " | ");
		next = next ? next + strlen(" | ") : NULL;
		if (islower((unsigned char)*at))
			printf(" %.*s", (int)strcspn(at, " "), at);
	}
}

static void print_commands(void)
{
	for (size_t i = 0; cli_commands[i]; i++)
		printf(" %s", cli_commands[i]->name);
}

static void print_words(const struct command *command)
{
	if (strstr(command->arguments, "COMMAND"))
		print_commands();
	else
		print_verbs(command->arguments);
}

/* --- bash, and zsh by its emulation --- */

static void print_options(const struct cli_option *options, bool only_with_value)
{
	for (; options && options->name; options++) {
		if (options->value || !only_with_value)
			printf(" --%s", options->name);
	}
}

static void print_sets(const struct cli_option *options)
{
	printf("' options='");
	print_options(options, false);
	printf("' valued='");
	print_options(options, true);
	puts(" ' ;;");
}

static void bash_script(void)
{
	printf("_strongroom() {\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
	       "\tlocal command= at words options valued\n"
	       "\tfor ((at = 1; at < COMP_CWORD; at++)); do\n"
	       "\t\tcase ${COMP_WORDS[at]} in\n");
	for (const struct cli_option *option = cli_global_options; option->name; option++) {
		if (option->value)
			printf("\t\t--%s) ((at++)) ;;\n", option->name);
	}
	printf("\t\t-*) ;;\n"
	       "\t\t*) command=${COMP_WORDS[at]}; break ;;\n"
	       "\t\tesac\n"
	       "\tdone\n"
	       "\tcase $command in\n"
	       "\t'') words='");
	print_commands();
	print_sets(cli_global_options);
	for (size_t i = 0; cli_commands[i]; i++) {
		printf("\t%s) words='", cli_commands[i]->name);
		print_words(cli_commands[i]);
		print_sets(cli_commands[i]->options);
	}
	printf("\tesac\n"
	       "\tCOMPREPLY=()\n"
	       "\tcase $valued in *\" $before \"*) return ;; esac\n"
	       "\tif [[ $cur == -* ]]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
	       "\telif [[ -z $command || $before == \"$command\" ]]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	       "\tfi\n"
	       "}\n"
	       "complete -o default -F _strongroom strongroom\n");
}

static void zsh_script(void)
{
	printf("autoload -U +X compinit bashcompinit && compinit -C && bashcompinit\n");
	bash_script();
}

/* --- fish --- */

#define NO_COMMAND "not __fish_seen_subcommand_from $strongroom_commands"

static void print_quoted(const char *text)
{
	putchar('\'');
	for (; *text; text++)
		printf(*text == '\'' || *text == '\\' ? "\\%c" : "%c", *text);
	putchar('\'');
}

static void fish_options(const char *condition, const struct cli_option *options)
{
	for (; options && options->name; options++) {
		printf("complete -c strongroom -n \"%s\" -l %s%s -d ", condition, options->name,
			options->value ? " -r -F" : "");
		print_quoted(options->help);
		putchar('\n');
	}
}

static void fish_command(const struct command *command)
{
	char condition[80];

	printf("complete -c strongroom -n \"" NO_COMMAND "\" -f -a %s -d ", command->name);
	print_quoted(command->help);
	snprintf(condition, sizeof(condition), "__fish_seen_subcommand_from %s", command->name);
	printf("\ncomplete -c strongroom -n '%s' -a '", condition);
	print_words(command);
	puts("'");
	fish_options(condition, command->options);
}

static void fish_script(void)
{
	printf("set -l strongroom_commands");
	print_commands();
	putchar('\n');
	fish_options(NO_COMMAND, cli_global_options);
	for (size_t i = 0; cli_commands[i]; i++)
		fish_command(cli_commands[i]);
}

static int completion(const struct cli *cli, struct err *err)
{
	const char *shell = cli->arguments[0];

	if (strcmp(shell, "bash") == 0)
		bash_script();
	else if (strcmp(shell, "zsh") == 0)
		zsh_script();
	else if (strcmp(shell, "fish") == 0)
		fish_script();
	else
		return err_set(
			err, ERR_INVALID, "usage.arguments", "no completion for '%s'", shell);
	return CLI_OK;
}

const struct command command_completion = { "completion", "bash | zsh | fish",
	"what a shell reads to complete commands and options", NULL, 1, 1, completion };
