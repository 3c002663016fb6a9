/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a file that somebody hostile may have made, at most a piece at a time. */
#include "services/provisioner/console.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/store.h"

#define PIECE_MAX (64 * 1024)
#define STREAM_MS (15 * 60 * 1000)

struct piece {
	long long from, size; /* of the file */
	const char *text;     /* in the arena */
	size_t len;
};

static int open_console(
	const struct provisioner_conf *conf, const struct sandbox *sandbox, long long *ret_size)
{
	const struct driver *driver = driver_find(sandbox->driver);
	auto_free char *path = driver ? driver_console_file(driver, conf, sandbox->id) : NULL;
	auto_fd int fd = path ? open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
	struct stat info;

	if (fd < 0 || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
		return -1;
	*ret_size = info.st_size;
	return take_fd(fd);
}

/* Behind `after`; -1: its end. A new boot begins anew, so what is behind its size is its start. */
static void read_piece(
	struct web_req *req, const struct sandbox *sandbox, long long after, struct piece *ret)
{
	auto_fd int fd = -1;
	ssize_t got = 0;
	char *text;

	*ret = (struct piece) { .text = "" };
	fd = open_console(req->worker->program, sandbox, &ret->size);
	if (fd < 0)
		return;
	if (after < 0)
		after = ret->size > PIECE_MAX ? ret->size - PIECE_MAX : 0;
	ret->from = after > ret->size ? 0 : after;
	text = arena_alloc(req->arena, PIECE_MAX);
	got = pread(fd, text, PIECE_MAX, ret->from);
	if (got > 0) {
		ret->text = text;
		ret->len = (size_t)got;
	}
}

static bool may_grow(const struct sandbox *sandbox)
{
	static const char *const states[] = { "queued", "creating", "starting", "ready",
		"stopping" };

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (strcmp(sandbox->state, states[i]) == 0)
			return true;
	}
	return false;
}

/* JSON takes UTF-8 only, and a console may say anything: what is not ASCII text is shown as '?'. */
static json_t *as_json(const struct piece *piece)
{
	auto_free char *clean = mem_strndup(piece->text, piece->len);

	for (size_t i = 0; i < piece->len; i++) {
		unsigned char byte = (unsigned char)piece->text[i];

		if (byte >= 0x7f || (byte < 0x20 && byte != '\n' && byte != '\t' && byte != '\r'))
			clean[i] = '?';
	}
	return json_pack("{s:s#}", "text", clean, piece->len);
}

static void stream(struct web_req *req, struct web_res *res, const struct sandbox *sandbox)
{
	long long after = req->last_event_id;
	struct piece piece;

	res->sse = true;
	do {
		read_piece(req, sandbox, after, &piece);
		after = piece.from + (long long)piece.len;
	} while (piece.len > 0 && web_event(req, res, after, "console", as_json(&piece)));
	if (after > piece.size) /* another boot: the event's number could only fall */
		return;
	if (may_grow(sandbox) || piece.len > 0)
		web_park(req, res, sandbox->id, STREAM_MS);
}

static int after_of(const struct web_req *req, long long *ret_after, struct err *err)
{
	const char *text = web_query(req, "after");
	char *end;

	*ret_after = -1;
	if (!text)
		return 0;
	errno = 0;
	*ret_after = strtoll(text, &end, 10);
	if (errno || end == text || *end || *ret_after < 0)
		return err_set(err, ERR_INVALID, "page.bad_token", "after is a number of bytes");
	return 0;
}

static bool wants_stream(const struct web_req *req)
{
	const char *accept = web_header(req, "Accept");

	return accept && strstr(accept, "text/event-stream");
}

int console_show(struct web_req *req, struct web_res *res, struct err *err)
{
	long long after, wait_ms;
	struct sandbox sandbox;
	struct piece piece;

	if (after_of(req, &after, err) < 0 || web_wait_ms(req, &wait_ms, err) < 0 ||
		store_get(req->worker->db, req->arena, req->principal->tenant,
			web_param(req, "sandbox_id"), &sandbox, err) < 0)
		return -1;
	if (strcmp(sandbox.state, "deleted") == 0)
		return err_set(err, ERR_NOT_FOUND, "sandbox.not_found", "there is no sandbox '%s'",
			sandbox.id);
	if (wants_stream(req)) {
		stream(req, res, &sandbox);
		return 0;
	}
	read_piece(req, &sandbox, after, &piece);
	res->content_type = "text/plain; charset=utf-8";
	res->text = piece.text;
	res->text_len = piece.len;
	web_header_add(res, "Console-Offset",
		arena_printf(req->arena, "%lld", piece.from + (long long)piece.len));
	if (piece.len == 0 && wait_ms && may_grow(&sandbox))
		web_park(req, res, sandbox.id, wait_ms);
	return 0;
}
