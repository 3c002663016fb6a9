/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON at the borders. json_parse() is the only way in for outside bytes: size, depth and UTF-8 are
 * checked, a repeated member or a number that is no integer within +-(2^53-1) is refused.
 * json_decode() fills a struct by a table: unknown members are refused, every bad member is
 * reported with its pointer. JCS is RFC 8785 restricted to what json_parse() accepts (no
 * fractions), so that one value has one spelling.
 */
#ifndef STRONGROOM_JSON_H
#define STRONGROOM_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/digest.h"
#include "lib/err.h"

#define JSON_MAX_DEPTH 32
#define JSON_MAX_SIZE (16u << 20) /* bytes */

enum json_kind {
	JSON_FIELD_TEXT,   /* const char *, arena-owned copy; no NUL inside */
	JSON_FIELD_COUNT,  /* long long, >= 0 */
	JSON_FIELD_NUMBER, /* long long */
	JSON_FIELD_BOOL,   /* bool */
	JSON_FIELD_OBJECT, /* json_t *, borrowed from the parsed document */
	JSON_FIELD_ARRAY,  /* json_t *, borrowed */
	JSON_FIELD_DIGEST, /* const char *, "sha256:…" */
	JSON_FIELD_ANY,	   /* json_t *, borrowed; null allowed */
};

struct json_field {
	const char *name;
	enum json_kind kind;
	size_t offset;
	bool required;
	long long max; /* length of texts, entries of objects and arrays, value of numbers; 0: 4096
			  / 1024 / none */
};

/* Codes: json.syntax, json.too_large, json.too_deep, json.not_utf8, json.duplicate, json.number.
 * Free with json_decref. */
json_t *json_parse(const char *text, size_t len, struct err *err);

/* `fields` ends with name NULL. Code json.invalid_fields with every bad member in err->fields. */
int json_decode(struct arena *arena, json_t *object, const struct json_field *fields,
	void *ret_struct, struct err *err);

/* Compact bytes of what a program made itself; members keep their order. NUL-terminated, caller
 * frees. */
char *json_encode(const json_t *value, size_t *ret_len);
/* Canonical bytes (RFC 8785); NUL-terminated, caller frees. -1 json.not_canonical on reals. */
int jcs_encode(const json_t *value, char **ret_text, size_t *ret_len, struct err *err);
/* Parses bytes that must be the canonical ones: `code` says that they are not, of what. */
int jcs_parse(const char *text, size_t len, const char *code, const char *what, json_t **ret_value,
	struct err *err);
/* "sha256:…" over the canonical bytes. */
int jcs_digest(const json_t *value, char ret_text[DIGEST_TEXT_SIZE], struct err *err);

/* String member or NULL. */
const char *json_text(const json_t *object, const char *name);
bool json_text_is(const json_t *object, const char *name, const char *value);
bool json_list_has(const json_t *list, const char *text); /* as one of its entries */

void json_cleanup(json_t **value);
#define auto_json __attribute__((cleanup(json_cleanup)))

#endif
