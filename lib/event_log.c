/* SPDX-License-Identifier: Apache-2.0 */
/* A cursor over the bytes, little endian; each read says whether it was there. */
#include "lib/event_log.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

#define ALG_SHA256 0x000bu
#define MAX_BANKS 8u
#define SHA1_SIZE 20u
#define SIGNATURE "Spec ID Event03"
#define LOCALITY "StartupLocality"

struct cursor {
	const unsigned char *at;
	size_t left;
};

struct banks { /* digests of one event, in the order of the list */
	uint16_t alg[MAX_BANKS], size[MAX_BANKS];
	uint32_t count;
};

static int bad(const char *what, struct err *err)
{
	return err_set(err, ERR_UNPROCESSABLE, "event_log.syntax", "the event log %s", what);
}

static const unsigned char *take(struct cursor *cursor, size_t len)
{
	const unsigned char *start = cursor->at;

	if (len > cursor->left)
		return NULL;
	cursor->at += len;
	cursor->left -= len;
	return start;
}

static bool take_u16(struct cursor *cursor, uint16_t *ret_number)
{
	const unsigned char *bytes = take(cursor, 2);

	if (bytes)
		*ret_number = (uint16_t)(bytes[0] | bytes[1] << 8);
	return bytes;
}

static bool take_u32(struct cursor *cursor, uint32_t *ret_number)
{
	uint16_t low = 0, high = 0;

	if (!take_u16(cursor, &low) || !take_u16(cursor, &high))
		return false;
	*ret_number = (uint32_t)high << 16 | low;
	return true;
}

static bool take_data(struct cursor *cursor, const unsigned char **ret_data, size_t *ret_len)
{
	uint32_t len = 0;

	if (!take_u32(cursor, &len) || !(*ret_data = take(cursor, len)))
		return false;
	*ret_len = len;
	return true;
}

/* The first event, in the form of TPM 1.2, says which banks follow. */
static int read_head(struct cursor *cursor, struct banks *banks, struct err *err)
{
	uint32_t pcr = 1, type = 0;
	struct cursor spec = { .left = 0 };

	if (!take_u32(cursor, &pcr) || !take_u32(cursor, &type) || !take(cursor, SHA1_SIZE) ||
		!take_data(cursor, &spec.at, &spec.left) || pcr != 0 || type != EVENT_NO_ACTION ||
		spec.left < sizeof(SIGNATURE) || memcmp(spec.at, SIGNATURE, sizeof(SIGNATURE)) != 0)
		return bad("is not in the crypto-agile form", err);
	if (!take(&spec, 24) || !take_u32(&spec, &banks->count) || banks->count == 0 ||
		banks->count > MAX_BANKS)
		return bad("names no bank", err);
	for (uint32_t i = 0; i < banks->count; i++)
		if (!take_u16(&spec, &banks->alg[i]) || !take_u16(&spec, &banks->size[i]))
			return bad("names no bank", err);
	return 0;
}

static int read_digests(
	struct cursor *cursor, const struct banks *banks, struct event *event, struct err *err)
{
	const unsigned char *digest;
	bool found = false;
	uint32_t count = 0;
	uint16_t alg = 0;

	if (!take_u32(cursor, &count) || count != banks->count)
		return bad("has an event without a digest for each bank", err);
	for (uint32_t i = 0; i < count; i++) {
		if (!take_u16(cursor, &alg) || alg != banks->alg[i] ||
			!(digest = take(cursor, banks->size[i])))
			return bad("has an event without a digest for each bank", err);
		if (alg != ALG_SHA256 || banks->size[i] != DIGEST_SIZE || found)
			continue;
		memcpy(event->digest, digest, DIGEST_SIZE);
		found = true;
	}
	return found ? 0 : bad("has no SHA-256 bank", err);
}

static int read_event(
	struct cursor *cursor, const struct banks *banks, struct event *event, struct err *err)
{
	if (!take_u32(cursor, &event->pcr) || !take_u32(cursor, &event->type))
		return bad("ends within an event", err);
	if (event->pcr >= TPM_PCRS)
		return bad("names a PCR that does not exist", err);
	if (read_digests(cursor, banks, event, err) < 0)
		return -1;
	if (!take_data(cursor, &event->data, &event->len))
		return bad("ends within an event", err);
	return 0;
}

static void note_locality(struct event_log *log, const struct event *event)
{
	if (event->pcr == 0 && event->type == EVENT_NO_ACTION &&
		event->len == sizeof(LOCALITY) + 1 &&
		memcmp(event->data, LOCALITY, sizeof(LOCALITY)) == 0)
		log->locality = event->data[sizeof(LOCALITY)];
}

int event_log_parse(const void *data, size_t len, struct event_log *ret_log, struct err *err)
{
	struct cursor cursor = { .at = data, .left = len };
	struct banks banks = { .count = 0 };
	auto_event_log log = { .count = 0 };
	struct event *event;

	if (len > EVENT_LOG_MAX_BYTES)
		return bad("is too large", err);
	if (read_head(&cursor, &banks, err) < 0)
		return -1;
	while (cursor.left > 0) {
		if (log.count == EVENT_LOG_MAX_EVENTS)
			return bad("has too many events", err);
		log.events = mem_grow(log.events, log.count + 1, sizeof(*log.events));
		event = &log.events[log.count];
		if (read_event(&cursor, &banks, event, err) < 0)
			return -1;
		note_locality(&log, event);
		log.count++;
	}
	*ret_log = log;
	log.events = NULL;
	return 0;
}

void event_log_release(struct event_log *log)
{
	free(log->events);
	log->events = NULL;
	log->count = 0;
}

void event_log_replay(const struct event_log *log, unsigned char ret_pcrs[TPM_PCRS][DIGEST_SIZE])
{
	memset(ret_pcrs, 0, TPM_PCRS * DIGEST_SIZE);
	memset(ret_pcrs[17], 0xff, 6 * DIGEST_SIZE); /* those of a dynamic launch */
	ret_pcrs[0][DIGEST_SIZE - 1] = log->locality;
	for (size_t i = 0; i < log->count; i++)
		if (log->events[i].type != EVENT_NO_ACTION)
			tpm_extend(ret_pcrs[log->events[i].pcr], log->events[i].digest);
}

const struct event *event_log_find(
	const struct event_log *log, uint32_t pcr, uint32_t type, unsigned n)
{
	for (size_t i = 0; i < log->count; i++)
		if (log->events[i].pcr == pcr && log->events[i].type == type && n-- == 0)
			return &log->events[i];
	return NULL;
}
