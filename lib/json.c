/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The border of json.h on jansson. Depth is counted before jansson recurses; what it tolerates and
 * we do not (reals, integers beyond 2^53) is refused by a walk over the result. Messages never
 * quote the input, which may hold secrets.
 */
#include "lib/json.h"

#include <stdio.h>
#include <string.h>

#include "lib/mem.h"

#define MAX_INTEGER ((1LL << 53) - 1) /* RFC 7493 section 2.2 */
#define DEFAULT_MAX_TEXT 4096
#define DEFAULT_MAX_ENTRIES 1024

static bool too_deep(const char *text, size_t len)
{
	unsigned depth = 0;
	bool in_text = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_text && c == '\\')
			i++;
		else if (c == '"')
			in_text = !in_text;
		else if (!in_text && (c == '[' || c == '{') && ++depth > JSON_MAX_DEPTH)
			return true;
		else if (!in_text && (c == ']' || c == '}') && depth > 0)
			depth--;
	}
	return false;
}

static bool numbers_fit(const json_t *value)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_real(value))
		return false;
	if (json_is_integer(value)) {
		json_int_t number = json_integer_value(value);

		return number >= -MAX_INTEGER && number <= MAX_INTEGER;
	}
	json_array_foreach (value, i, member) {
		if (!numbers_fit(member))
			return false;
	}
	json_object_foreach ((json_t *)value, name, member) {
		if (!numbers_fit(member))
			return false;
	}
	return true;
}

static int syntax_error(const json_error_t *error, struct err *err)
{
	const char *code = "json.syntax", *what = "not JSON";

	switch ((int)json_error_code(error)) {
	case json_error_invalid_utf8:
		code = "json.not_utf8";
		what = "not UTF-8";
		break;
	case json_error_duplicate_key:
		code = "json.duplicate";
		what = "a member occurs twice";
		break;
	case json_error_numeric_overflow:
		code = "json.number";
		what = "a number is out of range";
		break;
	case json_error_null_character:
	case json_error_null_byte_in_key:
		what = "a text contains NUL";
		break;
	default:
		break;
	}
	return err_set(
		err, ERR_INVALID, code, "line %d, column %d: %s", error->line, error->column, what);
}

json_t *json_parse(const char *text, size_t len, struct err *err)
{
	json_error_t error = { 0 };
	json_t *value;

	if (len > JSON_MAX_SIZE) {
		err_set(err, ERR_TOO_LARGE, "json.too_large", "more than %u bytes", JSON_MAX_SIZE);
		return NULL;
	}
	if (too_deep(text, len)) {
		err_set(err, ERR_INVALID, "json.too_deep", "nested more than %d deep",
			JSON_MAX_DEPTH);
		return NULL;
	}
	value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!value) {
		syntax_error(&error, err);
		return NULL;
	}
	if (!numbers_fit(value)) {
		json_decref(value);
		err_set(err, ERR_INVALID, "json.number",
			"a number is no integer between -(2^53-1) and 2^53-1");
		return NULL;
	}
	return value;
}

/* "/name" with ~ and / escaped (RFC 6901); cut when too long. */
static void pointer_to(const char *name, char *ret_pointer, size_t size)
{
	size_t len = 0;

	ret_pointer[len++] = '/';
	for (; *name && len + 3 < size; name++) {
		if (*name == '~' || *name == '/') {
			ret_pointer[len++] = '~';
			ret_pointer[len++] = *name == '~' ? '0' : '1';
		} else {
			ret_pointer[len++] = *name;
		}
	}
	ret_pointer[len] = '\0';
}

static void bad_field(struct err *bad, const char *name, const char *code, const char *detail)
{
	char pointer[96];

	pointer_to(name, pointer, sizeof(pointer));
	err_field(bad, pointer, code, "%s", detail);
}

static const char *wrong_type(enum json_kind kind, const json_t *value)
{
	switch (kind) {
	case JSON_FIELD_TEXT:
	case JSON_FIELD_DIGEST:
		return json_is_string(value) ? NULL : "must be a text";
	case JSON_FIELD_COUNT:
	case JSON_FIELD_NUMBER:
		return json_is_integer(value) ? NULL : "must be an integer";
	case JSON_FIELD_BOOL:
		return json_is_boolean(value) ? NULL : "must be true or false";
	case JSON_FIELD_OBJECT:
		return json_is_object(value) ? NULL : "must be an object";
	case JSON_FIELD_ARRAY:
		return json_is_array(value) ? NULL : "must be an array";
	case JSON_FIELD_ANY:
		break;
	}
	return NULL;
}

