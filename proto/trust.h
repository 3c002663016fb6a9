/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of the trust protocol (proto/README.md has every member): both ends in one module.
 * Used by the client that makes them, the agent that relies on them, and the services that store
 * them unread. Nothing here talks to a network or a clock: times and keys are arguments.
 */
#ifndef STRONGROOM_TRUST_H
#define STRONGROOM_TRUST_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

#include "lib/arena.h"
#include "lib/digest.h"
#include "lib/err.h"
#include "lib/evidence.h"
#include "lib/jose.h"

#define TRUST_NONCE_SIZE 32u
#define TRUST_NONCE_TEXT_SIZE 44u /* base64url, with NUL */

/* --- commitments: sha256(JCS{v,slot,salt,secret}) --- */
/* Makes a salt; the sealed form {v,slot,salt,secret} is what a grant carries (with mode). */
int trust_commit(const char *slot, json_t *secret, json_t **ret_opening,
	char ret_commitment[DIGEST_TEXT_SIZE], struct err *err);
int trust_commitment_of(
	const json_t *opening, char ret_commitment[DIGEST_TEXT_SIZE], struct err *err);

/* --- policy --- */
struct trust_policy {
	json_t *doc; /* borrowed by what follows */
	char hash[DIGEST_TEXT_SIZE];
	const char *name, *space, *repository, *manifest_digest, *config_digest;
	const char *template_id;
	long long template_version, max_runs, deadline;
};
/* Whole-document check (policy.invalid with every bad member) and hash over its canonical bytes. */
int trust_policy_read(
	struct arena *arena, json_t *doc, struct trust_policy *ret_policy, struct err *err);
/* Bytes as received must be the canonical ones: policy.not_canonical. */
int trust_policy_parse(struct arena *arena, const char *text, size_t len,
	struct trust_policy *ret_policy, struct err *err);
/* The shape of the document as a JSON Schema (2020-12), from the table that the parser walks. What
 * must fit together in it a schema cannot say. New reference. */
json_t *trust_policy_schema(void);
bool trust_policy_names(const struct trust_policy *policy, const char *party, const char *spki);
const json_t *trust_policy_slot(
	const struct trust_policy *policy, const char *slot); /* NULL if none */

/* The rules of approval; the rule of a scope; its keys, whether they are a party's or listed. */
const json_t *trust_policy_rules(const json_t *doc);
const json_t *trust_policy_rule(const json_t *doc, const char *scope); /* NULL if none */
const json_t *trust_rule_keys(const json_t *doc, const json_t *rule);
/* host:port of an input's or output's location, NULL without one; caller frees. */
char *trust_location_endpoint(const json_t *entry);
/* Whether a sandbox may be connected to that host:port: it is one of the domains of egress, or a
 * location's, and the mode is not none. */
bool trust_policy_reaches(const struct trust_policy *policy, const char *endpoint);
/* Whether one of the entries of inputs or outputs has a location. */
bool trust_has_location(const json_t *entries);
/* What the keys of this scope's rule agree to: the document without what belongs to the objects of
 * other rules, and without max_runs and deadline where the rule lists objects. approval.wrong_scope
 */
int trust_policy_terms(const struct trust_policy *policy, const char *scope,
	char ret_terms[DIGEST_TEXT_SIZE], struct err *err);
/* The document of these terms, to be shown; NULL without such a rule. New reference. */
json_t *trust_policy_terms_document(const json_t *doc, const char *scope);

/* --- signed envelopes: {"jws": flattened JWS, "spki": base64 DER} --- */
struct trust_vote {
	const char *scope;
	const char *decision; /* "approve", "decline", "withdraw" */
	const char *reason;   /* NULL with approve, may be NULL otherwise */
	long long iat, exp;
	json_t *log_head; /* or NULL */
};
int trust_approval_make(EVP_PKEY *key, const struct trust_policy *policy,
	const struct trust_vote *vote, json_t **ret_envelope, struct err *err);
/* One envelope by itself, `now` in Unix seconds: trust.*, approval.invalid, approval.wrong_space,
 * approval.wrong_scope, approval.not_a_party, approval.wrong_policy (made for another version whose
 * terms are not this one's), approval.wrong_terms, approval.not_yet_valid, approval.expired,
 * approval.too_late. */
int trust_approval_check(
	const struct trust_policy *policy, const json_t *envelope, long long now, struct err *err);
/* Of one policy: no more keys stand in all of its rules together (a key that stands in two has two
 * words), and no more envelopes are looked at. */
