/* SPDX-License-Identifier: Apache-2.0 */
/* logfmt lines on stderr: built in one buffer, written by one write(2) so that lines never mix. */
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static const char *service_name = "-";
static enum log_level threshold = LOG_LEVEL_INFO;
static _Thread_local char context_request[48];
static _Thread_local char context_principal[64];

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_open(const char *service, enum log_level level)
{
	service_name = service;
	threshold = level;
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

bool log_shows(enum log_level level)
{
	return level <= threshold;
}

/* Several times for each request. */
static void keep(char *place, size_t size, const char *text)
{
	size_t len = text ? strnlen(text, size - 1) : 0;

	if (len > 0)
		memcpy(place, text, len);
	place[len] = '\0';
}

void log_context_set(const char *request_id, const char *principal)
{
	keep(context_request, sizeof(context_request), request_id);
	keep(context_principal, sizeof(context_principal), principal);
}

static void put(struct line *line, const char *text, size_t len)
{
	size_t room = sizeof(line->text) - 1 - line->len;

	if (len > room)
		len = room;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static int needs_quotes(const char *value)
{
	if (!*value)
		return 1;
	for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
		if (*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || *c >= 0x7f)
			return 1;
	}
	return 0;
}

static void put_quoted(struct line *line, const char *value)
{
	char escape[8];

	put(line, "\"", 1);
	for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
		if (*c == '"' || *c == '\\') {
			snprintf(escape, sizeof(escape), "\\%c", *c);
			put(line, escape, 2);
		} else if (*c < ' ' || *c == 0x7f) {
			snprintf(escape, sizeof(escape), "\\x%02x", *c);
			put(line, escape, 4);
		} else {
			put(line, (const char *)c, 1);
		}
	}
	put(line, "\"", 1);
}

static void put_pair(struct line *line, const char *key, const char *value)
{
	put(line, " ", 1);
	put(line, key, strlen(key));
	put(line, "=", 1);
	if (!value)
		value = "";
	if (needs_quotes(value))
		put_quoted(line, value);
	else
		put(line, value, strlen(value));
}

static void put_time(struct line *line)
{
	struct timespec now;
	struct tm utc;
	char text[40];
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	len = strftime(text, sizeof(text), "time=%Y-%m-%dT%H:%M:%S", &utc);
	put(line, text, len);
	snprintf(text, sizeof(text), ".%03ldZ", now.tv_nsec / 1000000);
	put(line, text, strlen(text));
}

static void emit(enum log_level level, const char *msg, va_list pairs)
{
	struct line line = { .len = 0 };
	const char *key;

	if (!log_shows(level))
		return;
	put_time(&line);
	put_pair(&line, "level", level_names[level]);
	put_pair(&line, "svc", service_name);
	if (*context_request)
		put_pair(&line, "req", context_request);
	if (*context_principal)
		put_pair(&line, "principal", context_principal);
	put_pair(&line, "msg", msg);
	while ((key = va_arg(pairs, const char *)))
		put_pair(&line, key, va_arg(pairs, const char *));
	line.text[line.len++] = '\n';
	if (write(STDERR_FILENO, line.text, line.len) < 0)
		return;
}

#define DEFINE_LEVEL(function, level)                                                              \
	void function(const char *msg, ...)                                                        \
	{                                                                                          \
		va_list pairs;                                                                     \
                                                                                                   \
		va_start(pairs, msg);                                                              \
		emit((level), msg, pairs);                                                         \
		va_end(pairs);                                                                     \
	}

DEFINE_LEVEL(log_error, LOG_LEVEL_ERROR)
DEFINE_LEVEL(log_warn, LOG_LEVEL_WARN)
DEFINE_LEVEL(log_info, LOG_LEVEL_INFO)
DEFINE_LEVEL(log_debug, LOG_LEVEL_DEBUG)

void log_failure(const char *msg, const struct err *err)
{
	if (err->kind >= ERR_INTERNAL)
		log_error(msg, "code", err->code, "detail", err->detail, NULL);
	else
		log_info(msg, "code", err->code, "detail", err->detail, NULL);
}
