/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scoped policies: what a tenant demands of its own policies, a data owner of every policy over a
 * dataset, and a workflow's tenant of those requested in it. A policy that touches such a subject
 * pins the document by hash; its text is kept beside the policy, for the agent.
 */
#ifndef POLICY_CONSTRAINTS_H
#define POLICY_CONSTRAINTS_H

#include "proto/trust_constraints.h"
#include "services/policy/record.h"

#define CONSTRAINTS_BODY_MAX (TRUST_CONSTRAINTS_MAX + 4096)

extern const struct record_kind constraint_kind;
web_handler constraint_update;
web_handler constraint_delete;

/* What applies to the policy now, among what the caller may read. */
struct constraints {
	json_t *texts;	  /* canonical, of what the policy pins */
	json_t *left_out; /* [{"scope","subject","name","hash"}]: applies, and is not pinned */
};
void constraints_release(struct constraints *constraints);
#define auto_constraints __attribute__((cleanup(constraints_release))) struct constraints

int constraints_of(struct web_req *req, const struct trust_policy *policy, struct constraints *ret,
	struct err *err);
/* constraint.left_out, and what the first clause that is broken says (constraint.*). */
int constraints_check(
	const struct trust_policy *policy, const struct constraints *constraints, struct err *err);
/* Inside db_tx(), when the policy is to be a part of the tenant's workflow: constraint.left_out.
 * What it pins it was held against when it was stored. */
int constraints_of_workflow(struct db *db, const char *tenant, const char *workflow,
	const struct trust_policy *policy, struct err *err);

#endif
