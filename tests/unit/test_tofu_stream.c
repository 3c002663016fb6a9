/* SPDX-License-Identifier: Apache-2.0 */
/* What tofu says line by line, plans against what a template allows, and codes for failures. */
#include <jansson.h>
#include <stdlib.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "services/provisioner/tofu_plan.h"
#include "services/provisioner/tofu_stream.h"
#include "tests/unit/check.h"

#define VERSION                                                                                    \
	"{\"@level\":\"info\",\"@message\":\"OpenTofu 1.10.0\",\"@module\":\"tofu.ui\","           \
	"\"@timestamp\":\"2026-11-22T02:00:00Z\",\"tofu\":\"1.10.0\",\"type\":\"version\","        \
	"\"ui\":\"1.2\"}\n"

static struct tofu_stream read_in(const char *text, size_t piece)
{
	struct tofu_stream stream;
	size_t len = strlen(text);

	tofu_stream_init(&stream);
	for (size_t at = 0; at < len; at += piece)
		tofu_stream_add(&stream, text + at, len - at < piece ? len - at : piece);
	tofu_stream_end(&stream);
	return stream;
}

static const char whole[] = VERSION
	"{\"@level\":\"info\",\"@message\":\"x: Plan to create\",\"type\":\"planned_change\","
	"\"change\":{\"resource\":{\"addr\":\"x\"},\"action\":\"create\"}}\n"
	"{\"@level\":\"info\",\"@message\":\"y: Creating\",\"type\":\"apply_start\","
	"\"hook\":{\"resource\":{\"addr\":\"module.m.y\"},\"action\":\"create\"}}\n"
	"{\"@level\":\"info\",\"@message\":\"y: Still\",\"type\":\"apply_progress\","
	"\"hook\":{\"resource\":{\"addr\":\"module.m.y\"},\"elapsed_seconds\":10.5}}\n"
	"{\"@level\":\"info\",\"@message\":\"y: done\",\"type\":\"apply_complete\",\"hook\":{}}\n"
	"{\"@level\":\"info\",\"@message\":\"z\",\"type\":\"apply_errored\",\"hook\":{}}\n"
	"{\"@level\":\"warn\",\"@message\":\"w\",\"type\":\"diagnostic\","
	"\"diagnostic\":{\"severity\":\"warning\",\"summary\":\"only a warning\"}}\n"
	"{\"@level\":\"error\",\"@message\":\"e\",\"type\":\"diagnostic\",\"diagnostic\":"
	"{\"severity\":\"error\",\"summary\":\"first\\nsecond\",\"address\":\"a.b\"}}\n"
	"{\"@level\":\"error\",\"@message\":\"e\",\"type\":\"diagnostic\",\"diagnostic\":"
	"{\"severity\":\"error\",\"summary\":\"another\"}}\n"
	"{\"@level\":\"info\",\"@message\":\"?\",\"type\":\"resource_drift\",\"change\":"
	"{\"resource\":{\"addr\":\"a\"},\"action\":\"update\"}}\n"
	"{\"@level\":\"info\",\"@message\":\"?\",\"type\":\"resource_drift\",\"change\":"
	"{\"resource\":{\"addr\":\"a\"},\"action\":\"delete\"}}\n"
	"{\"@level\":\"info\",\"@message\":\"?\",\"type\":\"of_next_year\",\"more\":[1.5]}";

static void test_messages(void)
{
	for (size_t piece = 1; piece <= sizeof(whole); piece += 7) {
		struct tofu_stream said = read_in(whole, piece);

		CHECK(said.is_versioned && !said.is_other);
		CHECK_NUMBER(said.lines, 12);
		CHECK_NUMBER(said.dropped, 0);
		CHECK_NUMBER(said.planned, 1);
		CHECK_NUMBER(said.applied, 1);
		CHECK_NUMBER(said.errored, 1);
		CHECK_NUMBER(said.errors, 2);
		CHECK_NUMBER(said.drifted, 2);
		CHECK_NUMBER(said.gone, 1);
		CHECK_TEXT(said.doing, "module.m.y");
		CHECK_TEXT(said.summary, "first");
		CHECK_TEXT(said.address, "a.b");
	}
}

