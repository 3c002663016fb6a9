/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCRs. The quote holds one digest over all of them; values that give that digest are proven. Those
 * that the log replays to are tried, and those that were predicted: so an edited log beside an
 * honest boot is told apart from another boot. What no digest proves is never called ok.
 */
#include <string.h>

#include "lib/codec.h"
#include "lib/event_log.h"
#include "lib/evidence_inner.h"
#include "lib/mem.h"

struct state {
	unsigned char logged[TPM_PCRS][DIGEST_SIZE]; /* replay of the log, and PCR 14 */
	bool has_log, log_proven, predicted_proven;
	bool pcr14_proven, pcr14_is_claim;
};

/* sha256 over PCR 0 to 9 and 14, as a quote of this selection has it. */
static bool gives(const struct tpm_quote *quote, unsigned char pcrs[REFERENCE_PCRS][DIGEST_SIZE],
	const unsigned char pcr14[DIGEST_SIZE])
{
	unsigned char all[(REFERENCE_PCRS + 1) * DIGEST_SIZE], digest[DIGEST_SIZE];

	memcpy(all, pcrs, REFERENCE_PCRS * DIGEST_SIZE);
	memcpy(all + REFERENCE_PCRS * DIGEST_SIZE, pcr14, DIGEST_SIZE);
	digest_sha256(all, sizeof(all), digest);
	return digest_equal(digest, quote->pcr_digest, sizeof(digest));
}

static void prove(
	const struct tpm_quote *quote, const struct evidence_expect *expect, struct state *state)
{
	unsigned char values[2][DIGEST_SIZE] = { { 0 }, { 0 } }; /* PCR 14 as it was, as claimed */
	struct reference_boot boot;

	if (!quote)
		return;
	tpm_extend(values[1], expect->claim);
	for (unsigned i = 0; i < 2; i++) {
		bool by_log = state->has_log && gives(quote, state->logged, values[i]);
		bool by_prediction = false;

		if (!by_log && expect->boot) {
			boot = *expect->boot;
			by_prediction = gives(quote, boot.pcrs, values[i]);
		}
		state->log_proven |= by_log;
		state->predicted_proven |= by_prediction;
		state->pcr14_proven |= by_log || by_prediction;
		state->pcr14_is_claim |= i == 1 && (by_log || by_prediction);
	}
}

/* --- rows --- */

static void note_digests(json_t *checks, const char *code, const char *name,
	enum evidence_result result, const unsigned char expected[DIGEST_SIZE],
	const unsigned char actual[DIGEST_SIZE])
{
	char expected_text[CODEC_HEX_SIZE(DIGEST_SIZE)], actual_text[CODEC_HEX_SIZE(DIGEST_SIZE)];

	if (expected)
		codec_hex(expected, DIGEST_SIZE, expected_text);
	if (actual)
		codec_hex(actual, DIGEST_SIZE, actual_text);
	evidence_note(checks, code, name, result, expected ? expected_text : NULL,
		actual ? actual_text : NULL);
}

static void note_log(const struct state *state, const char *fault, json_t *checks)
{
	static const char expected[] = "replays to the quote's digest";

	if (!fault)
		fault = state->log_proven ? expected : "replays to another digest";
	evidence_note(checks, "evidence.event_log", "event log",
		state->log_proven ? EVIDENCE_OK : EVIDENCE_FAILED, expected, fault);
}

static void note_pcr14(
	const struct state *state, const unsigned char claim[DIGEST_SIZE], json_t *checks)
{
	unsigned char expected[DIGEST_SIZE] = { 0 }, zero[DIGEST_SIZE] = { 0 };
	enum evidence_result result = EVIDENCE_NOT_MEASURED;

	tpm_extend(expected, claim);
	if (state->pcr14_proven)
		result = state->pcr14_is_claim ? EVIDENCE_OK : EVIDENCE_FAILED;
	note_digests(checks, "evidence.pcr_14", "PCR 14: the claim", result, expected,
		!state->pcr14_proven	? NULL
		: state->pcr14_is_claim ? expected
					: zero);
}