static bool too_large(const struct json_field *field, const json_t *value)
{
	long long max = field->max;

	if (json_is_string(value))
		return (long long)json_string_length(value) > (max ? max : DEFAULT_MAX_TEXT);
	if (json_is_object(value))
		return (long long)json_object_size(value) > (max ? max : DEFAULT_MAX_ENTRIES);
	if (json_is_array(value))
		return (long long)json_array_size(value) > (max ? max : DEFAULT_MAX_ENTRIES);
	return json_is_integer(value) && max && json_integer_value(value) > max;
}

static void check_value(const struct json_field *field, const json_t *value, struct err *bad)
{
	unsigned char digest[DIGEST_SIZE];
	const char *type = wrong_type(field->kind, value);

	if (type)
		bad_field(bad, field->name, "field.type", type);
	else if (too_large(field, value))
		bad_field(bad, field->name, "field.too_large", "is larger than allowed");
	else if (field->kind == JSON_FIELD_COUNT && json_integer_value(value) < 0)
		bad_field(bad, field->name, "field.value", "must not be negative");
	else if (field->kind == JSON_FIELD_TEXT &&
		 strlen(json_string_value(value)) != json_string_length(value))
		bad_field(bad, field->name, "field.value", "contains NUL");
	else if (field->kind == JSON_FIELD_DIGEST &&
		 (strlen(json_string_value(value)) != json_string_length(value) ||
			 digest_parse(json_string_value(value), digest, NULL) < 0))
		bad_field(bad, field->name, "field.value", "must be sha256: and 64 hex digits");
}

static bool is_known(const struct json_field *fields, const char *name)
{
	for (; fields->name; fields++) {
		if (strcmp(fields->name, name) == 0)
			return true;
	}
	return false;
}

static void check_members(json_t *object, const struct json_field *fields, struct err *bad)
{
	const char *name;
	json_t *value;

	for (const struct json_field *field = fields; field->name; field++) {
		value = json_object_get(object, field->name);
		if (value)
			check_value(field, value, bad);
		else if (field->required)
			bad_field(bad, field->name, "field.missing", "is missing");
	}
	json_object_foreach (object, name, value) {
		if (!is_known(fields, name))
			bad_field(bad, name, "field.unknown", "is not known here");
	}
}

static void store(
	struct arena *arena, const struct json_field *field, json_t *value, void *ret_struct)
{
	void *target = (char *)ret_struct + field->offset;

	switch (field->kind) {
	case JSON_FIELD_TEXT:
	case JSON_FIELD_DIGEST:
		*(const char **)target =
			arena_dup(arena, json_string_value(value), json_string_length(value) + 1);
		break;
	case JSON_FIELD_COUNT:
	case JSON_FIELD_NUMBER:
		*(long long *)target = json_integer_value(value);
		break;
	case JSON_FIELD_BOOL:
		*(bool *)target = json_is_true(value);
		break;
	case JSON_FIELD_OBJECT:
	case JSON_FIELD_ARRAY:
	case JSON_FIELD_ANY:
		*(json_t **)target = value;
		break;
	}
}

int json_decode(struct arena *arena, json_t *object, const struct json_field *fields,
	void *ret_struct, struct err *err)
{
	struct err bad = { .kind = ERR_INVALID, .code = "json.invalid_fields" };

	if (!json_is_object(object))
		err_field(&bad, "", "field.type", "must be an object");
	else
		check_members(object, fields, &bad);
	if (bad.n_fields > 0) {
		snprintf(bad.detail, sizeof(bad.detail), "'%s' %s", bad.fields[0].pointer,
			bad.fields[0].detail);
		if (err)
			*err = bad;
		return -1;
	}
	for (; fields->name; fields++) {
		json_t *value = json_object_get(object, fields->name);

		if (value)
			store(arena, fields, value, ret_struct);
	}
	return 0;
}

const char *json_text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

bool json_text_is(const json_t *object, const char *name, const char *value)
{
	const char *text = json_text(object, name);

	return text && strcmp(text, value) == 0;
}

bool json_list_has(const json_t *list, const char *text)
{
	json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		if (json_is_string(entry) && text && strcmp(json_string_value(entry), text) == 0)
			return true;
	}
	return false;
}

void json_cleanup(json_t **value)
{
	json_decref(*value);
}
