/* SPDX-License-Identifier: Apache-2.0 */
/*
 * APPCONFIG_ID to the byte, and the rules for config files. The answers here were computed by
 * another program from the same rule; three that others published are read from STRONGROOM_VECTORS,
 * when that is set.
 */
#include <stdlib.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/app_config.h"
#include "tests/unit/check.h"

#define RW "/opt/fortanix/enclave-os/app-config/rw/"
#define PLACED(workflow)                                                                           \
	"{\"app_config\":{},\"labels\":{},\"zone_ca\":[],\"workflow\":{" workflow "}}"
#define EMPTY "{\"app_config\":{},\"labels\":{},\"zone_ca\":[]}"

static struct err err;
static char id[APP_CONFIG_ID_SIZE];

static json_t *parse(const char *text)
{
	json_t *value = json_parse(text, strlen(text), &err);

	CHECK(value);
	return value;
}

static int id_of(const char *text)
{
	auto_json json_t *runtime = parse(text);

	return app_config_id(runtime, id, &err);
}

static void test_known_answers(void)
{
	CHECK(id_of(EMPTY) == 0);
	CHECK_TEXT(id, "c3fa49d025535abf69840f13cecc79e995dd51d715ec5659a05c8ede0cab7bc2");
	/* Members out of order, names that sort otherwise in UTF-16, every kind of escape. */
	CHECK(id_of("{\"zone_ca\":[\"b\",\"a\\u007f\",\"B\"],\"labels\":{"
		    "\"\\ud83d\\ude00\":\"smile\",\"\\ue000\":\"private\","
		    "\"a\\\"\\\\\":\"q\\u001f\\n\\b\\u00e9\\/\"},\"app_config\":{"
		    "\"" RW "b\":{\"contents\":\"\"},\"" RW "B\":{\"contents\":\"QQ==\"}},"
		    "\"workflow\":{\"app_group_id\":\"g\",\"port_map\":{"
		    "\"output\":{\"o\":{\"application\":{}}},"
		    "\"input\":{\"z\":{\"dataset\":{\"group_id\":\"g\",\"id\":\"d\",\"acct_id\":"
		    "\"a\"}},"
		    "\"y\":{\"application\":{\"group_id\":\"g\",\"acct_id\":\"a\"}},\"x\":{}}},"
		    "\"app_name\":\"n\",\"workflow_id\":\"w\"}}") == 0);
	CHECK_TEXT(id, "58f583144dcc00614437a5853c399121c46c8ed2bf1e2f7d807b3081aead6b8b");
}

static void test_published(const char *folder, const char *name)
{
	auto_free char *path = mem_printf("%s/appconfig-id/%s.json", folder, name);
	auto_buf text = BUF_INIT(1 << 20);
	auto_json json_t *vector = NULL;

	CHECK(buf_read_file(&text, path, &err) == 0);
	vector = json_parse((const char *)text.data, text.len, &err);
	CHECK(app_config_id(
		      json_object_get(json_object_get(vector, "runtime_app_config"), "config"), id,
		      &err) == 0);
	CHECK_TEXT(id, json_text(vector, "expected_appconfig_id"));
}

/* Each member counts, and nothing else is let in. */
static void test_members(void)
{
	static const char *const others[] = {
		"{\"app_config\":{\"a\":{\"contents\":\"\"}},\"labels\":{},\"zone_ca\":[]}",
		"{\"app_config\":{},\"labels\":{\"a\":\"\"},\"zone_ca\":[]}",
		"{\"app_config\":{},\"labels\":{},\"zone_ca\":[\"a\"]}",
		PLACED("\"workflow_id\":\"w\",\"app_name\":\"n\",\"port_map\":{}"),
	};
	static const char *const refused[] = {
		"[]",
		"{\"app_config\":{},\"labels\":{}}",
		"{\"app_config\":{},\"labels\":{},\"zone_ca\":[],\"extra\":{}}",
		"{\"app_config\":{},\"labels\":{},\"zone_ca\":[],\"workflow\":null}",
		"{\"app_config\":{\"a\":{}},\"labels\":{},\"zone_ca\":[]}",
		("{\"app_config\":{\"a\":{\"contents\":\"\",\"mode\":7}},\"labels\":{},\"zone_ca\":"
		 "["
		 "]}"),
		"{\"app_config\":{},\"labels\":{\"a\":1},\"zone_ca\":[]}",
		"{\"app_config\":{},\"labels\":{\"\":\"\"},\"zone_ca\":[]}",
		"{\"app_config\":{},\"labels\":{},\"zone_ca\":[\"a\",\"a\"]}",
		PLACED("\"workflow_id\":\"w\",\"app_name\":\"n\",\"port_map\":{},\"more\":\"x\""),
		PLACED("\"workflow_id\":\"w\",\"app_name\":\"n\",\"port_map\":{\"input\":"
		       "{\"a\":{\"dataset\":{\"acct_id\":\"a\"}}}}"),
	};
	char empty[APP_CONFIG_ID_SIZE];

	CHECK(id_of(EMPTY) == 0);
	memcpy(empty, id, sizeof(empty));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		CHECK(id_of(others[i]) == 0 && strcmp(id, empty) != 0);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		CHECK_FAILS(id_of(refused[i]), &err, "app_config.invalid");
}

