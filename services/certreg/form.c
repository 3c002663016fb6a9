/* SPDX-License-Identifier: Apache-2.0 */
/* Form bodies: decoded into memory that is wiped, since client secrets travel in them. */
#include "services/certreg/form.h"

#include <string.h>
#include <strings.h>

struct secret {
	size_t len;
	char text[];
};

static void wipe(void *object)
{
	struct secret *secret = object;

	explicit_bzero(secret->text, secret->len);
}

char *form_secret(struct arena *arena, size_t len)
{
	struct secret *secret = arena_alloc(arena, sizeof(*secret) + len + 1);

	secret->len = len;
	arena_defer(arena, wipe, secret);
	return secret->text;
}

bool form_is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return true;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Returns the decoded text, or NULL where the encoding or a character is not allowed. */
static const char *decode(struct arena *arena, const char *text, size_t len)
{
	char *out = form_secret(arena, len);
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		int high, low;

		if (text[i] != '%') {
			out[used++] = text[i] == '+' ? ' ' : text[i];
			continue;
		}
		high = i + 2 < len ? hex_value(text[i + 1]) : -1;
		low = i + 2 < len ? hex_value(text[i + 2]) : -1;
		if (high < 0 || low < 0)
			return NULL;
		out[used++] = (char)(high << 4 | low);
		i += 2;
	}
	return form_is_plain(out, used) ? out : NULL;
}

static int add_pair(
	struct arena *arena, struct form *form, const char *text, size_t len, struct err *err)
{
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : 0;
	struct web_pair pair;

	if (form->count == FORM_MAX_PAIRS)
		return err_set(
			err, ERR_INVALID, "form.too_many", "more than %d members", FORM_MAX_PAIRS);
	pair.name = name_len ? decode(arena, text, name_len) : NULL;
	pair.value = pair.name ? decode(arena, equals + 1, len - name_len - 1) : NULL;
	if (!pair.value)
		return err_set(err, ERR_INVALID, "form.syntax",
			"the body is not a form of printable ASCII");
	if (form_text(form, pair.name))
		return err_set(err, ERR_INVALID, "form.repeated", "a member occurs twice");
	form->pairs[form->count++] = pair;
	return 0;
}

int form_parse(
	struct arena *arena, const char *text, size_t len, struct form *ret_form, struct err *err)
{
	struct form form = { .count = 0 };

	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '&', len - at);
		size_t part = end ? (size_t)(end - text) - at : len - at;

		if (part > 0 && add_pair(arena, &form, text + at, part, err) < 0)
			return -1;
		at += part + 1;
	}
	*ret_form = form;
	return 0;
}

int form_read(const struct web_req *req, struct form *ret_form, struct err *err)
{
	static const char wanted[] = "application/x-www-form-urlencoded";
	const char *type = web_header(req, "Content-Type");
	size_t len = sizeof(wanted) - 1;

	if (!type || strncasecmp(type, wanted, len) != 0 || (type[len] && type[len] != ';'))
		return err_set(err, ERR_UNSUPPORTED_TYPE, "request.not_form", "the body must be %s",
			wanted);
	return form_parse(req->arena, (const char *)req->body, req->body_len, ret_form, err);
}

const char *form_text(const struct form *form, const char *name)
{
	for (size_t i = 0; i < form->count; i++) {
		if (strcmp(form->pairs[i].name, name) == 0)
			return form->pairs[i].value;
	}
	return NULL;
}
