/* SPDX-License-Identifier: Apache-2.0 */
/* The three ways of showing of ui.h. Messages go to stderr, data and NDJSON to stdout. */
#include "client/ui.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/help.h"
#include "lib/id.h"
#include "lib/mem.h"

#define BAR_EVERY_MS 100
#define BAR_WIDTH 30

static void bar_close(struct ui *ui)
{
	if (ui->bar_open)
		fputs("\r\033[K", stderr);
	ui->bar_open = false;
}

/* What a server says is shown, never obeyed: a terminal takes orders by control characters. `keep`
 * are those that are meant. */
static void tame(char *text, const char *keep)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		bool is_c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0; /* U+0080 to U+009F */

		if (((*at < ' ' || *at == 0x7f) && !strchr(keep, *at)) || is_c1)
			*at = '?';
		if (is_c1)
			*++at = '?';
	}
}

/* U+061C, U+200B to U+200F, U+2028 to U+202E, U+2060 to U+2069, U+FEFF: they are not seen, and do
 * something to what is. */
static bool is_unseen(const unsigned char *at)
{
	if (at[0] == 0xd8)
		return at[1] == 0x9c;
	if (at[0] == 0xef)
		return at[1] == 0xbb && at[2] == 0xbf;
	if (at[0] != 0xe2)
		return false;
	return (at[1] == 0x80 &&
		       ((at[2] >= 0x8b && at[2] <= 0x8f) || (at[2] >= 0xa8 && at[2] <= 0xae))) ||
	       (at[1] == 0x81 && at[2] >= 0xa0 && at[2] <= 0xa9);
}

char *ui_plain(const char *text)
{
	char *plain = mem_strdup(text ? text : "");

	tame(plain, "");
	for (unsigned char *at = (unsigned char *)plain; *at; at++)
		if (is_unseen(at))
			memset(at, '?', at[0] == 0xd8 ? 2 : 3);
	return plain;
}

__attribute__((format(printf, 3, 4))) static void show(
	FILE *out, const char *keep, const char *fmt, ...)
{
	auto_free char *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = mem_vprintf(fmt, args);
	va_end(args);
	tame(text, keep);
	fprintf(out, "%s\n", text);
}

static void print_time(FILE *out)
{
	char now[CLOCK_TEXT_SIZE];

	if (isatty(fileno(out)))
		return;
	clock_rfc3339(clock_unix_ms(), now);
	fprintf(out, "%s ", now);
}

void ui_object(struct ui *ui, const char *type, json_t *object)
{
	char now[CLOCK_TEXT_SIZE];

	if (ui->json) {
		json_t *line = json_object();

		clock_rfc3339(clock_unix_ms(), now);
		json_object_set_new(line, "type", json_string(type));
		json_object_set_new(line, "time", json_string(now));
		json_object_update(line, object);
		json_dumpf(line, stdout, JSON_COMPACT);
		fputc('\n', stdout);
		fflush(stdout);
		json_decref(line);
	}
	json_decref(object);
}

void ui_open(struct ui *ui, bool json)
{
	*ui = (struct ui) { .json = json };
	if (json)
		ui_object(ui, "version", json_pack("{s:s}", "ui", "1.0"));
}

void ui_task(struct ui *ui, const char *task, const char *what, const char *why)
{
	if (ui->json) {
		ui_object(ui, "task",
			json_pack("{s:s,s:s,s:s*}", "task", task, "state", what, "why", why));
		return;
	}
	bar_close(ui);
	print_time(stderr);
	show(stderr, "", "%-22s %-6s%s%s", task, what, why ? " " : "", why ? why : "");
}

__attribute__((format(printf, 4, 0))) static void say(
	struct ui *ui, const char *type, const char *prefix, const char *fmt, va_list args)
{
	auto_free char *text = mem_vprintf(fmt, args);

	if (ui->json) {
		ui_object(ui, type, json_pack("{s:s}", "text", text));
		return;
	}
	bar_close(ui);
	print_time(stderr);
	show(stderr, "", "%s%s", prefix, text);
}

