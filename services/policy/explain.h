/* SPDX-License-Identifier: Apache-2.0 */
/* Policies held against what is known, without anything being stored: explain, diff, schema. */
#ifndef POLICY_EXPLAIN_H
#define POLICY_EXPLAIN_H

#include "lib/web.h"
#include "proto/trust.h"
#include "services/policy/constraints.h"

web_handler explain_document; /* POST /v1/policies:explain */
web_handler explain_policy;   /* POST /v1/policies/{policy_id}:explain */
web_handler explain_diff;
web_handler explain_schema;

/* The answer of ?validate_only=true. New reference. */
json_t *explain_validated(const struct trust_policy *policy, const json_t *approvals,
	const struct constraints *constraints);

#endif
