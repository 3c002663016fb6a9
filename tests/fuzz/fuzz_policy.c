/* SPDX-License-Identifier: Apache-2.0 */
/* The documents that machines and people send each other. A policy that is accepted has one
 * spelling: its own bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_policy(struct arena *arena, const char *text, size_t len, json_t *doc)
{
	struct trust_policy strict = { .doc = NULL }, loose = { .doc = NULL };
	auto_free char *again = NULL;
	size_t again_len = 0;

	if (trust_policy_read(arena, doc, &loose, NULL) == 0 && !loose.hash[0])
		abort();
	if (trust_policy_parse(arena, text, len, &strict, NULL) < 0)
		return;
	if (strcmp(strict.hash, loose.hash) != 0 ||
		jcs_encode(strict.doc, &again, &again_len, NULL) < 0 || again_len != len ||
		memcmp(again, text, len) != 0)
		abort();
	if (trust_approvals_satisfy(&strict, json_object_get(doc, "inputs"), 1, NULL) == 0)
		abort();
}

static void read_others(const json_t *doc)
{
	struct trust_expect expect = { .nonce = "", .claim = doc, .min_class = "none" };
	char commitment[DIGEST_TEXT_SIZE];
	json_t *result = NULL, *enc = NULL, *sig = NULL;

	trust_claim_check(doc, NULL);
	trust_initdata_check(doc, NULL);
	trust_commitment_of(doc, commitment, NULL);
	if (trust_evidence_verify(doc, &expect, &result, &enc, &sig, NULL) == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena *arena = arena_new();
	auto_free char *text = mem_strndup((const char *)data, size);
	auto_json json_t *doc = json_parse(text, strlen(text), NULL);

	if (!doc)
		return 0;
	read_policy(arena, text, strlen(text), doc);
	read_others(doc);
	return 0;
}
