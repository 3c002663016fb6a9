/* SPDX-License-Identifier: Apache-2.0 */
/* What the handlers of policies, pipelines, projections and datasets share. A kind is one row; the
 * record's id is the path's parameter. */
#ifndef POLICY_RECORD_H
#define POLICY_RECORD_H

#include "lib/resource.h"

struct record_kind {
	const char *path;  /* of the list */
	const char *param; /* of the path of one */
	const char *roles; /* who may change one */
	const struct web_read *read;
	int (*get)(struct web_req *req, const char *id, json_t **ret_record,
		long long *ret_revision, struct err *err);
	/* NULL: the kind's own handler lists */
	int (*list)(
		struct web_req *req, const struct page *page, json_t **ret_list, struct err *err);
	int (*remove)(struct web_req *req, const char *id, long long revision, struct err *err);
};

/* Whole handlers. */
int record_list(
	struct web_req *req, struct web_res *res, const struct record_kind *kind, struct err *err);
int record_delete(
	struct web_req *req, struct web_res *res, const struct record_kind *kind, struct err *err);

/* Begins a create: roles and Idempotency-Key; *ret_done when the answer is that of a repetition. */
int record_create(struct web_req *req, struct web_res *res, const struct record_kind *kind,
	bool *ret_done, struct err *err);
/* Begins an update behind the check of the body: If-Match names the revision that is there. */
int record_match(struct web_req *req, const struct record_kind *kind, long long *ret_revision,
	struct err *err);

#endif