#define TRUST_MAX_APPROVALS 256
/* All rules over all envelopes; client, policy service and agent have no other judgement. A key's
 * newest word of a scope counts, of two at one time the one that does not approve. Never fails:
 * {"state": "approved"|"rejected"|"expired"|"pending", "code":…|null, "detail":…|null,
 * "rules":[{"scope", "role", "need", "have", "state", "code",
 * "votes":[{"spki","decision","reason","iat","exp", "code"}], "missing":[spki]}]}. New reference.
 */
json_t *trust_approvals_judge(
	const struct trust_policy *policy, const json_t *envelopes, long long now);
/* 0 when that says approved, else -1 with its code: approval.declined, approval.withdrawn,
 * approval.expired, approval.too_late, approval.quorum, or why the only envelopes there are do not
 * count. */
int trust_approvals_satisfy(
	const struct trust_policy *policy, const json_t *envelopes, long long now, struct err *err);

struct trust_order {
	char policy_hash[DIGEST_TEXT_SIZE];
	char run_nonce[TRUST_NONCE_TEXT_SIZE];
	char enc_thumbprint[JOSE_THUMBPRINT_SIZE], sig_thumbprint[JOSE_THUMBPRINT_SIZE];
	char runner_spki[DIGEST_TEXT_SIZE];
	long long issued_at;
	json_t *log_head; /* to make one: borrowed, or NULL */
};
int trust_order_make(
	EVP_PKEY *key, const struct trust_order *order, json_t **ret_envelope, struct err *err);
/* Checks signature, runner named in the policy, policy hash. order.wrong_policy,
 * order.not_a_runner, … */
int trust_order_check(const struct trust_policy *policy, const json_t *envelope,
	struct trust_order *ret_order, struct err *err);

/* Whether the order is for these machine keys (a new boot has new ones): order.wrong_machine. */
int trust_order_check_machine(const struct trust_order *order, const json_t *enc_jwk,
	const json_t *sig_jwk, struct err *err);

/* --- spaces: one tenant's key invites another's by SPKI, which accepts exactly that invitation ---
 */
struct trust_invitation {
	const char *space, *name; /* spc_…, label */
	const char *tenant;	  /* name of the founding one */
	const char *to;		  /* SPKI digest of the invited key */
	long long issued_at, expires_at;
};
int trust_invitation_make(EVP_PKEY *key, const struct trust_invitation *invitation,
	json_t **ret_envelope, struct err *err);
/* Texts live in the arena; the digest is that of the signed payload, what an acceptance names.
 * trust.envelope, trust.signature, space_invitation.invalid, space_invitation.not_yet_valid,
 * space_invitation.expired. */
int trust_invitation_check(struct arena *arena, const json_t *envelope, long long now,
	struct trust_invitation *ret_invitation, char ret_spki[DIGEST_TEXT_SIZE],
	char ret_digest[DIGEST_TEXT_SIZE], struct err *err);
int trust_acceptance_make(EVP_PKEY *key, const char *invitation_digest, const char *tenant,
	long long issued_at, json_t **ret_envelope, struct err *err);
/* By the invited key, for this invitation and tenant: space_invitation.wrong_acceptance. */
int trust_acceptance_check(const json_t *envelope, const struct trust_invitation *invitation,
	const char *invitation_digest, const char *tenant, struct err *err);

/* --- grants --- */
int trust_grant_make(const json_t *machine_enc_jwk, const char *policy_hash, const char *slot,
	const char *run_nonce, const json_t *opening, json_t **ret_jwe, struct err *err);
/* Opens with the machine's private key; checks header (policy, slot, run nonce, kid) and the
 * commitment in the policy: grant.wrong_policy, grant.wrong_slot, grant.wrong_run, grant.wrong_key,
 * grant.open, grant.commitment. */
int trust_grant_open(const json_t *machine_enc_private, const struct trust_policy *policy,
	const struct trust_order *order, const json_t *jwe, json_t **ret_secret, char ret_slot[64],
	struct err *err);
/* What a server may look at without a key: slot, kid, policy and run nonce of the protected header.
 */
int trust_grant_peek(const json_t *jwe, json_t **ret_header, struct err *err);

/* --- releases: a slot's owner says that a grant is his, where somebody else ordered --- */
int trust_release_make(EVP_PKEY *key, const json_t *grant, long long issued_at,
	json_t **ret_envelope, struct err *err);
/* By the key that owns the grant's slot in this policy, and for these very bytes: release.invalid,
 * release.wrong_grant, release.wrong_policy, release.not_the_owner. */
