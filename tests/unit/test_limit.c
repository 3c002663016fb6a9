/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets, with a clock of our own. */
#include "lib/limit.h"

#include <stdio.h>
#include <time.h>

#include "tests/unit/check.h"

static long long now_ms = 1000000;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	(void)clock;
	*ret_time = (struct timespec) { now_ms / 1000, now_ms % 1000 * 1000000 };
	return 0;
}

static unsigned taken(struct limit *limit, const char *name, unsigned tries)
{
	unsigned count = 0;

	for (unsigned i = 0; i < tries; i++)
		count += limit_take(limit, name, NULL) == 0;
	return count;
}

static void test_bucket(void)
{
	struct limit *limit = limit_new(10);
	struct err err = { 0 };

	CHECK_NUMBER(taken(limit, "a", 100), 10 * LIMIT_BURST_S);
	CHECK_FAILS(limit_take(limit, "a", &err), &err, "limit.exceeded");
	CHECK_NUMBER(err.kind, ERR_LIMITED);
	CHECK_NUMBER(err.retry_s, 1);
	CHECK_NUMBER(taken(limit, "b", 100), 10 * LIMIT_BURST_S); /* its own */
	now_ms += 1000;
	CHECK_NUMBER(taken(limit, "a", 100), 10);
	now_ms += 1000000;
	CHECK_NUMBER(taken(limit, "a", 100), 10 * LIMIT_BURST_S); /* not more than full */
	limit_free(limit);
}

static void test_none(void)
{
	CHECK(limit_new(0) == NULL);
	CHECK_NUMBER(taken(NULL, "a", 100), 100);
	limit_free(NULL);
}

/* A crowd passes by; who had used up his bucket does not get a fresh one by that. */
static void test_crowd(void)
{
	struct limit *limit = limit_new(10);
	char name[32];

	CHECK_NUMBER(taken(limit, "busy", 100), 10 * LIMIT_BURST_S);
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "passer-by %d", i);
		CHECK_NUMBER(limit_take(limit, name, NULL), 0);
	}
	CHECK_NUMBER(taken(limit, "busy", 10), 0);
	limit_free(limit);
}

int main(void)
{
	test_bucket();
	test_none();
	test_crowd();
	CHECK_DONE();
}
