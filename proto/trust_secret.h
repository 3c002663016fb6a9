/* SPDX-License-Identifier: Apache-2.0 */
/* What the trust modules share; everybody else uses trust.h. */
#ifndef STRONGROOM_TRUST_SECRET_H
#define STRONGROOM_TRUST_SECRET_H

#include "proto/rule.h"
#include "proto/trust.h"

#define TRUST_CLOCK_SKEW 300 /* seconds that a signer's clock may be ahead */

/* Whole opening with the secret that its slot holds: commitment.invalid. */
int trust_opening_check(const json_t *opening, struct err *err);

/* {"jws","spki"}: signs with kid = SPKI digest; `payload` gets its member "spki". */
int trust_envelope_make(
	EVP_PKEY *key, const char *typ, json_t *payload, json_t **ret_envelope, struct err *err);
/* Verifies with the envelope's own key and returns that key's SPKI digest: whether it is anybody's
 * is the caller's to ask. The payload's "spki" is the signer's. trust.envelope,
 * trust.spki_mismatch, trust.signature. */
int trust_envelope_open(const json_t *envelope, const char *typ, json_t **ret_payload,
	char ret_spki[DIGEST_TEXT_SIZE], struct err *err);

/* An approval that is a word about this policy (signature, scope, key, space, terms), and whether
 * its times let it count now. */
int trust_approval_open(const struct trust_policy *policy, const json_t *envelope,
	json_t **ret_payload, struct err *err);
int trust_approval_times(
	const struct trust_policy *policy, const json_t *payload, long long now, struct err *err);

/* Evidence: what making and verifying have in common. */
#define TRUST_EVIDENCE_VERSION "strongroom-evidence-1"
#define TRUST_EVIDENCE_TYP "strongroom-evidence+jws"
extern const struct rule trust_claim_rules[], trust_initdata_rules[];

#endif
