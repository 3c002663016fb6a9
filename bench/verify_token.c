/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_token CERTREG BASE_URL AUDIENCE COUNT: how long auth_check() takes for a token that the
 * service knows already. The token comes by stdin, keys and revocations from the running certreg.
 * Prints the 50th and 99th percentile and the CPU of one check, in microseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/auth.h"
#include "lib/fetch.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "lib/web_inner.h"

static double now_us(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int check(struct auth *auth, const char *authorization, struct err *err)
{
	const struct principal *principal = NULL;
	struct web_call call = { .arena = arena_new() };
	int result;

	call.req = (struct web_req) { .method = "GET", .path = "/", .arena = call.arena };
	call.req.head = &call;
	call.head.headers[0] = (struct web_pair) { "Authorization", authorization };
	call.head.n_headers = 1;
	result = auth_check(auth, &call.req, WEB_MEMBER, "read", &principal, err);
	arena_free(call.arena);
	return result;
}

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static int measure(struct auth *auth, const char *authorization, size_t count, struct err *err)
{
	auto_free double *times = mem_array(count, sizeof(*times));
	double cpu;

	if (check(auth, authorization, err) < 0) /* the signature, once */
		return -1;
	cpu = now_us(CLOCK_PROCESS_CPUTIME_ID);
	for (size_t i = 0; i < count; i++) {
		double before = now_us(CLOCK_MONOTONIC);

		if (check(auth, authorization, err) < 0)
			return -1;
		times[i] = now_us(CLOCK_MONOTONIC) - before;
	}
	cpu = (now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)count;
	qsort(times, count, sizeof(*times), by_value);
	printf("%.2f %.2f %.2f\n", times[count / 2], times[count * 99 / 100], cpu);
	return 0;
}

int main(int argc, char **argv)
{
	struct service_conf conf = { 0 };
	char token[16384] = "", line[16500];
	struct err err = { 0 };
	struct fetch *fetch;
	struct auth *auth;
	int result;

	if (argc != 5 || !fgets(token, sizeof(token), stdin)) {
		fputs("usage: verify_token CERTREG BASE_URL AUDIENCE COUNT <TOKEN\n", stderr);
		return 2;
	}
	token[strcspn(token, "\n")] = '\0';
	snprintf(line, sizeof(line), "Bearer %s", token);
	conf.certreg_url = argv[1];
	conf.base_url = argv[2];
	fetch = fetch_new(&(const struct fetch_conf) { 0 });
	auth = auth_new(argv[3], &conf, &err);
	result = auth && auth_refresh(auth, fetch, &err) == 0
			 ? measure(auth, line, strtoul(argv[4], NULL, 10), &err)
			 : -1;
	if (result < 0)
		fprintf(stderr, "%s: %s\n", err.code, err.detail);
	auth_free(auth);
	fetch_free(fetch);
	return result < 0;
}
