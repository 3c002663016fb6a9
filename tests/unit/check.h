/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tests' harness: CHECK prints what differs and goes on; main() ends with CHECK_DONE(). */
#ifndef STRONGROOM_CHECK_H
#define STRONGROOM_CHECK_H

#include <stdio.h>
#include <string.h>

static int check_failures;
static int check_count;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		check_count++;                                                                     \
		if (!(condition)) {                                                                \
			check_failures++;                                                          \
			printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);           \
		}                                                                                  \
	} while (0)

#define CHECK_TEXT(actual, expected)                                                               \
	do {                                                                                       \
		const char *check_a = (actual), *check_e = (expected);                             \
		check_count++;                                                                     \
		if (!check_a || strcmp(check_a, check_e) != 0) {                                   \
			check_failures++;                                                          \
			printf("%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #actual,   \
				check_a ? check_a : "(null)", check_e);                            \
		}                                                                                  \
	} while (0)

#define CHECK_NUMBER(actual, expected)                                                             \
	do {                                                                                       \
		long long check_a = (long long)(actual), check_e = (long long)(expected);          \
		check_count++;                                                                     \
		if (check_a != check_e) {                                                          \
			check_failures++;                                                          \
			printf("%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #actual,       \
				check_a, check_e);                                                 \
		}                                                                                  \
	} while (0)

/* A call that must fail with that code. */
#define CHECK_FAILS(call, err_ptr, expected_code)                                                  \
	do {                                                                                       \
		err_clear(err_ptr);                                                                \
		CHECK((call) == -1);                                                               \
		CHECK_TEXT((err_ptr)->code, expected_code);                                        \
	} while (0)

#define CHECK_DONE()                                                                               \
	do {                                                                                       \
		printf("%d checks, %d failed\n", check_count, check_failures);                     \
		return check_failures || check_count == 0;                                         \
	} while (0)

#endif
