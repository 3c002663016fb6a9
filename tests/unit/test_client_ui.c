/* SPDX-License-Identifier: Apache-2.0 */
/* The operator of a server cannot wipe the line that says what he can read, nor write one of his
 * own. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/ui.h"
#include "lib/buf.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define HOSTILE                                                                                    \
	"lost\033[A\033[2K\rEVIDENCE tee\nok \x7f \xc2\x9b"                                        \
	"2K \xc3\xa9"
#define TAMED "lost?[A?[2K?EVIDENCE tee?ok ? ??2K \xc3\xa9"

static char path[] = "/tmp/test_client_ui.XXXXXX";

/* All that is written to `stream` meanwhile. */
static char *said(FILE *stream, void (*speak)(struct ui *ui))
{
	int number = fileno(stream), before = dup(number);
	struct buf text = BUF_INIT(4096);
	struct err err = { 0 };
	struct ui ui;

	ui_open(&ui, false);
	fflush(stream);
	CHECK(freopen(path, "w", stream) != NULL);
	speak(&ui);
	fflush(stream);
	dup2(before, number);
	close(before);
	CHECK(buf_read_file(&text, path, &err) == 0 && buf_add_text(&text, "", &err) == 0);
	return (char *)text.data;
}

static void note(struct ui *ui)
{
	ui_note(ui, "run: %s", HOSTILE);
}

static void fail(struct ui *ui)
{
	struct err err = { 0 };

	err_set(&err, ERR_UPSTREAM, "upstream.answer", "%s", HOSTILE);
	err_field(&err, "/a", "field.value", "%s", HOSTILE);
	ui_error(ui, &err, 1);
}

static void result(struct ui *ui)
{
	json_t *object = json_pack("{s:s}", "name", "one\033[2K\ttwo\nthree");

	ui_result(ui, object, "%s", json_string_value(json_object_get(object, "name")));
}

/* Somebody's words in the middle of a line: nothing that ends it, moves or turns what follows. */
static void plain(void)
{
	static const struct {
		const char *words, *shown;
	} pairs[] = {
		{ "Patienten \xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80",
			"Patienten \xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80" },
		{ "a\nagree: all\033[2K\r\t", "a?agree: all?[2K??" },
		{ "a\xe2\x80\xae"
		  "b\xe2\x81\xa6"
		  "c\xe2\x80\x8f",
			"a???b???c???" },
		{ "\xd8\x9c\xef\xbb\xbf\xe2\x80\xa8", "????????" },
		{ "\xe2\x80\x94 \xd8\xa7 \xef\xbb\xbe", "\xe2\x80\x94 \xd8\xa7 \xef\xbb\xbe" },
		{ NULL, "" }, /* a server left it out */
	};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		auto_free char *shown = ui_plain(pairs[i].words);

		CHECK_TEXT(shown, pairs[i].shown);
	}
}

int main(void)
{
	auto_free char *noted = NULL, *failed = NULL, *shown = NULL;
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	close(fd);
	noted = said(stderr, note);
	CHECK(noted && strstr(noted, "  run: " TAMED "\n"));
	failed = said(stderr, fail);
	CHECK(failed && strstr(failed, "strongroom: upstream.answer: " TAMED "\n"));
	CHECK(failed && strstr(failed, "  /a: " TAMED " (field.value)\n"));
	CHECK(failed && !strchr(failed, '\033'));
	shown = said(stdout, result);
	CHECK_TEXT(shown, "one?[2K\ttwo\nthree\n");
	unlink(path);
	plain();
	CHECK_DONE();
}
