/* SPDX-License-Identifier: Apache-2.0 */
/* The border for outside bytes: hostile documents, decode tables, RFC 8785 vectors. */
#include "lib/json.h"

#include <stdlib.h>

#include "lib/mem.h"
#include "tests/unit/check.h"

static void refuse(const char *text, size_t len, const char *code)
{
	struct err err = { 0 };
	json_t *value = json_parse(text, len, &err);

	CHECK(value == NULL);
	CHECK_TEXT(err.code, code);
	json_decref(value);
}

static void test_hostile(void)
{
	static const struct {
		const char *text, *code;
	} bad[] = { { "", "json.syntax" }, { "{", "json.syntax" }, { "{}{}", "json.syntax" },
		{ "{} x", "json.syntax" }, { "[1,]", "json.syntax" }, { "{'a':1}", "json.syntax" },
		{ "[01]", "json.syntax" }, { "[+1]", "json.syntax" }, { "NaN", "json.syntax" },
		{ "[\"\\u0000\"]", "json.syntax" }, { "{\"a\\u0000b\":1}", "json.syntax" },
		{ "[\"\\ud800\"]", "json.syntax" }, { "[\"a\nb\"]", "json.syntax" },
		{ "\xef\xbb\xbf{}", "json.syntax" }, { "[\"\xff\"]", "json.not_utf8" },
		{ "[\"\xc0\x80\"]", "json.not_utf8" }, { "[\"\xed\xa0\x80\"]", "json.not_utf8" },
		{ "[\"\xf4\x90\x80\x80\"]", "json.not_utf8" }, { "[\"\xc3\"]", "json.not_utf8" },
		{ "{\"a\":1,\"a\":2}", "json.duplicate" },
		{ "{\"a\":1,\"\\u0061\":2}", "json.duplicate" },
		{ "[{\"x\":{\"a\":1,\"a\":1}}]", "json.duplicate" }, { "[1.0]", "json.number" },
		{ "[1e3]", "json.number" }, { "[1e999]", "json.number" }, { "1.5", "json.number" },
		{ "{\"a\":[{\"b\":0.1}]}", "json.number" }, { "[9007199254740992]", "json.number" },
		{ "[-9007199254740992]", "json.number" },
		{ "[99999999999999999999999999]", "json.number" } };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		refuse(bad[i].text, strlen(bad[i].text), bad[i].code);
	refuse("[1]\0[2]", 7, "json.syntax");
	refuse("[\"a\0b\"]", 7, "json.syntax");
}

static char *nested(size_t depth)
{
	char *text = mem_alloc(2 * depth + 1);

	memset(text, '[', depth);
	memset(text + depth, ']', depth);
	return text;
}

static void test_depth(void)
{
	auto_free char *deepest = nested(JSON_MAX_DEPTH), *deeper = nested(JSON_MAX_DEPTH + 1);
	size_t huge_len = 1u << 20;
	auto_free char *huge = mem_alloc(huge_len);
	auto_json json_t *value = json_parse(deepest, strlen(deepest), NULL);
	auto_json json_t *texts = json_parse("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"]",
		strlen("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"]"), NULL);

	CHECK(value != NULL);
	CHECK(texts != NULL);
	refuse(deeper, strlen(deeper), "json.too_deep");
	memset(huge, '[', huge_len);
	refuse(huge, huge_len, "json.too_deep");
	for (size_t i = 0; i + 5 <= huge_len; i += 5)
		memcpy(huge + i, "{\"a\":", 5);
	refuse(huge, huge_len, "json.too_deep");
}

static void test_size(void)
{
	size_t len = (size_t)JSON_MAX_SIZE + 1;
	auto_free char *text = mem_alloc(len);

	memset(text, ' ', len);
	text[0] = '1';
	refuse(text, len, "json.too_large");
	auto_json json_t *value = json_parse(text, len - 1, NULL);
	CHECK(json_integer_value(value) == 1);
}

/* What a document holds may be secret: no message repeats it. */
static void test_messages_are_silent(void)
{
	static const char text[] = "{\"key\":\"hunter2hunter2\" \"x\"}";
	struct err err = { 0 };

	CHECK(json_parse(text, strlen(text), &err) == NULL);
	CHECK(strstr(err.detail, "hunter2") == NULL);
	CHECK(strstr(err.detail, "line 1") != NULL);
}

struct row {
	const char *name, *digest;
	long long size, offset;
	bool on;
	json_t *labels, *list, *any;
};