void ui_note(struct ui *ui, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(ui, "note", "  ", fmt, args);
	va_end(args);
}

void ui_warn(struct ui *ui, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(ui, "warning", "  warning: ", fmt, args);
	va_end(args);
}

static void bar_draw(struct ui *ui, const char *label, long long done, long long total)
{
	long long ms = clock_monotonic_ms() - ui->bar_started_ms;
	double rate = ms > 0 ? (double)done / 1.048576e6 * 1000.0 / (double)ms : 0.0;
	int filled = total > 0 ? (int)(done * BAR_WIDTH / total) : 0;

	fprintf(stderr, "\r\033[K  %-8s [", label);
	for (int i = 0; i < BAR_WIDTH; i++)
		fputc(i < filled ? '#' : '.', stderr);
	fprintf(stderr, "] %.1f MiB  %.1f MiB/s", (double)done / 1.048576e6, rate);
	if (total > done && done > 0)
		fprintf(stderr, "  %llds",
			(long long)((double)ms / 1000.0 * (double)(total - done) / (double)done));
	fflush(stderr);
	ui->bar_open = true;
}

void ui_progress(struct ui *ui, const char *label, long long done, long long total)
{
	long long now = clock_monotonic_ms();

	if (strcmp(ui->bar_label, label) != 0 || done == 0) {
		snprintf(ui->bar_label, sizeof(ui->bar_label), "%s", label);
		ui->bar_started_ms = now;
	} else if (now - ui->bar_drawn_ms < BAR_EVERY_MS && done != total) {
		return;
	}
	ui->bar_drawn_ms = now;
	if (ui->json)
		ui_object(ui, "progress",
			json_pack("{s:s,s:I,s:I}", "what", label, "done", done, "total", total));
	else if (isatty(STDERR_FILENO))
		bar_draw(ui, label, done, total);
}

void ui_progress_stage(void *ui, const char *stage, long long done, long long total)
{
	ui_progress(ui, stage, done, total);
}

/* The line's own "type" says what line it is: a record's is told as "kind". */
static json_t *without_type(json_t *object)
{
	json_t *type = json_object_get(object, "type"), *copy;

	if (!type)
		return object;
	copy = json_copy(object);
	json_object_set(copy, "kind", type);
	json_object_del(copy, "type");
	json_decref(object);
	return copy;
}

void ui_result(struct ui *ui, json_t *object, const char *fmt, ...)
{
	auto_free char *text = NULL;
	va_list args;

	bar_close(ui);
	if (ui->json) {
		ui_object(ui, "result", without_type(object));
		return;
	}
	va_start(args, fmt);
	text = mem_vprintf(fmt, args); /* may speak of the object */
	va_end(args);
	json_decref(object);
	show(stdout, "\n\t", "%s", text);
	fflush(stdout);
}

static json_t *error_fields(const struct err *err)
{
	json_t *fields = json_array();

	for (unsigned i = 0; i < err->n_fields; i++) {
		json_array_append_new(fields,
			json_pack("{s:s,s:s,s:s}", "pointer", err->fields[i].pointer, "code",
				err->fields[i].code, "detail", err->fields[i].detail));
	}
	return fields;
}

void ui_error(struct ui *ui, const struct err *err, int exit_code)
{
	const char *help = help_for(err->code);

	if (ui->json) {
		ui_object(ui, "error",
			json_pack("{s:s,s:s,s:o,s:s*,s:i}", "code", err->code, "detail",
				err->detail, "fields", error_fields(err), "help", help, "exit",
				exit_code));
		return;
	}
	bar_close(ui);
	show(stderr, "", "strongroom: %s: %s", err->code, err->detail);
	for (unsigned i = 0; i < err->n_fields; i++)
		show(stderr, "", "  %s: %s (%s)", err->fields[i].pointer, err->fields[i].detail,
			err->fields[i].code);
	if (help)
		fprintf(stderr, "  next: %s\n", help);
}
