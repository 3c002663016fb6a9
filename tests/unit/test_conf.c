/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: who wins, units, and everything that must refuse to start. */
#include "lib/conf.h"

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

struct program {
	char *listen, *name;
	long threads, cache_bytes, wait_ms;
	bool strict;
};

static const struct conf_item items[] = {
	{ "listen", CONF_TEXT, offsetof(struct program, listen), NULL, "where to listen" },
	{ "name", CONF_TEXT, offsetof(struct program, name), "", "its name" },
	{ "lane.threads", CONF_COUNT, offsetof(struct program, threads), "2", "threads" },
	{ "cache-bytes", CONF_SIZE, offsetof(struct program, cache_bytes), "64k", "cache" },
	{ "wait_ms", CONF_MS, offsetof(struct program, wait_ms), "1500ms", "longest wait" },
	{ "strict", CONF_BOOL, offsetof(struct program, strict), "false", "strictness" },
	{ 0 },
};

static char path[] = "/tmp/test_conf.XXXXXX";

static int load(const char *text, struct program *program, struct err *err)
{
	struct err ignored;

	CHECK_NUMBER(buf_write_file(path, text, strlen(text), 0600, &ignored), 0);
	return conf_load(items, program, path, err);
}

static void test_defaults_and_file(void)
{
	struct program program = { 0 };
	struct err err = { 0 };

	CHECK_NUMBER(load("# comment\n\n  listen =  unix:/a b=c \r\nlane.threads=0\nstrict = true",
			     &program, &err),
		0);
	CHECK_TEXT(program.listen, "unix:/a b=c");
	CHECK_TEXT(program.name, "");
	CHECK_NUMBER(program.threads, 0);
	CHECK_NUMBER(program.cache_bytes, 65536);
	CHECK_NUMBER(program.wait_ms, 1500);
	CHECK(program.strict);
	conf_release(items, &program);
	CHECK(program.listen == NULL);
}

static void test_environment_wins(void)
{
	struct program program = { 0 };
	struct err err = { 0 };

	setenv("STRONGROOM_LANE_THREADS", "7", 1);
	setenv("STRONGROOM_CACHE_BYTES", "2g", 1);
	setenv("STRONGROOM_LISTEN", " tcp:localhost:1 ", 1);
	CHECK_NUMBER(conf_load(items, &program, NULL, &err), 0);
	CHECK_NUMBER(program.threads, 7);
	CHECK_NUMBER(program.cache_bytes, 2LL << 30);
	CHECK_TEXT(program.listen, "tcp:localhost:1");
	conf_release(items, &program);
	unsetenv("STRONGROOM_LANE_THREADS");
	unsetenv("STRONGROOM_CACHE_BYTES");
	unsetenv("STRONGROOM_LISTEN");
}

static void test_units(void)
{
	static const struct {
		const char *text;
		long long expected;
	} waits[] = { { "7", 7 }, { "7ms", 7 }, { "7s", 7000 }, { "7m", 420000 },
		{ "1h", 3600000 } };

	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		auto_free char *text = mem_printf("listen = x\nwait_ms = %s\n", waits[i].text);
		struct program program = { 0 };

		CHECK_NUMBER(load(text, &program, NULL), 0);
		CHECK_NUMBER(program.wait_ms, waits[i].expected);
		conf_release(items, &program);
	}
}

static void test_refusals(void)
{
	static const struct {
		const char *text, *code;
	} bad[] = { { "", "conf.missing" }, { "name = x\n", "conf.missing" },
		{ "listen = x\nlistne = y\n", "conf.unknown_key" },
		{ "listen = x\nLISTEN = y\n", "conf.unknown_key" },
		{ "listen = x\nlisten = x\n", "conf.syntax" }, { "listen x\n", "conf.syntax" },
		{ "listen = x\nlane.threads = -1\n", "conf.value" },
		{ "listen = x\nlane.threads = 1k\n", "conf.value" },
		{ "listen = x\nlane.threads =\n", "conf.value" },
		{ "listen = x\nlane.threads = 99999999999999999999\n", "conf.value" },
		{ "listen = x\ncache-bytes = 9223372036854775807g\n", "conf.value" },
		{ "listen = x\ncache-bytes = 1t\n", "conf.value" },
		{ "listen = x\nwait_ms = 1 s\n", "conf.value" },
		{ "listen = x\nstrict = yes\n", "conf.value" } };
	struct program program = { 0 };
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(load(bad[i].text, &program, &err), &err, bad[i].code);
	CHECK(program.listen == NULL && program.wait_ms == 0);
	CHECK_FAILS(conf_load(items, &program, "/nonexistent/conf", &err), &err, "internal.system");
}

static void test_nul_in_file(void)
{
	struct program program = { 0 };
	struct err err;

	CHECK_NUMBER(buf_write_file(path, "listen = x\0y\n", 13, 0600, &err), 0);
	CHECK_FAILS(conf_load(items, &program, path, &err), &err, "conf.syntax");
}

/* What is printed can be given back as a file and means the same. */
static void test_print(void)
{
	struct program first = { 0 }, second = { 0 };
	auto_free char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	CHECK_NUMBER(load("listen = unix:/x\nwait_ms = 2m\ncache-bytes = 3m\n", &first, NULL), 0);
	conf_print(items, &first, out);
	fclose(out);
	CHECK(strstr(text, "wait_ms = 120000ms\n") != NULL);
	CHECK_NUMBER(load(text, &second, NULL), 0);
	CHECK_TEXT(second.listen, first.listen);
	CHECK_NUMBER(second.wait_ms, first.wait_ms);
	CHECK_NUMBER(second.cache_bytes, 3 << 20);
	conf_release(items, &first);
	conf_release(items, &second);
}

static void test_rows_without_a_configuration(void)
{
	auto_free char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	conf_print(items, NULL, out);
	fclose(out);
	CHECK(strstr(text, "# where to listen (must be given)\nlisten = \n") != NULL);
	CHECK(strstr(text, "# its name\nname = \n") != NULL);
	CHECK(strstr(text, "# cache\ncache-bytes = 64k\n") != NULL);
}

int main(void)
{
	auto_fd int fd = mkstemp(path);

	CHECK(fd >= 0);
	test_defaults_and_file();
	test_environment_wins();
	test_units();
	test_refusals();
	test_nul_in_file();
	test_print();
	test_rows_without_a_configuration();
	unlink(path);
	CHECK_DONE();
}