/* What the log says was measured; its digest counts only when the log is proven. */
static void note_part(json_t *checks, const char *code, const char *name, const struct state *state,
	const struct event *event, const unsigned char expected[DIGEST_SIZE])
{
	enum evidence_result result = EVIDENCE_NOT_MEASURED;

	if (state->log_proven)
		result = event && memcmp(event->digest, expected, DIGEST_SIZE) == 0
				 ? EVIDENCE_OK
				 : EVIDENCE_FAILED;
	note_digests(checks, code, name, result, expected, event ? event->digest : NULL);
}

static void note_parts(const struct event_log *log, const struct state *state,
	const struct evidence_expect *expect, json_t *checks)
{
	const struct reference *reference = expect->reference;
	const struct reference_boot *boot = expect->boot;

	note_part(checks, "evidence.firmware", "firmware (DXE volume)", state,
		event_log_find(log, 0, EVENT_FIRMWARE_VOLUME, 1), reference->dxe);
	note_part(checks, "evidence.memory", "firmware with this memory and vCPUs (PEI volume)",
		state, event_log_find(log, 0, EVENT_FIRMWARE_VOLUME, 0), reference->pei);
	note_part(checks, "evidence.initrd", "initrd with initdata", state,
		event_log_find(log, 9, EVENT_TAG, 1), boot->initrd);
	note_part(checks, "evidence.cmdline", "kernel command line", state,
		event_log_find(log, 9, EVENT_TAG, 0), boot->cmdline);
	note_part(checks, "evidence.kernel", "kernel", state,
		event_log_find(log, 4, EVENT_BOOT_APPLICATION, 0), reference->kernel);
}

static void note_pcrs(const struct state *state, const struct reference_boot *boot, json_t *checks)
{
	static const char *const codes[REFERENCE_PCRS] = { "evidence.pcr_0", "evidence.pcr_1",
		"evidence.pcr_2", "evidence.pcr_3", "evidence.pcr_4", "evidence.pcr_5",
		"evidence.pcr_6", "evidence.pcr_7", "evidence.pcr_8", "evidence.pcr_9" };
	bool is_proven = state->log_proven || state->predicted_proven;
	enum evidence_result result;
	const unsigned char *actual;
	char name[8];

	for (unsigned i = 0; i < REFERENCE_PCRS; i++) {
		actual = state->predicted_proven ? boot->pcrs[i] : state->logged[i];
		result = is_proven ? EVIDENCE_OK : EVIDENCE_NOT_MEASURED;
		if ((is_proven || state->has_log) &&
			memcmp(boot->pcrs[i], actual, DIGEST_SIZE) != 0)
			result = EVIDENCE_FAILED;
		snprintf(name, sizeof(name), "PCR %u", i);
		note_digests(checks, codes[i], name, result, boot->pcrs[i],
			is_proven || state->has_log ? actual : NULL);
	}
}

void evidence_check_pcrs(const struct evidence_bytes *bytes, const struct tpm_quote *quote,
	const struct evidence_expect *expect, json_t *checks)
{
	struct state state = { .has_log = false };
	auto_event_log log = { .count = 0 };
	struct err err = { .kind = ERR_NONE };

	state.has_log = event_log_parse(bytes->data, bytes->len, &log, &err) == 0;
	if (state.has_log)
		event_log_replay(&log, state.logged);
	prove(quote, expect, &state);
	note_log(&state, state.has_log ? NULL : err.detail, checks);
	note_pcr14(&state, expect->claim, checks);
	if (!expect->reference || !expect->boot) {
		evidence_note(checks, "evidence.no_reference", "reference values", EVIDENCE_FAILED,
			"values of one's own", "none for this template");
		return;
	}
	note_parts(&log, &state, expect, checks);
	note_pcrs(&state, expect->boot, checks);
}
