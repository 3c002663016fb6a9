/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the person or the script sees: on a terminal one line per task with a bar for bytes,
 * otherwise plain lines with a time, with --json one JSON object a line on stdout, the first of
 * which names the version. Never a secret.
 */
#ifndef STRONGROOM_CLIENT_UI_H
#define STRONGROOM_CLIENT_UI_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

struct ui {
	bool json;
	bool bar_open;		/* a bar stands on the current line */
	long long bar_drawn_ms; /* when it was drawn last */
	long long bar_started_ms;
	char bar_label[64];
};

void ui_open(struct ui *ui, bool json);
/* "start", "skip", "done", "failed". `why` may be NULL. */
void ui_task(struct ui *ui, const char *task, const char *what, const char *why);
void ui_note(struct ui *ui, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ui_warn(struct ui *ui, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Bytes; total 0 when unknown. Draws at most ten times a second. */
void ui_progress(struct ui *ui, const char *label, long long done, long long total);
/* Same, in the shape of fetch_request.progress and image_progress. */
void ui_progress_stage(void *ui, const char *stage, long long done, long long total);
/* With --json only: `object` is taken over; "type" and "time" are added. */
void ui_object(struct ui *ui, const char *type, json_t *object);
/* Data on stdout in both modes: a text line, or {"type":"result",...}, where a "type" of the
 * object's own is called "kind". */
void ui_result(struct ui *ui, json_t *object, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Somebody else's words for the middle of a line: no character in them ends it, moves the cursor or
 * turns the direction of what follows. NULL, which a server left out, is "". Caller frees. */
char *ui_plain(const char *text);
void ui_error(struct ui *ui, const struct err *err, int exit_code);

#endif
