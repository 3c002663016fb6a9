/* SPDX-License-Identifier: Apache-2.0 */
/* Long polls of the console by its offset, and of the record by its ETag. */
#include "client/sandbox_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/profile.h"
#include "client/sandbox.h"
#include "lib/fetch.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define LIMIT_MS 600000
#define POLL_MS 60000

static bool is_one_of(const char *state, const char *const *states)
{
	while (*states && strcmp(*states, state) != 0)
		states++;
	return *states;
}

/* What a hostile guest prints must not move the terminal's cursor. */
static void print_console(struct ui *ui, const char *text, size_t len)
{
	auto_free char *clean = mem_strndup(text, len);

	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)clean[i];

		if (byte >= 0x7f || (byte < 0x20 && byte != '\n' && byte != '\t'))
			clean[i] = byte == '\r' ? ' ' : '?';
	}
	if (ui->json)
		ui_object(ui, "console", json_pack("{s:s}", "text", clean));
	else
		fwrite(clean, 1, len, stdout);
	fflush(stdout);
}

/* One piece behind *offset (-1: the end of what is there), which moves on. */
static int read_piece(struct session *session, const struct cli *cli, bool wait, long long *offset,
	size_t *ret_len, struct err *err)
{
	auto_free char *base = mem_printf(
		"%s/v1/sandboxes/%s/console", api_profile(session->api)->url, cli->arguments[1]);
	auto_free char *url =
		*offset < 0 ? mem_printf("%s", base)
			    : mem_printf("%s?after=%lld%s", base, *offset, wait ? "&wait=30s" : "");
	struct fetch_request req = { .method = "GET", .url = url, .timeout_ms = POLL_MS };
	auto_response res = { 0 };
	auto_free char *next = NULL;

	if (api_raw(session->api, "console", "provisioner", &req, &res, err) < 0)
		return -1;
	if (res.status >= 400)
		return api_problem(&res, err);
	next = fetch_header(&res, "Console-Offset");
	if (!next)
		return err_set(err, ERR_UPSTREAM, "upstream.protocol", "no Console-Offset");
	*offset = strtoll(next, NULL, 10);
	*ret_len = res.body.len;
	if (res.body.len)
		print_console(cli->ui, (const char *)res.body.data, res.body.len);
	return 0;
}

int sandbox_logs(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const over[] = { "stopped", "failed", "deleting", "deleted", NULL };
	bool follow = cli_switch(cli, "follow");
	long long offset = -1;
	size_t len = 0;

	if (read_piece(session, cli, false, &offset, &len, err) < 0)
		return -1;
	while (follow) {
		auto_json json_t *sandbox = NULL;

		if (read_piece(session, cli, true, &offset, &len, err) < 0)
			return -1;
		if (len > 0)
			continue;
		if (sandbox_get(session->api, cli->arguments[1], NULL, &sandbox, err) < 0)
			return -1;
		follow = !is_one_of(json_text(sandbox, "state"), over);
	}
	return 0;
}

static void say(struct ui *ui, const json_t *sandbox)
{
	const json_t *queue = json_object_get(sandbox, "queue");
	const char *text = json_text(json_object_get(sandbox, "progress"), "text");
	const char *state = json_text(sandbox, "state");

	if (json_is_object(queue))
		ui_note(ui, "%s: number %lld in the queue, waits for %s", state,
			(long long)json_integer_value(json_object_get(queue, "position")),
			json_text(queue, "reason"));
	else
		ui_note(ui, "%s%s%s", state, text ? ": " : "", text ? text : "");
}

static int at_rest(const struct cli *cli, const json_t *sandbox, struct err *err)
{
	const json_t *failure = json_object_get(sandbox, "failure");
	const char *state = json_text(sandbox, "state"), *code = json_text(failure, "code");
	const char *id = json_text(sandbox, "id");

	if (strcmp(state, "ready") != 0)
		return err_set(err, ERR_UPSTREAM, "sandbox.failed", "sandbox %s is %s%s%s", id,
			state, code ? ": " : "", code ? code : "");
	ui_result(cli->ui, json_pack("{s:s,s:s}", "id", id, "state", state), "%s %s", id, state);
	return 0;
}

int sandbox_wait(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const moving[] = { "queued", "creating", "starting", "stopping", NULL };
	long long until = clock_monotonic_ms() + LIMIT_MS;
	auto_json json_t *sandbox = NULL;
	const char *id = cli->arguments[1];

	if (sandbox_get(session->api, id, NULL, &sandbox, err) < 0)
		return -1;
	while (is_one_of(json_text(sandbox, "state"), moving)) {
		json_t *next = NULL;

		say(cli->ui, sandbox);
		if (clock_monotonic_ms() > until)
			return err_set(err, ERR_TIMEOUT, "client.timeout",
				"sandbox %s is still %s after %d s", id,
				json_text(sandbox, "state"), LIMIT_MS / 1000);
		if (sandbox_get(session->api, id, json_text(sandbox, "etag"), &next, err) < 0)
			return -1;
		if (!next)
			continue;
		json_decref(sandbox);
		sandbox = next;
	}
	return at_rest(cli, sandbox, err);
}
