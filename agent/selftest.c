/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the cases of a test initramfs in the cage and prints what became of each. */
#include "agent/selftest.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "agent/init.h"
#include "agent/jail.h"
#include "agent/outpack.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

#define FOLDER "/etc/strongroom/selftest"
#define MAX_ARGS 16

static const char *const env[] = { "PATH=/bin", "LANG=C", NULL };

static long long limit(const json_t *test, const char *name, long long fallback)
{
	const json_t *value = json_object_get(json_object_get(test, "limits"), name);

	return value ? json_integer_value(value) : fallback;
}

static void read_limits(const json_t *test, struct jail_limits *ret_limits)
{
	*ret_limits = (struct jail_limits) {
		.memory_bytes = limit(test, "memory_bytes", 64 << 20),
		.pids = limit(test, "pids", 16),
		.wall_ms = limit(test, "wall_ms", 10000),
		.cpu_seconds = limit(test, "cpu_seconds", 10),
		.output_bytes = limit(test, "output_bytes", 1 << 20),
		.output_files = limit(test, "output_files", 32),
		.stdout_bytes = limit(test, "stdout_bytes", 16 << 10),
	};
}

static int count_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	long long *count = arg;

	(void)data;
	(void)err;
	*count += (long long)len;
	return 0;
}

static json_t *texts(const char *const *list)
{
	json_t *array = json_array();

	for (; *list; list++)
		json_array_append_new(array, json_string(*list));
	return array;
}

static json_t *pack(const struct jail_conf *conf, const struct jail_result *result, struct err *err)
{
	struct outpack_conf packing = { .output_dir = conf->output_dir,
		.returncode = result->returncode,
		.signal = result->signal,
		.limits_hit = result->limits_hit,
		.stdout_data = result->stdout_text.data,
		.stdout_len = result->stdout_text.len,
		.stderr_data = result->stderr_text.data,
		.stderr_len = result->stderr_text.len,
		.max_bytes = conf->limits.output_bytes,
		.max_files = conf->limits.output_files };
	struct outpack_result packed;
	long long tar_bytes = 0;

	if (outpack_write(&packing, count_bytes, &tar_bytes, &packed, err) < 0)
		return NULL;
	return json_pack("{s:I,s:I,s:I,s:I}", "files", (json_int_t)packed.files, "bytes",
		(json_int_t)packed.bytes, "skipped", (json_int_t)packed.skipped, "tar",
		(json_int_t)tar_bytes);
}

static const char *text_of(const struct buf *buf)
{
	return buf->data ? (const char *)buf->data : "";
}

static json_t *run_case(const struct jail_conf *conf)
{
	long long started = clock_monotonic_ms();
	struct jail_result result;
	struct err err = { 0 };
	json_t *report, *packed;

	if (jail_run(conf, &result, &err) < 0)
		return json_pack("{s:s,s:s}", "failed", err.code, "detail", err.detail);
	packed = pack(conf, &result, &err);
	jail_output_release(conf->output_dir);
	report = json_pack("{s:i,s:i,s:o,s:I,s:I,s:s%,s:s%,s:o}", "returncode", result.returncode,
		"signal", result.signal, "limits_hit", texts(result.limits_hit), "cpu_ms",
		(json_int_t)result.cpu_ms, "wall_ms", (json_int_t)(clock_monotonic_ms() - started),
		"stdout", text_of(&result.stdout_text), result.stdout_text.len, "stderr",
		text_of(&result.stderr_text), result.stderr_text.len, "packed",
		packed ? packed : json_string(err.code));
	jail_result_release(&result);
	return report;
}

static void run_one(const json_t *test, struct jail_conf *conf)
{
	const json_t *args = json_object_get(test, "argv");
	const char *argv[MAX_ARGS + 1] = { 0 };
	auto_json json_t *line = json_object();
	auto_free char *text = NULL;

	for (size_t i = 0; i < json_array_size(args) && i < MAX_ARGS; i++)
		argv[i] = json_string_value(json_array_get(args, i));
	conf->argv = argv;
	read_limits(test, &conf->limits);
	json_object_set_new(line, "name", json_string(json_text(test, "name")));
	json_object_set_new(line, "result", run_case(conf));
	text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
	fprintf(stderr, "selftest %s\n", text ? text : "null");
	init_reap();
}

void selftest_run(const char *work_dir, const char *cgroup)
{
	auto_free char *output = mem_printf("%s/output", work_dir);
	auto_free char *input = mem_printf("%s/input", work_dir);
	auto_buf text = BUF_INIT(256 << 10);
	auto_json json_t *cases = NULL;
	struct jail_conf conf = { .rootfs_dir = FOLDER "/rootfs",
		.input_dir = input,
		.output_dir = output,
		.cgroup = cgroup,
		.env = env };
	struct err err = { 0 };

	if (mkdir(output, 0755) < 0 || mkdir(input, 0755) < 0 ||
		buf_read_file(&text, FOLDER "/cases.json", &err) < 0 ||
		!(cases = json_parse((const char *)text.data, text.len, &err))) {
		log_failure("no self test", &err);
		return;
	}
	for (size_t i = 0; i < json_array_size(cases); i++)
		run_one(json_array_get(cases, i), &conf);
	log_info("self test done", NULL);
}
