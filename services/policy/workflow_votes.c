/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the votes on its policies make of a version that is pending. Votes and requests lock the
 * policies' rows first, then the version's, so that the last vote always sees all others.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/policy/queries.h"
#include "services/policy/store.h"
#include "services/policy/workflows.h"

struct verdict {
	const char *state; /* NULL: still pending */
	char by[DIGEST_TEXT_SIZE];
	char reason[1024]; /* of a decline */
};

/* The word that rejects: where there is no veto, a decline is one vote less and no more. */
static void find_veto(const json_t *judgement, struct verdict *verdict)
{
	json_t *rule, *vote;
	size_t i, n;

	json_array_foreach (json_object_get(judgement, "rules"), i, rule) {
		if (!json_text_is(rule, "state", "rejected"))
			continue;
		json_array_foreach (json_object_get(rule, "votes"), n, vote) {
			const char *reason = json_text(vote, "reason");

			if (!json_text_is(vote, "decision", "decline"))
				continue;
			snprintf(verdict->by, sizeof(verdict->by), "%s", json_text(vote, "spki"));
			snprintf(verdict->reason, sizeof(verdict->reason), "%s",
				reason ? reason : "");
			return;
		}
	}
}

/* One policy's votes; false when it is not approved (yet). */
static bool is_approved(const struct db_rows *rows, size_t i, struct verdict *verdict)
{
	auto_arena struct arena *arena = arena_new();
	auto_free char *list = mem_printf("[%s]", db_text(rows, i, "approvals"));
	auto_json json_t *envelopes = json_loads(list, 0, NULL), *judgement = NULL;
	const char *document = db_text(rows, i, "document");
	struct trust_policy policy;

	if (trust_policy_parse(arena, document, strlen(document), &policy, NULL) < 0)
		return false;
	judgement = trust_approvals_judge(&policy, envelopes, clock_unix_ms() / 1000);
	if (json_text_is(judgement, "state", "rejected")) {
		verdict->state = "rejected";
		find_veto(judgement, verdict);
	}
	return json_text_is(judgement, "state", "approved");
}

static int judge(struct db *db, const char *tenant, const char *workflow, const char *version,
	struct verdict *verdict, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	bool all = true;

	if (db_exec(db, &SQL_WORKFLOW_VOTES, DB_PARAMS(tenant, workflow, version), &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++)
		all = is_approved(rows, i, verdict) && all;
	if (!verdict->state && all && db_count(rows) > 0)
		verdict->state = "approved";
	return 0;
}

static int settle_one(struct db *db, const char *tenant, const char *workflow, const char *version,
	struct err *err)
{
	struct verdict verdict = { .state = NULL };

	if (judge(db, tenant, workflow, version, &verdict, err) < 0)
		return -1;
	if (!verdict.state)
		return 0;
	audit(db, &(const struct audit_act) {
			  .action = verdict.state, .on = workflow, .detail = version });
	return db_exec(db, &SQL_WORKFLOW_SETTLE,
		DB_PARAMS(tenant, workflow, version, verdict.state, *verdict.by ? verdict.by : NULL,
			*verdict.reason ? verdict.reason : NULL),
		NULL, err);
}

int workflow_settle(struct db *db, const char *tenant, const char *policy_id, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_WORKFLOW_PENDING_OF, DB_PARAMS(tenant, policy_id), &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++) {
		if (settle_one(db, tenant, db_text(rows, i, "workflow_id"),
			    db_text(rows, i, "version"), err) < 0)
			return -1;
	}
	return 0;
}

int workflow_may_vote(struct db *db, const struct store_vote *vote, struct err *err)
{
	auto_json json_t *words = store_vote_words(vote->envelope);
	auto_rows struct db_rows *rows = NULL;

	if (!json_text_is(words, "decision", "approve"))
		return 0;
	if (db_exec(db, &SQL_WORKFLOW_OPEN_OF, DB_PARAMS(vote->tenant, vote->policy_id), &rows,
		    err) < 0)
		return -1;
	if (db_bool(rows, 0, "is_open"))
		return 0;
	return err_set(err, ERR_CONFLICT, "workflow.not_pending",
		"the request for this approval was rejected, withdrawn, or has expired");
}