/* --- config files --- */

static int check_file(const char *path)
{
	auto_json json_t *files = json_pack("{s:{s:s}}", path, "contents", "QQ==");

	return app_config_check_files(files, &err);
}

static int check_size(size_t files, size_t bytes)
{
	auto_json json_t *all = json_object();
	auto_free unsigned char *zeros = mem_alloc(bytes + 1);
	auto_free char *text = codec_b64_text(zeros, bytes);

	for (size_t i = 0; i < files; i++) {
		auto_free char *path = mem_printf(RW "%zu", i);

		json_object_set_new(all, path, json_pack("{s:s}", "contents", text));
	}
	return app_config_check_files(all, &err);
}

static void test_paths(void)
{
	static const char *const good[] = { RW "a", RW "a/b/c.txt", RW ".hidden", RW "..a",
		RW "inputs", RW "app-config.json.bak" };
	static const char *const bad[] = { "TestKey", "a/b", "/etc/passwd", RW, RW "../a",
		RW "a/../b", RW "a/..", RW "./a", RW "a//b", RW "a/", RW "input", RW "input/x/y",
		RW "output/x", RW "app-config.json", "/opt/fortanix/enclave-os/app-config/rw",
		"/opt/fortanix/enclave-os/app-config/rwx/a",
		"/opt/fortanix/enclave-os/app-config/app-config.json" };
	auto_json json_t *twice = json_pack("{s:{s:s},s:{s:s},s:{s:s}}", RW "a/b", "contents", "",
		RW "a-", "contents", "", RW "a", "contents", "");

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK(check_file(good[i]) == 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(check_file(bad[i]), &err, "app_config.path");
	CHECK_FAILS(app_config_check_files(twice, &err), &err, "app_config.path");
	CHECK_TEXT(app_config_below_rw(RW "a/b"), "a/b");
	CHECK(!app_config_below_rw(RW) && !app_config_below_rw("/a"));
}

static void test_limits(void)
{
	auto_json json_t *spaced = json_pack("{s:{s:s}}", RW "a", "contents", "Q Q=");

	CHECK(check_size(1, 0) == 0 && check_size(1, APP_CONFIG_MAX_FILE) == 0);
	CHECK_FAILS(check_size(1, APP_CONFIG_MAX_FILE + 1), &err, "app_config.too_large");
	CHECK(check_size(2, APP_CONFIG_MAX_FILE) == 0);
	CHECK_FAILS(check_size(3, APP_CONFIG_MAX_FILE), &err, "app_config.too_large");
	CHECK(check_size(APP_CONFIG_MAX_FILES, 1) == 0);
	CHECK_FAILS(check_size(APP_CONFIG_MAX_FILES + 1, 1), &err, "app_config.invalid");
	CHECK_FAILS(app_config_check_files(spaced, &err), &err, "app_config.invalid");
	CHECK_FAILS(app_config_check_files(NULL, &err), &err, "app_config.invalid");
}

int main(void)
{
	const char *folder = getenv("STRONGROOM_VECTORS");

	test_known_answers();
	test_members();
	test_paths();
	test_limits();
	if (folder) {
		test_published(folder, "datasets");
		test_published(folder, "files-and-labels");
		test_published(folder, "one-file-no-labels");
	} else {
		puts("skipped: STRONGROOM_VECTORS is not set, published answers are not read");
	}
	CHECK_DONE();
}
