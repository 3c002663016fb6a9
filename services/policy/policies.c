/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of /v1/policies: the document is read and hashed here, its approvals verified, then both
 * are stored. */
#include "services/policy/policies.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "lib/wake.h"
#include "proto/roles.h"
#include "services/policy/apps.h"
#include "services/policy/explain.h"
#include "services/policy/store.h"

#define MAX_APPROVALS 64

struct policy_body {
	json_t *policy;
	json_t *approvals;
};

static const struct json_field create_fields[] = {
	{ "policy", JSON_FIELD_OBJECT, offsetof(struct policy_body, policy), true, 0 },
	{ "approvals", JSON_FIELD_ARRAY, offsetof(struct policy_body, approvals), true,
		MAX_APPROVALS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct approval_body {
	json_t *approval;
};

static const struct json_field approve_fields[] = {
	{ "approval", JSON_FIELD_OBJECT, offsetof(struct approval_body, approval), true, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int check_approvals(
	const struct trust_policy *policy, const json_t *approvals, struct err *err)
{
	long long now = clock_unix_ms() / 1000;
	json_t *envelope;
	size_t i;

	if (json_array_size(approvals) == 0)
		return err_set(err, ERR_UNPROCESSABLE, "approval.missing",
			"a policy comes with at least its author's approval");
	json_array_foreach (approvals, i, envelope) {
		if (trust_approval_check(policy, envelope, now, err) < 0)
			return err_wrap(err, "approval %zu", i);
	}
	return 0;
}

int policy_check_space(const struct web_req *req, const char *space, struct err *err)
{
	if (principal_in_space(req->principal, space))
		return 0;
	return err_set(
		err, ERR_UNPROCESSABLE, "policy.wrong_space", "the caller is in no such space");
}

static bool is_dry_run(const struct web_req *req)
{
	const char *asked = web_query(req, "validate_only");

	return asked && strcmp(asked, "true") == 0;
}

int policy_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct store_policy item = { 0 };
	auto_constraints constraints = { 0 };
	struct trust_policy policy;
	struct policy_body body;
	auto_free char *canonical = NULL;
	size_t len;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		json_decode(req->arena, req->json, create_fields, &body, err) < 0 ||
		trust_policy_read(req->arena, body.policy, &policy, err) < 0 ||
		policy_check_space(req, policy.space, err) < 0 ||
		app_check_policy(req, &policy, err) < 0 ||
		constraints_of(req, &policy, &constraints, err) < 0)
		return -1;
	if (is_dry_run(req)) {
		res->json = explain_validated(&policy, body.approvals, &constraints);
		return 0;
	}
	if (check_approvals(&policy, body.approvals, err) < 0 ||
		constraints_check(&policy, &constraints, err) < 0 ||
		jcs_encode(body.policy, &canonical, &len, err) < 0)
		return -1;

	item.policy = &policy;
	item.canonical = canonical;
	item.approvals = body.approvals;
	item.constraints = constraints.texts;
	id_new("pol", item.id);
	if (store_policy_add(req, &item, err) < 0)
		return -1;
	res->status = item.existed ? 200 : 201;
	return record_answer(req, res, &policy_kind, item.id, err);
}

int policy_list(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *space = web_query(req, "space"), *image = web_query(req, "image");
	unsigned char ignored[DIGEST_SIZE];
	struct page page;

	if (resource_page(req, &page, err) < 0 ||
		(space && policy_check_space(req, space, err) < 0))
		return -1;
	if (image && digest_parse(image, ignored, NULL) < 0)
		return err_set(err, ERR_INVALID, "policy.bad_image",
			"image is the sha256 digest of a manifest");
	return store_policy_list(req, &page, space, image, &res->json, err);
}

/* The vote of whoever is in the policy's space, whatever tenant the policy is of: what counts is
 * the signature by a key that the policy names. */
int policy_approve(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "policy_id");
	struct store_vote vote = { .policy_id = id };
	struct trust_policy policy;
	struct approval_body body;
	const char *canonical;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		json_decode(req->arena, req->json, approve_fields, &body, err) < 0 ||
		store_policy_seen(req, id, &vote.tenant, &canonical, err) < 0 ||
		trust_policy_parse(req->arena, canonical, strlen(canonical), &policy, err) < 0 ||
		trust_approval_check(&policy, body.approval, clock_unix_ms() / 1000, err) < 0)
		return -1;
	vote.space = policy.space;
	vote.envelope = body.approval;
	if (store_approval_add(req, &vote, err) < 0)
		return -1;
	wake_ring(req->worker->wake, STORE_ORDER_TOPIC, id);
	res->status = 201;
	return record_answer(req, res, &policy_kind, id, err);
}
