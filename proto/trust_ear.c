/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attestation result as others read it: EAR (draft-ietf-rats-ear-04), the claims of an EAT in
 * JSON. What AR4SI has a tier for is said with it; the table of checks stands beside it.
 */
#include <string.h>

#include "lib/json.h"
#include "proto/trust.h"

#define PROFILE "tag:ietf.org,2026:rats/ear#04"

/* AR4SI: 2 affirming, 96 contraindicated; 3: only approved executables were loaded at boot. */
#define TIER_AFFIRMING 2
#define TIER_BOOT_APPROVED 3

static json_t *vector_of(const char *class)
{
	if (trust_class_rank(class) == 0)
		return json_object();
	return json_pack("{s:i,s:i,s:i}", "instance-identity", TIER_AFFIRMING, "configuration",
		TIER_AFFIRMING, "executables", TIER_BOOT_APPROVED);
}

static const char *status_of(const json_t *result)
{
	if (json_is_string(json_object_get(result, "failed")))
		return "contraindicated";
	return trust_class_rank(json_text(result, "class")) > 0 ? "affirming" : "none";
}

json_t *trust_ear_claims(const json_t *result, const json_t *evidence, const char *verifier,
	const char *audience, long long issued_at)
{
	json_t *sandbox = json_pack("{s:s,s:o,s:s*,s:O*,s:O*}", "ear_status", status_of(result),
		"ear_trustworthiness_vector", vector_of(json_text(result, "class")),
		"strongroom_class", json_text(result, "class"), "strongroom_operator_can_read",
		json_object_get(result, "operator_can_read"), "strongroom_checks",
		json_object_get(result, "checks"));

	return json_pack("{s:s,s:I,s:{s:s,s:s},s:s*,s:s*,s:{s:O*},s:{s:o}}", "eat_profile", PROFILE,
		"iat", (json_int_t)issued_at, "ear_verifier_id", "developer", "Strongroom", "build",
		verifier, "aud", audience, "eat_nonce", json_text(evidence, "nonce"), "cnf", "jwk",
		json_object_get(evidence, "sig"), "submods", "sandbox", sandbox);
}
