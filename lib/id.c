/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UUIDv7 ids, random bytes, clocks. The 12 bits behind the milliseconds carry their fraction (RFC
 * 9562 section 6.2, method 3), so ids of one process sort well below a millisecond too.
 */
#include "lib/id.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "lib/codec.h"

#define UUID_SIZE 16u
#define UUID_HEX_LEN 32u

void rand_bytes(void *ret_data, size_t len)
{
	unsigned char *out = ret_data;

	while (len > 0) {
		ssize_t got = getrandom(out, len, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			abort();
		out += got;
		len -= (size_t)got;
	}
}

/* Names need no system call each. */
void id_random(void *ret_data, size_t len)
{
	static _Thread_local unsigned char pool[1024];
	static _Thread_local size_t left;

	assert(len <= sizeof(pool));
	if (left < len) {
		rand_bytes(pool, sizeof(pool));
		left = sizeof(pool);
	}
	left -= len;
	memcpy(ret_data, pool + left, len);
}

static void uuid_v7(unsigned char ret_uuid[UUID_SIZE])
{
	struct timespec now;
	uint64_t ms, fraction;

	clock_gettime(CLOCK_REALTIME, &now);
	ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	fraction = (uint64_t)(now.tv_nsec % 1000000) * 4096 / 1000000;
	id_random(ret_uuid, UUID_SIZE);
	for (int i = 0; i < 6; i++)
		ret_uuid[i] = (unsigned char)(ms >> (40 - 8 * i));
	ret_uuid[6] = (unsigned char)(0x70 | fraction >> 8);
	ret_uuid[7] = (unsigned char)fraction;
	ret_uuid[8] = (unsigned char)(0x80 | (ret_uuid[8] & 0x3f));
}

void id_new(const char *prefix, char ret_id[ID_SIZE])
{
	unsigned char uuid[UUID_SIZE];
	char hex[UUID_HEX_LEN + 1];

	uuid_v7(uuid);
	codec_hex(uuid, sizeof(uuid), hex);
	snprintf(ret_id, ID_SIZE, "%.6s_%s", prefix, hex);
}

bool id_is(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	if (!text || strncmp(text, prefix, len) != 0 || text[len] != '_')
		return false;
	text += len + 1;
	return strlen(text) == UUID_HEX_LEN && strspn(text, "0123456789abcdef") == UUID_HEX_LEN;
}

bool id_is_any(const char *text)
{
	char prefix[ID_SIZE - UUID_HEX_LEN - 1]; /* without its '_' */
	size_t len = text ? strspn(text, "abcdefghijklmnopqrstuvwxyz") : 0;

	if (len == 0 || len >= sizeof(prefix))
		return false;
	memcpy(prefix, text, len);
	prefix[len] = '\0';
	return id_is(text, prefix);
}

static long long clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

long long clock_unix_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

long long clock_monotonic_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

void clock_rfc3339(long long unix_ms, char ret_text[CLOCK_TEXT_SIZE])
{
	time_t seconds = (time_t)(unix_ms / 1000 - (unix_ms % 1000 < 0));
	struct tm utc;

	*ret_text = '\0';
	if (gmtime_r(&seconds, &utc))
		strftime(ret_text, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

bool clock_read_rfc3339(const char *text, long long *ret_unix_s)
{
	char again[CLOCK_TEXT_SIZE];
	struct tm utc = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);

	if (!end || *end || utc.tm_year <= -1900) /* Postgres has no year 0 */
		return false;
	*ret_unix_s = timegm(&utc);
	clock_rfc3339(*ret_unix_s * 1000, again);
	return strcmp(again, text) == 0;
}
