/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workflows: a draft of a graph in a space, and versions of it whose approval was requested. A
 * version's graph and policies never change; its state is settled once, by the votes on its
 * policies, by its end or by who requested it.
 */
#ifndef POLICY_WORKFLOWS_H
#define POLICY_WORKFLOWS_H

#include "proto/graph.h"
#include "proto/trust.h"
#include "services/policy/record.h"

#define WORKFLOW_BODY_MAX (8u << 20) /* a graph of 10,000 objects */

extern const struct record_kind workflow_kind;
web_handler workflow_validate;
web_handler workflow_request;
web_handler workflow_withdraw;
web_handler workflow_version_list;
web_handler workflow_version_show;
web_handler workflow_diff;

/* The draft as it is stored; its texts live as long as the request. */
struct workflow {
	const char *id, *tenant, *space, *graph_text;
	long long version, revision;
	struct graph graph;
	json_t *facts; /* of what its objects refer to, once they were asked for */
};
/* Of another tenant in the caller's spaces, too, unless it `is_own`. workflow.not_found. */
int workflow_find(struct web_req *req, bool is_own, struct workflow *ret_workflow, struct err *err);
/* What is wrong with it for the caller, as graph_faults() says it. */
int workflow_faults(struct web_req *req, struct workflow *workflow, json_t **ret_faults,
	size_t *ret_total, struct err *err);
/* Whether the policy runs what the graph says at that application, behind workflow_faults():
 * workflow.policy_differs, workflow.wrong_space, workflow.owner_not_asked. */
int workflow_policy_check(const struct workflow *workflow, const struct graph_object *app,
	const struct trust_policy *policy, struct err *err);

/* --- inside db_tx() of the tenant that requested; the policies' rows are locked already --- */
/* Settles the versions that stand on this policy and are pending, by their policies' votes. */
int workflow_settle(struct db *db, const char *tenant, const char *policy_id, struct err *err);
/* workflow.not_pending when the vote approves what nobody asks for any more. */
struct store_vote;
int workflow_may_vote(struct db *db, const struct store_vote *vote, struct err *err);

#endif
