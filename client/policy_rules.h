/* SPDX-License-Identifier: Apache-2.0 */
/* Who must agree to a policy: its author, whom the plan names, and everybody else whose secret it
 * needs. */
#ifndef STRONGROOM_CLIENT_POLICY_RULES_H
#define STRONGROOM_CLIENT_POLICY_RULES_H

#include <jansson.h>

/* The member `approval` of a document whose parties, slots, inputs and outputs are there: for the
 * owner of a dataset a rule that answers for that dataset, for the owner of another secret one over
 * the whole document; each may veto. New reference. */
json_t *policy_rules(const json_t *document);

#endif