static const struct json_field row_fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct row, name), true, 8 },
	{ "digest", JSON_FIELD_DIGEST, offsetof(struct row, digest), false, 0 },
	{ "size", JSON_FIELD_COUNT, offsetof(struct row, size), true, 100 },
	{ "offset", JSON_FIELD_NUMBER, offsetof(struct row, offset), false, 0 },
	{ "on", JSON_FIELD_BOOL, offsetof(struct row, on), false, 0 },
	{ "labels", JSON_FIELD_OBJECT, offsetof(struct row, labels), false, 1 },
	{ "list", JSON_FIELD_ARRAY, offsetof(struct row, list), false, 2 },
	{ "any", JSON_FIELD_ANY, offsetof(struct row, any), false, 0 },
	{ 0 },
};

static int decode(struct arena *arena, const char *text, struct row *row, struct err *err)
{
	json_t *value = json_parse(text, strlen(text), NULL);
	int result = json_decode(arena, value, row_fields, row, err);

	json_decref(value);
	return result;
}

static void test_decode(void)
{
	static const char text[] =
		"{\"name\":\"n\\u00e4me\",\"size\":100,\"offset\":-5,\"on\":true,"
		"\"labels\":{\"a\":1},\"list\":[1,2],\"any\":null,\"digest\":"
		"\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b"
		"7852b855\"}";
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *value = json_parse(text, strlen(text), NULL);
	struct row row = { 0 };
	struct err err = { 0 };

	CHECK_NUMBER(json_decode(arena, value, row_fields, &row, &err), 0);
	CHECK_TEXT(row.name, "n\xc3\xa4me");
	CHECK(row.digest && strlen(row.digest) == DIGEST_TEXT_SIZE - 1);
	CHECK_NUMBER(row.size, 100);
	CHECK_NUMBER(row.offset, -5);
	CHECK(row.on && json_is_null(row.any));
	CHECK_NUMBER(json_array_size(row.list), 2);
	CHECK_NUMBER(json_object_size(row.labels), 1);
	CHECK(row.name != json_text(value, "name"));
}

static void test_decode_reports_everything(void)
{
	auto_arena struct arena *arena = arena_new();
	struct row row = { .size = 42 };
	struct err err = { 0 };

	CHECK_NUMBER(
		decode(arena,
			"{\"size\":101,\"on\":1,\"a/b~c\":1,\"list\":[1,2,3],\"digest\":\"x\"}",
			&row, &err),
		-1);
	CHECK_TEXT(err.code, "json.invalid_fields");
	CHECK_NUMBER(err.kind, ERR_INVALID);
	CHECK_NUMBER(err.n_fields, 6);
	CHECK_TEXT(err.fields[0].pointer, "/name");
	CHECK_TEXT(err.fields[0].code, "field.missing");
	CHECK_TEXT(err.fields[1].code, "field.value");
	CHECK_TEXT(err.fields[2].code, "field.too_large");
	CHECK_TEXT(err.fields[3].code, "field.type");
	CHECK_TEXT(err.fields[5].pointer, "/a~1b~0c");
	CHECK_TEXT(err.fields[5].code, "field.unknown");
	CHECK_NUMBER(row.size, 42);
}

static void test_decode_refusals(void)
{
	static const char *const bad[] = { "[]", "1", "{}", "{\"name\":\"n\"}",
		"{\"name\":\"n\",\"size\":-1}", "{\"name\":null,\"size\":1}",
		"{\"name\":\"123456789\",\"size\":1}", "{\"name\":\"n\",\"size\":\"1\"}",
		"{\"name\":\"n\",\"size\":1,\"labels\":[]}",
		"{\"name\":\"n\",\"size\":1,\"NAME\":1}" };
	auto_arena struct arena *arena = arena_new();
	struct row row = { 0 };
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(decode(arena, bad[i], &row, &err), &err, "json.invalid_fields");
	CHECK(row.name == NULL && row.size == 0);
}

static void canonical(const char *text, const char *expected)
{
	auto_json json_t *value = json_parse(text, strlen(text), NULL);
	auto_free char *out = NULL;
	size_t len = 0;

	CHECK(value != NULL);
	CHECK_NUMBER(jcs_encode(value, &out, &len, NULL), 0);
	CHECK_TEXT(out, expected);
	CHECK_NUMBER(len, strlen(expected));
}

