/* SPDX-License-Identifier: Apache-2.0 */
/* Ids: shape, order, what is refused; the clocks' text form. */
#include "lib/id.h"

#include <stdlib.h>

#include "lib/mem.h"
#include "tests/unit/check.h"

static void test_shape(void)
{
	char id[ID_SIZE], longest[ID_SIZE];

	id_new("run", id);
	CHECK_NUMBER(strlen(id), 36);
	CHECK(strncmp(id, "run_", 4) == 0);
	CHECK(id[4 + 12] == '7');
	CHECK(strchr("89ab", id[4 + 16]) != NULL);
	CHECK(id_is(id, "run"));
	CHECK(!id_is(id, "ru"));
	CHECK(!id_is(id, "pol"));
	id_new("prefix", longest);
	CHECK_NUMBER(strlen(longest), ID_SIZE - 1);
	CHECK(id_is(longest, "prefix"));
}

static void test_refusals(void)
{
	static const char *const bad[] = { "", "run", "run_", "run_0190f1c20190f1c20190f1c20190f1c",
		"run_0190f1c20190f1c20190f1c20190f1c20", "run_0190F1C20190f1c20190f1c20190f1c2",
		"run_0190f1c2-190f1c20190f1c20190f1c2", "runn0190f1c20190f1c20190f1c20190f1c2",
		" run_0190f1c20190f1c20190f1c20190f1c2", "run_0190f1c20190f1c20190f1c20190f1c2\n",
		"run_../../../../../../../../../../et" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!id_is(bad[i], "run"));
	CHECK(!id_is(NULL, "run"));
	CHECK(id_is("run_0190f1c20190f1c20190f1c20190f1c2", "run"));
	CHECK(id_is_any("run_0190f1c20190f1c20190f1c20190f1c2"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!id_is_any(bad[i]));
	CHECK(!id_is_any(NULL) && !id_is_any("_0190f1c20190f1c20190f1c20190f1c2"));
	CHECK(!id_is_any("../run_0190f1c20190f1c20190f1c20190f1c2"));
	CHECK(!id_is_any("toolongforaprefix_0190f1c20190f1c20190f1c20190f1c2"));
	CHECK(id_is_any("sixlet_0190f1c20190f1c20190f1c20190f1c2"));
	CHECK(!id_is_any("sevenle_0190f1c20190f1c20190f1c20190f1c2")); /* would fill ID_SIZE */
}

/* The time stamp is the first 12 digits: never before the clock read earlier, never after the later
 * one. */
static void test_time(void)
{
	for (int i = 0; i < 100; i++) {
		long long before = clock_unix_ms(), after, stamp;
		char id[ID_SIZE], digits[13] = "";

		id_new("run", id);
		after = clock_unix_ms();
		memcpy(digits, id + 4, 12);
		stamp = strtoll(digits, NULL, 16);
		CHECK(stamp >= before && stamp <= after);
	}
}

static void test_unique(void)
{
	char a[ID_SIZE], b[ID_SIZE];
	unsigned char one[32], two[32];

	id_new("run", a);
	id_new("run", b);
	CHECK(strcmp(a, b) != 0);
	rand_bytes(one, sizeof(one));
	rand_bytes(two, sizeof(two));
	CHECK(memcmp(one, two, sizeof(one)) != 0);
}

static void test_clocks(void)
{
	static const char *const no_times[] = { "", "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z",
		"2026-01-01T00:00:60Z", "26-1-1T0:0:0Z", " 2026-01-01T00:00:00Z",
		"2026-01-01T00:00:00Z ", "0000-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00" };
	char text[CLOCK_TEXT_SIZE];
	long long first = clock_monotonic_ms(), at;

	clock_rfc3339(0, text);
	CHECK_TEXT(text, "1970-01-01T00:00:00Z");
	clock_rfc3339(1795314680999, text);
	CHECK_TEXT(text, "2026-11-22T02:31:20Z");
	clock_rfc3339(-1, text);
	CHECK_TEXT(text, "1969-12-31T23:59:59Z");
	CHECK(clock_read_rfc3339("2026-11-22T02:31:20Z", &at) && at == 1795314680);
	for (size_t i = 0; i < ARRAY_LEN(no_times); i++)
		CHECK(!clock_read_rfc3339(no_times[i], &at));
	CHECK(clock_monotonic_ms() >= first);
}

int main(void)
{
	test_shape();
	test_refusals();
	test_time();
	test_unique();
	test_clocks();
	CHECK_DONE();
}
