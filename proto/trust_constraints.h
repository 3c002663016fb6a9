/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scoped policies: what a tenant, the owner of a dataset or a workflow demands of every policy that
 * touches it. They are documents beside the policy, pinned in it by hash; all of them and the
 * policy are combined by AND, and what is pinned but not there is a refusal.
 */
#ifndef STRONGROOM_TRUST_CONSTRAINTS_H
#define STRONGROOM_TRUST_CONSTRAINTS_H

#include "proto/trust.h"

#define TRUST_CONSTRAINTS_MAX (256u << 10) /* bytes of one document */

struct trust_constraints {
	json_t *doc; /* borrowed by what follows */
	char hash[DIGEST_TEXT_SIZE];
	const char *scope, *subject, *name;
};

/* Code constraints.invalid with every bad member. */
int trust_constraints_read(
	struct arena *arena, json_t *doc, struct trust_constraints *ret, struct err *err);
/* Bytes as received: constraints.not_canonical. */
int trust_constraints_parse(struct arena *arena, const char *text, size_t len,
	struct trust_constraints *ret, struct err *err);

/* --- the judgement over a whole policy --- */

/* What is known beside the policy; what is NULL is not judged, or is not_known where the policy
 * asks for it. All of it borrowed. */
struct trust_facts {
	long long now;
	const char *class; /* of the evidence */
	const char *template_id;
	long long template_version;
	const char *measurement;   /* of the agent's executable */
	const json_t *inputs;	   /* [{"slot","dataset","version","digest"?,"size"?}] */
	const json_t *approvals;   /* envelopes */
	const json_t *constraints; /* canonical texts of scoped policies */
};

/* Every clause, in the order in which the agent relies on them; never fails. {"policy":P,
 * "result":"pass"|"fail"|"unknown","failed":<code>|null,"clauses":[{"clause","expected","actual",
 * "result":"pass"|"fail"|"not_known","code":…|null}],"warnings":[text]}. Codes:
 * policy.wrong_template, evidence.class_too_low, measurement.mismatch, policy.expired, input.*,
 * constraint.*, approval.*. New reference. */
json_t *trust_policy_explain(const struct trust_policy *policy, const struct trust_facts *facts);
/* -1 with the first clause that failed of such a result, 0 when none did. */
int trust_explanation_fail(const json_t *explanation, struct err *err);

/* What differs: [{"path":<JSON Pointer>,"from":…|null,"to":…|null,"approvals":[scope…]}], the
 * scopes of `to` whose terms change by it. New reference. */
json_t *trust_policy_diff(const struct trust_policy *from, const struct trust_policy *to);

#endif