static void test_jcs(void)
{
	/* RFC 8785, section 3.2.2 (strings and literals) and 3.2.3 (sorting) */
	canonical("{ \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
		  "  \"literals\": [null, true, false] }",
		"{\"literals\":[null,true,false],"
		"\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
	canonical("{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew "
		  "Letter Dalet With Dagesh\",\"1\":\"One\",\"\\ud83d\\ude00\":\"Emoji: Grinning "
		  "Face\",\"\\u0080\":\"Control\",\"\\u00f6\":\"Latin Small Letter O With "
		  "Diaeresis\"}",
		"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\",\"\xc3\xb6\":"
		"\"Latin Small Letter O With Diaeresis\",\"\xe2\x82\xac\":\"Euro Sign\","
		"\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\",\"\xef\xac\xb3\":\"Hebrew Letter "
		"Dalet With Dagesh\"}");
	/* the authors' own test data: arrays, french, structures */
	canonical("[56,{\"d\":true,\"10\":null,\"1\":[ ]}]",
		"[56,{\"1\":[],\"10\":null,\"d\":true}]");
	canonical("{\"peach\":\"This sorting order\",\"p\xc3\xa9"
		  "ch\xc3\xa9\":\"is wrong according to French\",\"p\xc3\xaa"
		  "che\":\"but canonicalization MUST\",\"sin\":\"ignore locale\"}",
		"{\"peach\":\"This sorting order\",\"p\xc3\xa9"
		"ch\xc3\xa9\":\"is wrong according to French\",\"p\xc3\xaa"
		"che\":\"but canonicalization MUST\",\"sin\":\"ignore locale\"}");
	canonical("{\"\":\"empty\",\"a\":{ "
		  "},\"111\":[{\"e\":\"yes\",\"E\":\"no\"}],\"A\":{\"b\":\"123\"}}",
		"{\"\":\"empty\",\"111\":[{\"E\":\"no\",\"e\":\"yes\"}],\"A\":{\"b\":\"123\"},"
		"\"a\":{}}");
	canonical("[0,-0,-1,9007199254740991,-9007199254740991]",
		"[0,0,-1,9007199254740991,-9007199254740991]");
	canonical("\"\\b\\t\\n\\f\\r\\u0001\\u001f\\u007f\"",
		"\"\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\"");
}

static void test_jcs_refusals(void)
{
	auto_json json_t *real = json_pack("{s:f}", "a", 1.0);
	auto_json json_t *large = json_integer(1LL << 53);
	json_t *deep = json_array();
	char *text = NULL, digest[DIGEST_TEXT_SIZE] = "untouched";
	struct err err;

	CHECK_FAILS(jcs_encode(real, &text, NULL, &err), &err, "json.not_canonical");
	CHECK_FAILS(jcs_encode(large, &text, NULL, &err), &err, "json.not_canonical");
	CHECK_FAILS(jcs_encode(NULL, &text, NULL, &err), &err, "json.not_canonical");
	for (int i = 0; i < JSON_MAX_DEPTH; i++) {
		json_t *outer = json_array();

		json_array_append_new(outer, deep);
		deep = outer;
	}
	CHECK_FAILS(jcs_digest(deep, digest, &err), &err, "json.not_canonical");
	json_decref(deep);
	CHECK(text == NULL);
	CHECK_TEXT(digest, "untouched");
}

static void test_jcs_digest(void)
{
	static const char one[] = "{\"b\":[1,2],\"a\":\"\\u0041\"}",
			  two[] = "{\"a\":\"A\", \"b\":[1,2]}";
	auto_json json_t *first = json_parse(one, strlen(one), NULL);
	auto_json json_t *second = json_parse(two, strlen(two), NULL);
	char a[DIGEST_TEXT_SIZE], b[DIGEST_TEXT_SIZE], expected[DIGEST_TEXT_SIZE];

	CHECK_NUMBER(jcs_digest(first, a, NULL), 0);
	CHECK_NUMBER(jcs_digest(second, b, NULL), 0);
	CHECK_TEXT(a, b);
	digest_text("{\"a\":\"A\",\"b\":[1,2]}", 19, expected);
	CHECK_TEXT(a, expected);
}

int main(void)
{
	test_hostile();
	test_depth();
	test_size();
	test_messages_are_silent();
	test_decode();
	test_decode_reports_everything();
	test_decode_refusals();
	test_jcs();
	test_jcs_refusals();
	test_jcs_digest();
	CHECK_DONE();
}