static void test_versions(void)
{
	static const struct {
		const char *text;
		bool is_versioned, is_other;
	} table[] = {
		{ VERSION, true, false },
		{ "{\"type\":\"version\",\"ui\":\"1.99\"}", true, false },
		{ "{\"type\":\"version\",\"ui\":\"2.0\"}", false, true },
		{ "{\"type\":\"version\",\"ui\":\"10.0\"}", false, true },
		{ "{\"type\":\"version\"}", false, true },
		{ "{\"type\":\"log\"}", false, false },
		{ "", false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct tofu_stream said = read_in(table[i].text, 5);

		CHECK(said.is_versioned == table[i].is_versioned);
		CHECK(said.is_other == table[i].is_other);
	}
}

static void count_text(void *arg, const char *level, const char *text)
{
	int *seen = arg;

	CHECK(strlen(level) <= 8 && strlen(text) < TOFU_TEXT_SIZE);
	for (; *text; text++)
		CHECK(*text >= 0x20 && *text < 0x7f);
	(*seen)++;
}

static void test_garbage(void)
{
	static const char before[] = "panic: \x01\xff\n\n{]\n[]\n7\n{\"type\":7}\n";
	static const char after[] = "\n{\"type\":\"log\",\"@level\":\"information\","
				    "\"@message\":\"\\u001b[31mred\\u0000\"}\n"
				    "{\"type\":\"log\",\"@message\":\"\\u001b[31mred\\nx\"}\n";
	size_t len = TOFU_LINE_BYTES + 100;
	auto_free char *huge = mem_alloc(len);
	struct tofu_stream stream;
	int seen = 0;

	memset(huge, 'x', len);
	tofu_stream_init(&stream);
	stream.on_text = count_text;
	stream.arg = &seen;
	tofu_stream_add(&stream, before, sizeof(before) - 1);
	CHECK_NUMBER(stream.dropped, 5);
	tofu_stream_add(&stream, huge, len);
	CHECK(stream.is_skipping);
	tofu_stream_add(&stream, after, sizeof(after) - 1);
	tofu_stream_add(&stream, VERSION, sizeof(VERSION) - 1);
	tofu_stream_end(&stream);
	CHECK(stream.is_versioned);
	CHECK_NUMBER(stream.dropped, 7); /* the long one, and a NUL in a text */
	CHECK_NUMBER(seen, 2);
}

#define CHANGE(type, actions)                                                                      \
	"{\"address\":\"module.machine." type ".x\",\"type\":\"" type                              \
	"\",\"change\":{\"actions\":[" actions "]}}"
#define PLAN(changes, resources)                                                                   \
	"{\"format_version\":\"1.2\",\"resource_changes\":[" changes "],\"configuration\":"        \
	"{\"root_module\":{\"module_calls\":{\"machine\":{\"module\":{\"resources\":[" resources   \
	"]}}}}}}"

static void test_plans(void)
{
	static const struct {
		const char *plan, *code; /* NULL: fine */
		bool is_end;
	} table[] = {
		{ PLAN("", ""), NULL, false },
		{ PLAN(CHANGE("vm", "\"create\""), "{\"type\":\"vm\"}"), NULL, false },
		{ PLAN(CHANGE("vm", "\"delete\",\"create\"") "," CHANGE("nic", "\"no-op\""), ""),
			NULL, false },
		{ PLAN(CHANGE("vm", "\"delete\""), ""), NULL, true },
		{ PLAN(CHANGE("vm", "\"create\""), ""), "tofu.plan_forbidden", true },
		{ PLAN(CHANGE("vm", "\"update\""), ""), "tofu.plan_forbidden", true },
		{ PLAN(CHANGE("user", "\"create\""), ""), "tofu.plan_forbidden", false },
		{ PLAN(CHANGE("vm", "\"forget\""), ""), "tofu.plan_forbidden", false },
		{ PLAN(CHANGE("vm", "7"), ""), "tofu.plan_forbidden", false },
		{ PLAN(CHANGE("vm", ""), ""), "tofu.plan_forbidden", false },
		{ PLAN("{}", ""), "tofu.plan_forbidden", false },
		{ PLAN("7", ""), "tofu.plan_forbidden", false },
		{ PLAN("", "{\"type\":\"external\",\"mode\":\"data\"}"), "tofu.plan_forbidden",
			false },
		{ PLAN("", "{\"type\":\"vm\",\"provisioners\":[{\"type\":\"local-exec\"}]}"),
			"tofu.plan_forbidden", false },
		{ "{\"format_version\":\"1.2\",\"resource_changes\":[]}", "tofu.bad_plan", false },
		{ "{\"format_version\":\"2.0\",\"configuration\":{\"root_module\":{}}}",
			"tofu.bad_plan", false },
		{ "{\"format_version\":\"1.2\",\"errored\":true,\"configuration\":"
		  "{\"root_module\":{}}}",
			"tofu.bad_plan", false },
		{ "", "tofu.bad_plan", false },
		{ "[", "tofu.bad_plan", false },
	};
	auto_json json_t *types = json_pack("[s,s]", "vm", "nic");
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *plan = table[i].plan;

		err_clear(&err);
		if (table[i].code)
			CHECK_FAILS(
				tofu_plan_check(plan, strlen(plan), types, table[i].is_end, &err),
				&err, table[i].code);
		else
			CHECK(tofu_plan_check(plan, strlen(plan), types, table[i].is_end, &err) ==
				0);
	}
}

static void test_most_changes(void)
{
	auto_json json_t *types = json_pack("[s]", "vm");
	auto_json json_t *plan = json_loads(PLAN("", ""), 0, NULL);
	json_t *changes = json_object_get(plan, "resource_changes");
	struct err err = { .kind = ERR_NONE };

	for (int i = 0; i <= 65; i++) {
		size_t len;
		auto_free char *text = json_encode(plan, &len);

		CHECK((tofu_plan_check(text, len, types, false, &err) == 0) == (i <= 64));
		json_array_append_new(changes, json_loads(CHANGE("vm", "\"create\""), 0, NULL));
	}
}

static void test_codes(void)
{
	static const struct {
		const char *step, *summary, *code;
		bool is_passing;
	} table[] = {
		{ "plan", "Error acquiring the state lock", "tofu.state_locked", true },
		{ "apply", "Saved plan is stale", "tofu.plan_stale", true },
		{ "apply", "Failed to save state", "tofu.state_not_saved", true },
		{ "init", "Failed to install provider", "tofu.providers", false },
		{ "init", "", "tofu.init_failed", false },
		{ "plan", "no credentials", "tofu.plan_failed", false },
		{ "apply", "QuotaExceeded", "tofu.apply_failed", false },
		{ "push", "", "tofu.state_not_saved", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct tofu_stream said = { .errors = 1 };
		const char *code;

		snprintf(said.summary, sizeof(said.summary), "%s", table[i].summary);
		code = tofu_code_of(table[i].step, &said);
		CHECK_TEXT(code, table[i].code);
		CHECK(tofu_is_passing(code) == table[i].is_passing);
	}
}

int main(void)
{
	test_messages();
	test_versions();
	test_garbage();
	test_plans();
	test_most_changes();
	test_codes();
	CHECK_DONE();
}
