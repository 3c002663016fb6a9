/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_parse() and what follows it on hostile bytes. Whatever parses must have canonical bytes,
 * those must parse to an equal value, and encoding that again must give the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/json.h"
#include "lib/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct row {
	const char *name, *digest;
	long long size;
	bool on;
	json_t *labels, *list, *any;
};

static const struct json_field fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct row, name), true, 8 },
	{ "digest", JSON_FIELD_DIGEST, offsetof(struct row, digest), false, 0 },
	{ "size", JSON_FIELD_COUNT, offsetof(struct row, size), false, 100 },
	{ "on", JSON_FIELD_BOOL, offsetof(struct row, on), false, 0 },
	{ "labels", JSON_FIELD_OBJECT, offsetof(struct row, labels), false, 2 },
	{ "list", JSON_FIELD_ARRAY, offsetof(struct row, list), false, 2 },
	{ "any", JSON_FIELD_ANY, offsetof(struct row, any), false, 0 },
	{ 0 },
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_canonical(const json_t *value)
{
	auto_free char *first = NULL, *second = NULL;
	auto_json json_t *again = NULL;
	size_t first_len = 0, second_len = 0;
	struct err err;

	must(jcs_encode(value, &first, &first_len, &err) == 0);
	again = json_parse(first, first_len, &err);
	must(again && json_equal((json_t *)value, again));
	must(jcs_encode(again, &second, &second_len, &err) == 0);
	must(first_len == second_len && memcmp(first, second, first_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *value = NULL;
	auto_arena struct arena *arena = NULL;
	struct row row = { 0 };
	struct err err = { 0 };

	value = json_parse((const char *)data, size, &err);
	if (!value) {
		must(err.kind != ERR_NONE && *err.code);
		return 0;
	}
	check_canonical(value);
	arena = arena_new();
	if (json_decode(arena, value, fields, &row, &err) == 0)
		must(row.name && strlen(row.name) <= 8);
	else
		must(err.n_fields > 0);
	return 0;
}
