/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever others put into an error can be told as JSON: an agent answers its app with it. */
#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

static const char *detail_of(const char *text)
{
	static struct err err;

	err_set(&err, ERR_UPSTREAM, "a.b", "%s", text);
	return err.detail;
}

static bool is_json(const char *text)
{
	json_t *string = json_string(text);

	json_decref(string);
	return string;
}

static void strange_bytes(void)
{
	CHECK_TEXT(detail_of("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
		"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
	CHECK_TEXT(detail_of("a\xff\x62"), "a?b");
	CHECK_TEXT(detail_of("\xc0\xaf"), "??");
	CHECK_TEXT(detail_of("\xed\xa0\x80"), "???");
	CHECK_TEXT(detail_of("\xf4\x90\x80\x80"), "????");
	CHECK_TEXT(detail_of("\xe2\x82"), "??");
}

/* Two bytes each, so that one of the two lengths is cut in the middle of one. */
static void cut(void)
{
	auto_free char *text = mem_alloc(2 * sizeof(((struct err *)0)->detail) + 2);
	struct err err;

	for (size_t i = 0; i < sizeof(err.detail); i++)
		memcpy(text + 2 * i, "\xc3\xbc", 2);
	CHECK(is_json(detail_of(text)));
	err_set(&err, ERR_UPSTREAM, "a.b", "x%s", text);
	CHECK(is_json(err.detail));
	err_wrap(&err, "%s", "y");
	CHECK(is_json(err.detail));
	err_field(&err, "/a", "a.b", "%s", text);
	err_field(&err, "/a", "a.b", "x%s", text);
	CHECK(is_json(err.fields[0].detail));
	CHECK(is_json(err.fields[1].detail));
}

int main(void)
{
	strange_bytes();
	cut();
	CHECK_DONE();
}
