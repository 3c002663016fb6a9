/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of tofu_stream.h, and a table of message types. */
#include "services/provisioner/tofu_stream.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"

void tofu_stream_init(struct tofu_stream *stream)
{
	*stream = (struct tofu_stream) { .line = { .max = TOFU_LINE_BYTES } };
}

/* One line of printable characters: it is shown to people. */
static void copy(char ret_text[TOFU_TEXT_SIZE], const char *text)
{
	size_t len = 0;

	for (; text && *text && len < TOFU_TEXT_SIZE - 1; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\n' && len)
			break;
		ret_text[len++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	ret_text[len] = '\0';
}

static const char *address_of(const json_t *holder)
{
	const json_t *resource = json_object_get(holder, "resource");

	return json_text(resource, "addr");
}

/* --- message types --- */

static void on_version(struct tofu_stream *stream, const json_t *message)
{
	const char *ui = json_text(message, "ui");

	if (ui && strncmp(ui, "1.", 2) == 0)
		stream->is_versioned = true;
	else
		stream->is_other = true;
}

static void on_planned(struct tofu_stream *stream, const json_t *message)
{
	(void)message;
	stream->planned++;
}

static void on_start(struct tofu_stream *stream, const json_t *message)
{
	copy(stream->doing, address_of(json_object_get(message, "hook")));
}

static void on_complete(struct tofu_stream *stream, const json_t *message)
{
	(void)message;
	stream->applied++;
}

static void on_errored(struct tofu_stream *stream, const json_t *message)
{
	(void)message;
	stream->errored++;
}

static void on_drift(struct tofu_stream *stream, const json_t *message)
{
	const json_t *change = json_object_get(message, "change");

	stream->drifted++;
	if (json_text_is(change, "action", "delete"))
		stream->gone++;
}

static void on_diagnostic(struct tofu_stream *stream, const json_t *message)
{
	const json_t *diagnostic = json_object_get(message, "diagnostic");

	if (!json_text_is(diagnostic, "severity", "error") || stream->errors++ > 0)
		return;
	copy(stream->summary, json_text(diagnostic, "summary"));
	copy(stream->address, json_text(diagnostic, "address"));
}

static const struct {
	const char *type;
	void (*take)(struct tofu_stream *stream, const json_t *message);
} types[] = {
	{ "version", on_version },
	{ "planned_change", on_planned },
	{ "apply_start", on_start },
	{ "apply_complete", on_complete },
	{ "apply_errored", on_errored },
	{ "resource_drift", on_drift },
	{ "diagnostic", on_diagnostic },
};

static void tell(const struct tofu_stream *stream, const json_t *message)
{
	const char *level = json_text(message, "@level"), *text = json_text(message, "@message");
	char line[TOFU_TEXT_SIZE];

	if (!stream->on_text || !text)
		return;
	copy(line, text);
	stream->on_text(stream->arg, level && strlen(level) <= 8 ? level : "info", line);
}

static void take(struct tofu_stream *stream, const json_t *message)
{
	const char *type = json_text(message, "type");

	if (!type) {
		stream->dropped++;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(types[i].type, type) == 0)
			types[i].take(stream, message);
	}
	tell(stream, message);
}

/* --- lines --- */

/* Numbers may have fractions here, so this is not for json_parse(). */
static void end_line(struct tofu_stream *stream)
{
	auto_json json_t *message = NULL;

	if (stream->is_skipping || stream->line.len > 0)
		stream->lines++;
	if (stream->is_skipping) {
		stream->dropped++;
	} else if (stream->line.len > 0) {
		message = json_loadb((const char *)stream->line.data, stream->line.len,
			JSON_REJECT_DUPLICATES, NULL);
		take(stream, message);
	}
	stream->is_skipping = false;
	stream->line.len = 0;
}

void tofu_stream_add(struct tofu_stream *stream, const void *data, size_t len)
{
	const char *rest = data, *end = rest + len;

	while (rest < end) {
		const char *newline = memchr(rest, '\n', (size_t)(end - rest));
		const char *stop = newline ? newline : end;

		if (!stream->is_skipping &&
			buf_add(&stream->line, rest, (size_t)(stop - rest), NULL) < 0)
			stream->is_skipping = true;
		if (newline)
			end_line(stream);
		rest = newline ? newline + 1 : end;
	}
}

void tofu_stream_end(struct tofu_stream *stream)
{
	end_line(stream);
	buf_wipe(&stream->line);
}