int trust_release_check(const struct trust_policy *policy, const json_t *grant,
	const json_t *envelope, struct err *err);

/* --- claim, initdata, evidence --- */
int trust_claim_check(const json_t *claim, struct err *err);
int trust_initdata_check(const json_t *initdata, struct err *err);
bool trust_initdata_allows(const json_t *initdata, const char *class);
/* extraData = SHA-256(JCS{v,enc,sig,nonce,initdata,claim}) */
int trust_evidence_binding(const json_t *enc_jwk, const json_t *sig_jwk, const char *nonce,
	const json_t *initdata, const json_t *claim, unsigned char ret_binding[DIGEST_SIZE],
	struct err *err);
/* Agent's side: the evidence document, signed (JWS strongroom-evidence+jws) by the machine signing
 * key. `report`: a TPM's, for the class software-tpm; NULL: the class none. */
int trust_evidence_make(const json_t *sig_private, const json_t *enc_jwk, const char *nonce,
	const json_t *initdata, const json_t *claim, json_t *report, json_t **ret_evidence,
	struct err *err);

struct trust_expect { /* what the verifying side knows by itself; all of it borrowed */
	const char *sandbox_id, *template_id, *edge_ca_spki, *nonce;
	long long template_version;
	const json_t *claim;   /* exactly what it sent */
	const char *min_class; /* "tee", "software-tpm", "none" */

	/* For evidence with a TPM's report: from its own trust file. */
	const char *vtpm_ca;		   /* PEM */
	const struct reference *reference; /* of the template */
	enum evidence_activation activation;
	long long now;
	/* Somebody else's evidence is looked at: a nonce or claim that is NULL here makes
	 * not_provable_offline of its check, and is no fault. */
	bool is_offline;
};
/* Makes every check that can be made and never fails: {class, operator_can_read,
 * failed:<code>|null, checks:[…]} with the checks of lib/evidence.h. The class is what these checks
 * prove, "none" when one of a report failed. */
json_t *trust_evidence_appraise(const json_t *evidence, const struct trust_expect *expect);
/* -1 with the first check that failed of such a result, 0 when none did. */
int trust_appraisal_fail(const json_t *result, struct err *err);
/* The same, and -1 with the code of the first check that failed: evidence.invalid,
 * evidence.signature, evidence.binding, evidence.nonce, evidence.claim, evidence.initdata, those of
 * lib/evidence.h, evidence.class_too_low. */
int trust_evidence_verify(const json_t *evidence, const struct trust_expect *expect,
	json_t **ret_result, json_t **ret_enc_jwk, json_t **ret_sig_jwk, struct err *err);
/* The result as an EAR (draft-ietf-rats-ear), for the caller to sign or not: nonce and machine
 * signing key (cnf) are the evidence's. `audience` may be NULL. New reference. */
json_t *trust_ear_claims(const json_t *result, const json_t *evidence, const char *verifier,
	const char *audience, long long issued_at);
/* Who stores evidence unread: these keys, nonce, claim, sandbox and initdata belong together. What
 * a report proves is not looked at. */
int trust_evidence_bound(const json_t *evidence, const struct trust_expect *expect,
	json_t **ret_enc_jwk, json_t **ret_sig_jwk, struct err *err);
/* 2 for TEEs, 1 for software-tpm, 0 for none and whatever is not known. */
int trust_class_rank(const char *class);

/* --- receipt: in-toto Statement v1 in DSSE --- */
int trust_receipt_make(
	const json_t *sig_private, const json_t *statement, json_t **ret_envelope, struct err *err);
/* Verifies the DSSE with the given machine signing key and that predicate, policy, run nonce and
 * output digest are the expected ones. receipt.signature, receipt.wrong_run, receipt.wrong_policy,
 * receipt.wrong_output. */
struct trust_receipt_expect {
	const char *policy_hash, *run_nonce, *output_digest;
	long long output_size;
};
int trust_receipt_check(const json_t *sig_jwk, const json_t *envelope,
	const struct trust_receipt_expect *expect, json_t **ret_statement, struct err *err);

/* Associated data of the two streaming formats (trust.md 2), canonical bytes; caller frees. */
int trust_input_aad(
	const char *dataset, long long version, char **ret_text, size_t *ret_len, struct err *err);
int trust_output_aad(const char *policy_hash, const char *run_nonce, const char *name,
	char **ret_text, size_t *ret_len, struct err *err);

#endif
