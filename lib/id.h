/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids: a prefix that says what it is, '_', and a UUIDv7 (RFC 9562 section 5.7) as 32 hex digits:
 * run_0190f1c2…. They sort by time of making. Also random bytes and the three clocks.
 */
#ifndef STRONGROOM_ID_H
#define STRONGROOM_ID_H

#include <stdbool.h>
#include <stddef.h>

#define ID_SIZE 40u /* up to 6 characters of prefix, '_', 32, NUL */

void id_new(const char *prefix, char ret_id[ID_SIZE]);
/* Whether `text` is an id with that prefix; checks every character. */
bool id_is(const char *text, const char *prefix);
/* Whether it is one with any prefix: what a server calls an id becomes names of files and paths. */
bool id_is_any(const char *text);

void rand_bytes(void *ret_data, size_t len); /* aborts if the system has none */
/* The same out of a pool of the thread's: for ids, never for secrets. At most 1024. */
void id_random(void *ret_data, size_t len);

long long clock_unix_ms(void);	    /* wall clock */
long long clock_monotonic_ms(void); /* never jumps */

#define CLOCK_TEXT_SIZE 32u
void clock_rfc3339(long long unix_ms, char ret_text[CLOCK_TEXT_SIZE]); /* 2026-11-22T02:31:20Z */
/* Back to Unix seconds; false for any other way to write a time, and for times that never are. */
bool clock_read_rfc3339(const char *text, long long *ret_unix_s);

#endif
