/* SPDX-License-Identifier: Apache-2.0 */
/* Filling, wrapping and clearing the error value of err.h. */
#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Unicode's table 3-7: the first byte, the range of the second, and how many there are. */
static size_t sequence(const unsigned char *text)
{
	static const struct {
		unsigned char low, high, from, to, len;
	} rows[] = { { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = 2;

		if (text[0] < rows[i].low || text[0] > rows[i].high)
			continue;
		if (text[1] < rows[i].from || text[1] > rows[i].to)
			return 0;
		while (len < rows[i].len && (text[len] & 0xc0) == 0x80)
			len++;
		return len == rows[i].len ? len : 0;
	}
	return text[0] < 0x80;
}

/* Others chose some of the bytes, and a character may have been cut: neither could be told as JSON.
 */
static void make_utf8(char *text)
{
	while (*text) {
		size_t len = sequence((const unsigned char *)text);

		if (len == 0)
			*text = '?';
		text += len ? len : 1;
	}
}

__attribute__((format(printf, 2, 0))) static void set_text(
	struct err *err, const char *fmt, va_list args)
{
	vsnprintf(err->detail, sizeof(err->detail), fmt, args);
	make_utf8(err->detail);
}

int err_set(struct err *err, enum err_kind kind, const char *code, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return -1;
	err->kind = kind;
	err->retry_s = 0;
	err->n_fields = 0;
	snprintf(err->code, sizeof(err->code), "%s", code);
	va_start(args, fmt);
	set_text(err, fmt, args);
	va_end(args);
	return -1;
}

int err_errno(struct err *err, const char *fmt, ...)
{
	const char *reason = strerror(errno);
	va_list args;
	size_t used;

	if (!err)
		return -1;
	err->kind = ERR_INTERNAL;
	err->retry_s = 0;
	err->n_fields = 0;
	snprintf(err->code, sizeof(err->code), "internal.system");
	va_start(args, fmt);
	set_text(err, fmt, args);
	va_end(args);
	used = strlen(err->detail);
	snprintf(err->detail + used, sizeof(err->detail) - used, ": %s", reason);
	make_utf8(err->detail);
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char inner[sizeof(err->detail)];
	va_list args;
	size_t used;

	if (!err)
		return -1;
	memcpy(inner, err->detail, sizeof(inner));
	va_start(args, fmt);
	set_text(err, fmt, args);
	va_end(args);
	used = strlen(err->detail);
	snprintf(err->detail + used, sizeof(err->detail) - used, ": %s", inner);
	make_utf8(err->detail);
	return -1;
}

int err_field(struct err *err, const char *pointer, const char *code, const char *fmt, ...)
{
	struct err_field *field;
	va_list args;

	if (!err || err->n_fields >= ERR_MAX_FIELDS)
		return -1;
	field = &err->fields[err->n_fields++];
	snprintf(field->pointer, sizeof(field->pointer), "%s", pointer);
	snprintf(field->code, sizeof(field->code), "%s", code);
	va_start(args, fmt);
	vsnprintf(field->detail, sizeof(field->detail), fmt, args);
	make_utf8(field->detail);
	va_end(args);
	return -1;
}

void err_clear(struct err *err)
{
	if (err)
		*err = (struct err) { .kind = ERR_NONE };
}
