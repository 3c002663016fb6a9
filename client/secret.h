/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets that this client makes: API keys (sr_<id>_<43 characters>) and invitations (sri_…). The
 * server sees their hash only. They leave in a file of mode 0600, or on stdout when somebody asks
 * for it; they come in from a file, from stdin, or from a terminal that does not show them.
 */
#ifndef STRONGROOM_CLIENT_SECRET_H
#define STRONGROOM_CLIENT_SECRET_H

#include <jansson.h>

#include "client/cli.h"
#include "lib/buf.h"
#include "lib/digest.h"
#include "lib/id.h"

#define SECRET_TEXT_SIZE 96u
#define SECRET_ASK_MAX 8192u /* of a word that comes in */

struct secret {
	char id[ID_SIZE]; /* key_…, inv_… */
	char text[SECRET_TEXT_SIZE];
	char hash[DIGEST_TEXT_SIZE];
};

void secret_new_key(struct secret *ret_secret);
void secret_new_invitation(struct secret *ret_secret);
/* One that was made before: an API key or an invitation. secret.malformed. */
int secret_read(const char *text, struct secret *ret_secret, struct err *err)
	__attribute__((warn_unused_result));
void secret_wipe(struct secret *secret);
#define auto_secret __attribute__((cleanup(secret_wipe))) struct secret

/* The first word of a file; "-": of stdin, without echo when that is a terminal. */
int secret_ask(const char *path, const char *prompt, struct buf *ret_text, struct err *err)
	__attribute__((warn_unused_result));

/* --- handing over, by --out FILE or --stdout; rows for the command's options --- */
#define SECRET_OPTIONS                                                                             \
	{ "out", "FILE", "where the secret goes: a new file, 0600" },                              \
	{                                                                                          \
		"stdout", NULL, "print the secret instead of writing it to a file"                 \
	}
/* Before the server hears of it: the file is there and on the disk. usage.arguments,
 * secret.file_exists. */
int secret_put(const struct cli *cli, const char *text, struct err *err)
	__attribute__((warn_unused_result));
/* The server refused (`err` says how): the file goes, unless the answer may only be lost. -1. */
int secret_withdraw(const struct cli *cli, const struct err *err);
/* All is well: `record` (taken over) is shown, and where the secret is, or the secret. */
void secret_tell(const struct cli *cli, json_t *record, const char *text);

#endif
