/* SPDX-License-Identifier: Apache-2.0 */
/* Clauses of an explanation, one a line: what is asked for, what is there. */
#ifndef STRONGROOM_TRUST_CLAUSE_H
#define STRONGROOM_TRUST_CLAUSE_H

#include "proto/trust_constraints.h"

enum clause_result { CLAUSE_PASS, CLAUSE_FAIL, CLAUSE_NOT_KNOWN };

struct clauses {
	json_t *list;
	const char *prefix; /* before each clause's name */
};

/* `code` is told where the clause fails; the texts are copied. */
void clause_add(const struct clauses *clauses, const char *name, enum clause_result result,
	const char *code, const char *expected, const char *actual);
static inline enum clause_result clause_when(bool holds)
{
	return holds ? CLAUSE_PASS : CLAUSE_FAIL;
}

/* Scoped policies: each is there, is the pinned one, and holds for the policy. */
void trust_explain_scoped(
	const struct clauses *clauses, const struct trust_policy *policy, const json_t *texts);

#endif
