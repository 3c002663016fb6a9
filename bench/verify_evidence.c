/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_evidence EVIDENCE REFERENCE VTPM_CA COUNT: CPU of verifying one evidence of a measured
 * sandbox, from its text to the table of checks. Prints milliseconds; fails when it does not hold.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/json.h"
#include "proto/trust.h"

#define NOW 1790000000

static double cpu_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static int verify(const struct buf *text, const struct trust_expect *expect, struct err *err)
{
	auto_json json_t *evidence = json_parse((const char *)text->data, text->len, err);

	return evidence ? trust_evidence_verify(evidence, expect, NULL, NULL, NULL, err) : -1;
}

static int read_reference(const char *path, struct reference *ret_reference, struct err *err)
{
	auto_buf text = BUF_INIT(65536);
	auto_json json_t *json = NULL;

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	json = json_parse((const char *)text.data, text.len, err);
	return json ? reference_decode(json, ret_reference, err) : -1;
}

static int measure(char **argv, struct err *err)
{
	auto_buf text = BUF_INIT(1 << 20), ca = BUF_INIT(65536);
	long count = strtol(argv[4], NULL, 10);
	struct reference reference;
	struct trust_expect expect = {
		.min_class = "software-tpm", .reference = &reference, .now = NOW, .is_offline = true
	};
	double before;

	if (buf_read_file(&text, argv[1], err) < 0 ||
		read_reference(argv[2], &reference, err) < 0 ||
		buf_read_file(&ca, argv[3], err) < 0)
		return -1;
	expect.vtpm_ca = (const char *)ca.data;
	before = cpu_ms();
	for (long i = 0; i < count; i++) {
		if (verify(&text, &expect, err) < 0)
			return -1;
	}
	printf("%.3f\n", (cpu_ms() - before) / (double)count);
	return 0;
}

int main(int argc, char **argv)
{
	struct err err = { .kind = ERR_NONE };

	if (argc != 5 || measure(argv, &err) < 0) {
		fprintf(stderr, "verify_evidence: %s: %s\n", err.code, err.detail);
		return 1;
	}
	return 0;
}
