/* SPDX-License-Identifier: Apache-2.0 */
/* application/x-www-form-urlencoded bodies of the token routes: few members, each once, printable
 * ASCII. */
#ifndef CERTREG_FORM_H
#define CERTREG_FORM_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/web.h"

#define FORM_MAX_PAIRS 16

struct form {
	struct web_pair pairs[FORM_MAX_PAIRS];
	size_t count;
};

/* The request's body: request.not_form, and those of form_parse(). */
int form_read(const struct web_req *req, struct form *ret_form, struct err *err);
/* form.syntax, form.repeated, form.too_many. Values are wiped with the arena. */
int form_parse(
	struct arena *arena, const char *text, size_t len, struct form *ret_form, struct err *err);
const char *form_text(const struct form *form, const char *name); /* or NULL */

/* Only characters from space to tilde. */
bool form_is_plain(const char *text, size_t len);
/* `len` bytes and a NUL that are wiped when the arena ends. */
char *form_secret(struct arena *arena, size_t len);

#endif
