/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that sign tokens: files <activation, Unix seconds>.pem of one folder. The newest that is
 * active signs. A successor is published as soon as its file is there, so that every service knows
 * it before the first token by it; a predecessor until the last token by it has died. A file that
 * is taken away kills its tokens at the next look, at every service. Any thread.
 */
#ifndef CERTREG_SIGNING_KEYS_H
#define CERTREG_SIGNING_KEYS_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

#include "lib/err.h"
#include "lib/web.h"

#define SIGNING_KEYS_MAX 16
#define SIGNING_KEY_LEAD_SECONDS 120 /* from making a key to its activation */

struct signing_keys;

/* config.bad_signing_key, config.no_signing_key */
int signing_keys_open(const char *dir, struct signing_keys **ret_keys, struct err *err);
void signing_keys_free(struct signing_keys *keys);
/* Looks at the folder again; on failure all stays as it was. */
int signing_keys_reload(struct signing_keys *keys, struct err *err);

json_t *signing_keys_jwks(struct signing_keys *keys); /* {"keys":[…]}, the signing one first */
/* The caller wipes and frees *ret_token. */
int signing_keys_sign(struct signing_keys *keys, const char *typ, const json_t *claims,
	char **ret_token, struct err *err);

/* A key that will be active in SIGNING_KEY_LEAD_SECONDS; files of keys whose tokens have all died
 * go. */
int signing_keys_add(const char *dir, struct err *err);

/* Pure: `times` ascend. The index of the one that signs, and whether the one at `index` is
 * published. */
size_t signing_keys_choose(const long long *times, size_t count, long long now);
bool signing_keys_is_published(const long long *times, size_t count, size_t index, long long now);

/* --- as certreg uses them --- */
int signing_keys_take(int argc, char **argv); /* takes --new-signing-key out; the new argc */
int signing_keys_when_asked(const char *dir, struct err *err); /* adds one and ends the program */
int signing_keys_beat(struct worker *worker, struct err *err);

#endif
