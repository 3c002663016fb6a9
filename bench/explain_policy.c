/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain_policy POLICY COUNT: a policy's text of about 100 kB, hashed from its bytes on, read
 * whole, and held against facts with its terms. Prints the CPU of each in milliseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust_constraints.h"

struct times {
	double hash, read, explain;
};

static double cpu_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static int measure(const struct buf *text, struct times *times, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *none = json_array(), *explanation = NULL, *doc = NULL;
	const struct trust_facts facts = { .now = 1,
		.class = "none",
		.template_id = "small",
		.template_version = 1,
		.measurement = "",
		.inputs = none,
		.approvals = none,
		.constraints = none };
	struct trust_policy policy;
	char hash[DIGEST_TEXT_SIZE];
	double start = cpu_ms();

	doc = json_parse((const char *)text->data, text->len, err);
	if (!doc)
		return -1;
	times->read += cpu_ms() - start;
	start = cpu_ms();
	if (jcs_digest(doc, hash, err) < 0)
		return -1;
	times->hash += cpu_ms() - start;
	if (trust_policy_read(arena, doc, &policy, err) < 0)
		return -1;
	times->read += cpu_ms() - start;
	start = cpu_ms();
	explanation = trust_policy_explain(&policy, &facts);
	times->explain += cpu_ms() - start;
	return 0;
}

int main(int argc, char **argv)
{
	long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	auto_buf text = BUF_INIT(1 << 20);
	struct times times = { 0 };
	struct err err = { 0 };

	if (count < 1) {
		fputs("usage: explain_policy POLICY COUNT\n", stderr);
		return 2;
	}
	if (buf_read_file(&text, argv[1], &err) < 0) {
		fprintf(stderr, "%s: %s\n", err.code, err.detail);
		return 1;
	}
	for (long i = 0; i < count; i++) {
		if (measure(&text, &times, &err) < 0) {
			fprintf(stderr, "%s: %s\n", err.code, err.detail);
			return 1;
		}
	}
	printf("%.3f %.3f %.3f\n", times.hash / (double)count, times.read / (double)count,
		times.explain / (double)count);
	return 0;
}
