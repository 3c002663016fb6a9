/* SPDX-License-Identifier: Apache-2.0 */
/* What an external Controller answers, behind the first byte: a machine or a page of a list. What
 * is let through is about the machine that was asked for, and fits into a path and a query as it
 * is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/id.h"
#include "services/provisioner/controller_answer.h"

#define ASKED "sbx_0190f1c2000070008000000000000002"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void read_machine(struct arena *arena, const char *text, size_t len)
{
	struct controller_machine machine;
	struct err err = { 0 };

	if (controller_answer_machine(arena, text, len, ASKED, &machine, &err) < 0) {
		must(strncmp(err.code, "controller.", 11) == 0);
		return;
	}
	must(strcmp(machine.id, ASKED) == 0);
	must(machine.boot >= 0 && machine.console_bytes >= 0);
	must(machine.state <= CONTROLLER_FAILED);
}

static void read_page(struct arena *arena, const char *text, size_t len)
{
	struct controller_page page;
	struct err err = { 0 };
	json_t *item;
	size_t i;

	if (controller_answer_page(arena, text, len, &page, &err) < 0) {
		must(strncmp(err.code, "controller.", 11) == 0);
		return;
	}
	must(json_array_size(page.items) <= 1000);
	must(!page.next || (*page.next && !strpbrk(page.next, "&=?#/ %\r\n")));
	json_array_foreach (page.items, i, item)
		must(id_is(json_string_value(item), "sbx"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena;

	if (size == 0)
		return 0;
	arena = arena_new();
	if (data[0] % 2 == 0)
		read_machine(arena, (const char *)data + 1, size - 1);
	else
		read_page(arena, (const char *)data + 1, size - 1);
	arena_free(arena);
	return 0;
}
