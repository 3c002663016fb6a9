/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding by table; a text of the other side reaches nobody but the log. */
#include "services/provisioner/controller_answer.h"

#include <stddef.h>
#include <string.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_ITEMS 1000
#define MAX_TOKEN 512

static const char token_bytes[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

static const char *const states[] = { [CONTROLLER_STARTING] = "starting",
	[CONTROLLER_RUNNING] = "running",
	[CONTROLLER_ENDING] = "ending",
	[CONTROLLER_ENDED] = "ended",
	[CONTROLLER_FAILED] = "failed" };

struct machine_body {
	const char *id, *state, *detail;
	long long boot, console_bytes;
};

static const struct json_field machine_fields[] = {
	{ "id", JSON_FIELD_TEXT, offsetof(struct machine_body, id), true, 63 },
	{ "boot", JSON_FIELD_COUNT, offsetof(struct machine_body, boot), true, 0 },
	{ "state", JSON_FIELD_TEXT, offsetof(struct machine_body, state), true, 15 },
	{ "detail", JSON_FIELD_TEXT, offsetof(struct machine_body, detail), false, 0 },
	{ "console_bytes", JSON_FIELD_COUNT, offsetof(struct machine_body, console_bytes), false,
		0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct page_body {
	json_t *items;
	const char *next;
};

static const struct json_field page_fields[] = {
	{ "items", JSON_FIELD_ARRAY, offsetof(struct page_body, items), true, MAX_ITEMS },
	{ "next_page_token", JSON_FIELD_TEXT, offsetof(struct page_body, next), false, MAX_TOKEN },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int bad(const char *why, struct err *err)
{
	return err_set(
		err, ERR_UPSTREAM, "controller.bad_answer", "the controller's answer %s", why);
}

static void release(void *value)
{
	json_decref(value);
}

/* The document lives as long as the arena. */
static int decode(struct arena *arena, const char *text, size_t len,
	const struct json_field *fields, void *ret_body, struct err *err)
{
	json_t *document = json_parse(text, len, NULL);

	if (!document)
		return bad("is not JSON, or not as strict as it has to be", err);
	arena_defer(arena, release, document);
	if (!json_is_object(document) || json_decode(arena, document, fields, ret_body, NULL) < 0)
		return bad("does not have the members it should have", err);
	return 0;
}

int controller_answer_machine(struct arena *arena, const char *text, size_t len,
	const char *sandbox_id, struct controller_machine *ret_machine, struct err *err)
{
	struct machine_body body = { 0 };
	size_t i = 0;

	if (decode(arena, text, len, machine_fields, &body, err) < 0)
		return -1;
	while (i < ARRAY_LEN(states) && strcmp(states[i], body.state) != 0)
		i++;
	if (i == ARRAY_LEN(states))
		return bad("names a state that there is not", err);
	if (strcmp(body.id, sandbox_id) != 0)
		return err_set(err, ERR_UPSTREAM, "controller.other_machine",
			"asked about '%s', the controller answered about another machine",
			sandbox_id);
	*ret_machine = (struct controller_machine) { .id = body.id,
		.boot = body.boot,
		.console_bytes = body.console_bytes,
		.state = (enum controller_state)i };
	return 0;
}

int controller_answer_page(struct arena *arena, const char *text, size_t len,
	struct controller_page *ret_page, struct err *err)
{
	struct page_body body = { 0 };
	json_t *item;
	size_t i;

	if (decode(arena, text, len, page_fields, &body, err) < 0)
		return -1;
	json_array_foreach (body.items, i, item) {
		if (!json_is_string(item) || !id_is(json_string_value(item), "sbx"))
			return bad("lists what is no sandbox's id", err);
	}
	if (body.next && (!*body.next || body.next[strspn(body.next, token_bytes)]))
		return bad("has a page token that no URL can hold as it is", err);
	*ret_page = (struct controller_page) { .items = body.items, .next = body.next };
	return 0;
}
