/* SPDX-License-Identifier: Apache-2.0 */
/* Filling, wrapping and clearing the error value of err.h. */
#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 0))) static void set_text(
	struct err *err, const char *fmt, va_list args)
{
	vsnprintf(err->detail, sizeof(err->detail), fmt, args);
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
	va_end(args);
	return -1;
}

void err_clear(struct err *err)
{
	if (err)
		*err = (struct err) { .kind = ERR_NONE };
}
