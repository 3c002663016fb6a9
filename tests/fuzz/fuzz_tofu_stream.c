/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tofu, or who poses as it, writes: a stream in pieces of odd sizes, and a plan. What is kept
 * of it is bounded and printable, the same whatever the pieces are, and a plan that is let through
 * holds nothing but what its types allow.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "services/provisioner/tofu_plan.h"
#include "services/provisioner/tofu_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_text(const char *text)
{
	size_t len = strnlen(text, TOFU_TEXT_SIZE);

	must(len < TOFU_TEXT_SIZE);
	for (size_t i = 0; i < len; i++)
		must(text[i] >= 0x20 && text[i] < 0x7f);
}

static void on_text(void *arg, const char *level, const char *text)
{
	(void)arg;
	must(strlen(level) <= 8);
	check_text(text);
}

static struct tofu_stream take(const uint8_t *data, size_t size, size_t piece)
{
	struct tofu_stream stream;

	tofu_stream_init(&stream);
	stream.on_text = on_text;
	for (size_t at = 0; at < size; at += piece)
		tofu_stream_add(&stream, data + at, size - at < piece ? size - at : piece);
	tofu_stream_end(&stream);
	check_text(stream.doing);
	check_text(stream.summary);
	check_text(stream.address);
	must(stream.dropped <= stream.lines);
	return stream;
}

static void check_plan(const uint8_t *data, size_t size)
{
	json_t *types = json_pack("[s,s]", "vm", "nic"), *plan, *change, *changes;
	struct err err = { .kind = ERR_NONE };
	size_t i;

	if (tofu_plan_check((const char *)data, size, types, false, &err) == 0) {
		plan = json_loadb((const char *)data, size, 0, NULL);
		changes = json_object_get(plan, "resource_changes");
		must(json_array_size(changes) <= 64);
		json_array_foreach (changes, i, change) {
			const char *type = json_string_value(json_object_get(change, "type"));

			must(type && (strcmp(type, "vm") == 0 || strcmp(type, "nic") == 0));
		}
		json_decref(plan);
	} else {
		must(*err.code);
	}
	json_decref(types);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tofu_stream whole = take(data, size, size ? size : 1), pieces = take(data, size, 3);

	must(whole.lines == pieces.lines && whole.dropped == pieces.dropped &&
		whole.errors == pieces.errors && strcmp(whole.summary, pieces.summary) == 0);
	must(*tofu_code_of("apply", &whole));
	check_plan(data, size);
	return 0;
}
