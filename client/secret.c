/* SPDX-License-Identifier: Apache-2.0 */
/* Making, reading and handing over of secrets; see secret.h. */
#include "client/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "client/files.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"

#define CTRL_C '\3'

static const struct {
	const char *prefix; /* of the text */
	const char *kind;   /* of the id */
} kinds[] = { { "sr_", "key" }, { "sri_", "inv" } };

/* --- making --- */

static void make(size_t kind, struct secret *ret_secret)
{
	unsigned char random[32];
	char *encoded;

	rand_bytes(random, sizeof(random));
	encoded = codec_b64url_text(random, sizeof(random));
	id_new(kinds[kind].kind, ret_secret->id);
	snprintf(ret_secret->text, sizeof(ret_secret->text), "%s%s_%s", kinds[kind].prefix,
		strchr(ret_secret->id, '_') + 1, encoded);
	digest_text(ret_secret->text, strlen(ret_secret->text), ret_secret->hash);
	explicit_bzero(random, sizeof(random));
	mem_wipe_free(encoded, strlen(encoded));
}

void secret_new_key(struct secret *ret_secret)
{
	make(0, ret_secret);
}

void secret_new_invitation(struct secret *ret_secret)
{
	make(1, ret_secret);
}

int secret_read(const char *text, struct secret *ret_secret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t len = strlen(kinds[i].prefix);
		const char *end =
			strncmp(text, kinds[i].prefix, len) == 0 ? strchr(text + len, '_') : NULL;

		if (!end || end - text - (ptrdiff_t)len != 32 || strlen(end + 1) != 43)
			continue;
		snprintf(ret_secret->id, sizeof(ret_secret->id), "%s_%.32s", kinds[i].kind,
			text + len);
		if (!id_is(ret_secret->id, kinds[i].kind))
			break;
		snprintf(ret_secret->text, sizeof(ret_secret->text), "%s", text);
		digest_text(text, strlen(text), ret_secret->hash);
		return 0;
	}
	return err_set(err, ERR_INVALID, "secret.malformed",
		"this is neither an API key nor an invitation");
}

void secret_wipe(struct secret *secret)
{
	explicit_bzero(secret, sizeof(*secret));
}

/* --- asking --- */

/* A line that the terminal does not show. Ctrl-C ends the line, so that the terminal is itself
 * again before we go. */
static int ask_terminal(const char *prompt, char *ret_line, size_t size, struct err *err)
{
	struct termios before, silent;
	ssize_t got;

	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return err_errno(err, "ask the terminal");
	silent = before;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	silent.c_cc[VEOL] = CTRL_C;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	fprintf(stderr, "%s (is not shown): ", prompt);
	got = read(STDIN_FILENO, ret_line, size - 1);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputc('\n', stderr);
	if (got <= 0 || memchr(ret_line, CTRL_C, (size_t)got))
		return err_set(err, ERR_INVALID, "secret.interrupted", "nothing was given");
	ret_line[got] = '\0';
	return 0;
}

static int ask_stdin(const char *prompt, struct buf *ret_text, struct err *err)
{
	char line[SECRET_ASK_MAX] = "";
	int result;

	if (isatty(STDIN_FILENO))
		result = ask_terminal(prompt, line, sizeof(line), err);
	else
		result = fread(line, 1, sizeof(line) - 1, stdin) > 0
				 ? 0
				 : err_set(err, ERR_INVALID, "secret.interrupted",
					   "nothing came on standard input");
	if (result == 0)
		result = buf_add_text(ret_text, line, err);
	explicit_bzero(line, sizeof(line));
	return result;
}

int secret_ask(const char *path, const char *prompt, struct buf *ret_text, struct err *err)
{
	int result = strcmp(path, "-") == 0 ? ask_stdin(prompt, ret_text, err)
					    : buf_read_file(ret_text, path, err);

	if (result < 0 || buf_add_text(ret_text, "", err) < 0)
		return -1;
	ret_text->data[strcspn((char *)ret_text->data, " \t\r\n")] = '\0';
	return 0;
}

/* --- handing over --- */

static int write_new(const char *path, const char *text, struct err *err)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EEXIST)
		return err_set(err, ERR_CONFLICT, "secret.file_exists", "'%s' exists", path);
	if (fd < 0)
		return err_errno(err, "make '%s'", path);
	if (files_write_all(fd, text, strlen(text), err) < 0 ||
		files_write_all(fd, "\n", 1, err) < 0 ||
		(fsync(fd) < 0 && err_errno(err, "write '%s'", path) < 0)) {
		unlink(path);
		return -1;
	}
	return 0;
}

int secret_put(const struct cli *cli, const char *text, struct err *err)
{
	const char *path = cli_value(cli, "out");

	if (!path == !cli_switch(cli, "stdout"))
		return err_set(err, ERR_INVALID, "usage.arguments",
			"where does the secret go? --out FILE (or --stdout)");
	return path ? write_new(path, text, err) : 0;
}

int secret_withdraw(const struct cli *cli, const struct err *err)
{
	bool may_be_lost = err->kind == ERR_UPSTREAM || err->kind == ERR_UNAVAILABLE ||
			   err->kind == ERR_TIMEOUT || err->kind == ERR_INTERNAL;

	if (cli_value(cli, "out") && !may_be_lost)
		unlink(cli_value(cli, "out"));
	return -1;
}

void secret_tell(const struct cli *cli, json_t *record, const char *text)
{
	const char *path = cli_value(cli, "out");
	auto_free char *id = mem_strdup(json_text(record, "id") ? json_text(record, "id") : "-");

	json_object_set_new(record, path ? "file" : "secret", json_string(path ? path : text));
	if (path)
		ui_note(cli->ui, "the secret is in '%s'; nobody can show it again", path);
	ui_result(cli->ui, record, "%s", path ? id : text);
}
