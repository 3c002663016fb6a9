/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every database call of the policy service. Records come back as the JSON that answers show; the
 * caller owns them. "Not there" is ERR_NOT_FOUND <thing>.not_found, the same for another tenant's
 * thing.
 */
#ifndef POLICY_STORE_H
#define POLICY_STORE_H

#include <jansson.h>

#include "lib/resource.h"
#include "lib/web.h"
#include "proto/trust.h"

extern const struct sql *const store_forgets[]; /* of struct service */

/* --- policies --- */
struct store_policy {
	const struct trust_policy *policy;
	const char *canonical;	 /* its canonical text */
	const json_t *approvals; /* verified envelopes */
	char id[ID_SIZE];	 /* in: a fresh id; out: the record's */
	bool existed;
};
int store_policy_add(struct web_req *req, struct store_policy *item, struct err *err);
extern const struct web_read
	store_policy_read; /* with document and approvals; of others in the caller's spaces, too */
int store_policy_get(struct web_req *req, const char *id, json_t **ret_record,
	long long *ret_revision, struct err *err);
int store_policy_text(
	struct web_req *req, const char *id, const char **ret_canonical, struct err *err);
/* Of all the caller's spaces, or of the one that is named. */
int store_policy_list(struct web_req *req, const struct page *page, const char *space,
	const char *image, json_t **ret_list, struct err *err);
/* policy.in_use when a pipeline stands on it. */
int store_policy_delete(struct web_req *req, const char *id, long long revision, struct err *err);
int store_approval_add(struct web_req *req, const char *policy_id, const char *space,
	const json_t *envelope, struct err *err);

/* --- pipelines --- */
struct store_pipeline {
	const char *id, *name, *template, *policy_id;
	long long revision; /* update: the one that If-Match named */
};
int store_pipeline_add(struct web_req *req, const struct store_pipeline *item, struct err *err);
extern const struct web_read store_pipeline_read;
int store_pipeline_get(struct web_req *req, const char *tenant, const char *id, json_t **ret_record,
	long long *ret_revision, struct err *err);
int store_pipeline_list(
	struct web_req *req, const struct page *page, json_t **ret_list, struct err *err);
int store_pipeline_update(struct web_req *req, const struct store_pipeline *item, struct err *err);
int store_pipeline_delete(struct web_req *req, const char *id, long long revision, struct err *err);

/* --- projections --- */
struct store_projection {
	const char *id, *name;
	const json_t *columns, *filter;
	long long minimum_rows, revision;
};
int store_projection_add(struct web_req *req, const struct store_projection *item, struct err *err);
extern const struct web_read store_projection_read;
int store_projection_get(struct web_req *req, const char *id, json_t **ret_record,
	long long *ret_revision, struct err *err);
int store_projection_list(
	struct web_req *req, const struct page *page, json_t **ret_list, struct err *err);
int store_projection_update(
	struct web_req *req, const struct store_projection *item, struct err *err);
/* projection.in_use when a dataset refers to it. */
int store_projection_delete(
	struct web_req *req, const char *id, long long revision, struct err *err);

/* --- datasets --- */
struct store_dataset {
	const char *id, *name, *direction, *projection_id;
	const json_t *labels;
	long long revision;
};
int store_dataset_add(struct web_req *req, const struct store_dataset *item, struct err *err);
extern const struct web_read store_dataset_read;
int store_dataset_get(struct web_req *req, const char *id, json_t **ret_record,
	long long *ret_revision, struct err *err);
int store_dataset_list(
	struct web_req *req, const struct page *page, json_t **ret_list, struct err *err);
int store_dataset_update(struct web_req *req, const struct store_dataset *item, struct err *err);
int store_dataset_delete(struct web_req *req, const char *id, long long revision, struct err *err);

struct store_version {
	const char *dataset_id, *object, *digest;
	long long size;
	long long version; /* in: 0 or the one that must come next (dataset.version_taken); out: the
			      one made */
};
int store_version_add(struct web_req *req, struct store_version *item, struct err *err);
int store_version_list(
	struct web_req *req, const char *dataset_id, json_t **ret_list, struct err *err);

/* --- orders --- */
struct store_order {
	const char *id, *policy_id;
	const struct trust_order *order;
	const json_t *envelope;
	const json_t *grants; /* [{"slot","jwe"}] */
};
/* order.replayed when the run nonce was used before. */
int store_order_add(struct web_req *req, const struct store_order *item, struct err *err);
/* Everything the agent needs of it. */
int store_order_get(struct web_req *req, const char *tenant, const char *id, json_t **ret_record,
	struct err *err);

#endif
