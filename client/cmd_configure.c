/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom configure: writes a profile and proves it with a token. The API key comes from a file,
 * from stdin, from a terminal that does not show it, or is made here for an invitation: never from
 * the command line, which the shell keeps. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/invitation.h"
#include "client/who.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "url", "URL", "base URL of the instance, https://…" },
	{ "ca", "FILE", "PEM of the CA that its certificate is from" },
	{ "key-file", "FILE", "file with the API key; - reads it from standard input" },
	{ "invitation", "FILE", "become a member by this file; - reads it from standard input" },
	{ "trust", "FILE", "reference values, from whoever runs the instance, on another way" },
	{ "offline", NULL, "do not try the profile out" },
	{ NULL, NULL, NULL },
};

static bool has_key(const char *name)
{
	struct err ignored = { 0 };
	auto_free char *dir = NULL, *path = NULL;

	if (profile_folder(name, &dir, &ignored) < 0)
		return false;
	path = mem_printf("%s/credentials", dir);
	return access(path, F_OK) == 0;
}

/* By a key; somebody at a terminal who named none is asked for it, the first time. */
static int by_key(const struct cli *cli, struct err *err)
{
	struct profile_change change = {
		.url = cli_value(cli, "url"),
		.ca_file = cli_value(cli, "ca"),
		.trust_file = cli_value(cli, "trust"),
	};
	const char *key_file = cli_value(cli, "key-file");
	auto_buf key = BUF_INIT(SECRET_TEXT_SIZE * 4);

	if (!key_file && isatty(STDIN_FILENO) && !has_key(cli->profile))
		key_file = "-";
	if (key_file) {
		if (secret_ask(key_file, "API key", &key, err) < 0)
			return -1;
		change.api_key = (char *)key.data;
	}
	return profile_write(cli->profile, &change, err);
}

static int by_invitation(const struct cli *cli, struct err *err)
{
	static const char *const others[] = { "url", "ca", "key-file", "offline" };

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (cli_value(cli, others[i]))
			return err_set(err, ERR_INVALID, "usage.option",
				"--invitation says what --%s would", others[i]);
	}
	return invitation_accept(
		cli->profile, cli_value(cli, "invitation"), cli_value(cli, "trust"), err);
}

static int configure(const struct cli *cli, struct err *err)
{
	if ((cli_value(cli, "invitation") ? by_invitation(cli, err) : by_key(cli, err)) < 0)
		return -1;
	return who_am_i(cli, cli_switch(cli, "offline"), err);
}

const struct command command_configure = { "configure",
	"[--url URL] [--ca FILE] [--key-file FILE] [--trust FILE] | [--invitation FILE]",
	"which server, as whom, trusting what", options, 0, 0, configure };
