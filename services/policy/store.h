/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Database calls for policies, approvals and orders; other resources are a `struct record_kind`.
 * Records come back as the JSON that answers show; the caller owns them. "Not there" is
 * ERR_NOT_FOUND <thing>.not_found, the same for another tenant's thing.
 */
#ifndef POLICY_STORE_H
#define POLICY_STORE_H

#include <jansson.h>

#include "lib/resource.h"
#include "lib/web.h"
#include "proto/trust.h"
#include "services/policy/record.h"

extern const struct sql *const store_forgets[]; /* of struct service */

/* --- policies --- */
/* What is shared with other resources: reading (with document and approvals; of others in the
 * caller's spaces, too) and deleting (policy.in_use when a pipeline stands on it). */
extern const struct record_kind policy_kind;
struct store_policy {
	const struct trust_policy *policy;
	const char *canonical;	   /* its canonical text */
	const json_t *approvals;   /* verified envelopes */
	const json_t *constraints; /* texts of the scoped policies that it pins */
	char id[ID_SIZE];	   /* in: a fresh id; out: the record's */
	bool existed;
};
int store_policy_add(struct web_req *req, struct store_policy *item, struct err *err);
int store_policy_text(
	struct web_req *req, const char *id, const char **ret_canonical, struct err *err);
/* Of one that the caller may read: text, envelopes, scoped policies. */
int store_policy_papers(struct web_req *req, const char *id, const char **ret_canonical,
	json_t **ret_approvals, json_t **ret_constraints, struct err *err);
/* Of all the caller's spaces, or of the one that is named. */
int store_policy_list(struct web_req *req, const struct page *page, const char *space,
	const char *image, json_t **ret_list, struct err *err);
/* One of another tenant in the caller's spaces, too, and whose it is. */
int store_policy_seen(struct web_req *req, const char *id, const char **ret_tenant,
	const char **ret_canonical, struct err *err);

/* A verified envelope on its way into its policy's tenant and space. */
struct store_vote {
	const char *tenant, *policy_id, *space;
	const json_t *envelope;
};
/* What its signer says; NULL where nothing was verified before. New reference. */
json_t *store_vote_words(const json_t *envelope);
/* Settles the workflows that wait for it. workflow.not_pending. */
int store_approval_add(struct web_req *req, const struct store_vote *vote, struct err *err);

/* --- orders --- */
/* Runs that wait for something look again when this topic is rung. */
#define STORE_ORDER_TOPIC "order"

struct store_order {
	const char *id, *policy_id, *space;
	const struct trust_order *order;
	const json_t *envelope;
	const json_t *grants; /* {slot: jwe} */
	bool own_image;	      /* in a repository of the tenant that orders */
};
/* order.replayed when the run nonce was used before. */
int store_order_add(struct web_req *req, const struct store_order *item, struct err *err);

/* An order as it stands; texts live in the arena. */
struct order_row {
	const char *id, *tenant, *space, *policy_id, *policy_hash, *document, *run_nonce, *enc,
		*sig, *envelope, *created_by, *created_at, *started_at,
		*image_tenant; /* whose image the run may pull; NULL: nobody shares it */
	json_t *missing;       /* [{"slot","owner"}]: nobody gave a grant yet */
	json_t *withdrawn;     /* [slot] */
	json_t *unshared; /* [dataset]: others' that they share with the order's space no more */
	long long revision;
	bool is_departed; /* its tenant left the order's space before the start */
};
void order_row_release(struct order_row *row);
#define auto_order __attribute__((cleanup(order_row_release))) struct order_row

/* One of the caller's tenant or of his spaces. */
int store_order_get(
	struct web_req *req, const char *id, struct order_row *ret_row, struct err *err);
/* One of that tenant, for the orchestrator. */
int store_order_of(struct web_req *req, const char *tenant, const char *id,
	struct order_row *ret_row, struct err *err);
int store_order_grants(struct web_req *req, const struct order_row *row, json_t **ret_grants,
	struct err *err); /* [jwe] */
int store_order_approvals(
	struct web_req *req, const struct order_row *row, json_t **ret_approvals, struct err *err);

int store_order_constraints(struct web_req *req, const struct order_row *row,
	json_t **ret_constraints, struct err *err); /* [text] */

/* Grants of the caller's own tenant, {slot: jwe}; the same slot again replaces. grant.twice when
 * another tenant gave it or it was taken back; order.started. */
int store_grants_add(
	struct web_req *req, const struct order_row *row, const json_t *grants, struct err *err);
/* grant.not_found, order.started. */
int store_grant_withdraw(
	struct web_req *req, const struct order_row *row, const char *slot, struct err *err);

/* Marks it as started unless its tenant left the space, or `is_free` says no of what is there in
 * the same transaction: nothing is taken back between the look and the mark. *ret_started: now or
 * before. */
typedef bool store_is_free(
	struct arena *arena, const struct order_row *row, const json_t *approvals);
int store_order_start(struct web_req *req, const char *tenant, const char *id,
	store_is_free *is_free, bool *ret_started, struct err *err);

#endif
