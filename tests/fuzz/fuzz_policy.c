/* SPDX-License-Identifier: Apache-2.0 */
/* The documents that machines and people send each other. A policy that is accepted has one
 * spelling: its own bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust_constraints.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every scope has terms, nothing differs from itself, and without approvals nothing is agreed to.
 */
static void judge_policy(const struct trust_policy *policy, json_t *doc)
{
	auto_json json_t *none = json_array(), *diff = trust_policy_diff(policy, policy),
			 *explanation = NULL, *texts = json_pack("[o]", json_sprintf("%s", "{}"));
	const struct trust_facts facts = {
		.now = 1, .inputs = doc, .approvals = none, .constraints = texts
	};
	json_t *rule;
	size_t i;

	explanation = trust_policy_explain(policy, &facts);
	if (json_array_size(diff) != 0 || !json_text_is(explanation, "result", "fail"))
		abort();
	json_array_foreach (trust_policy_rules(policy->doc), i, rule) {
		char terms[DIGEST_TEXT_SIZE];

		if (trust_policy_terms(policy, json_text(rule, "scope"), terms, NULL) < 0)
			abort();
	}
}

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
	judge_policy(&strict, doc);
}

/* A scoped policy that is accepted has one spelling, too. */
static void read_scoped(struct arena *arena, const char *text, size_t len, json_t *doc)
{
	struct trust_constraints strict = { .doc = NULL }, loose = { .doc = NULL };

	if (trust_constraints_parse(arena, text, len, &strict, NULL) == 0 &&
		(trust_constraints_read(arena, doc, &loose, NULL) < 0 ||
			strcmp(strict.hash, loose.hash) != 0))
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
	read_scoped(arena, text, strlen(text), doc);
	read_others(doc);
	return 0;
}
