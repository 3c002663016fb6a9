/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders: signature and runner are verified against the policy, and the protected headers of the
 * grants compared: for this policy, this run nonce and the ordered machine key. The runner's own
 * slots, and no others, come with the order; the owners of the others release theirs later. What is
 * inside a grant only the machine can see.
 */
#include "services/policy/orders.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "lib/wake.h"
#include "proto/roles.h"
#include "services/policy/apps.h"
#include "services/policy/policies.h"
#include "services/policy/store.h"

#define ROUTE "POST /v1/orders"
#define MAX_GRANTS 64

struct order_body {
	const char *policy;
	json_t *order, *grants;
};

static const struct json_field fields[] = {
	{ "policy", JSON_FIELD_TEXT, offsetof(struct order_body, policy), true, ID_SIZE },
	{ "order", JSON_FIELD_OBJECT, offsetof(struct order_body, order), true, 0 },
	{ "grants", JSON_FIELD_ARRAY, offsetof(struct order_body, grants), true, MAX_GRANTS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static bool header_is(const json_t *header, const char *name, const char *value)
{
	const char *found = json_text(header, name);

	return found && strcmp(found, value) == 0;
}

/* Adds {slot, jwe} to `list` when the grant's header is the ordered one. */
static int check_grant(const struct trust_policy *policy, const struct trust_order *order,
	json_t *grant, json_t *list, struct err *err)
{
	auto_json json_t *header = NULL;
	const char *slot;

	if (trust_grant_peek(grant, &header, err) < 0)
		return -1;
	slot = json_text(header, "slot");
	if (!slot || !trust_policy_slot(policy, slot))
		return err_set(err, ERR_UNPROCESSABLE, "grant.wrong_slot",
			"the policy has no slot '%s'", slot ? slot : "");
	if (!header_is(header, "policy", policy->hash))
		return err_set(err, ERR_UNPROCESSABLE, "grant.wrong_policy",
			"the grant for '%s' names another policy", slot);
	if (!header_is(header, "run_nonce", order->run_nonce))
		return err_set(err, ERR_UNPROCESSABLE, "grant.wrong_run",
			"the grant for '%s' names another run", slot);
	if (!header_is(header, "kid", order->enc_thumbprint))
		return err_set(err, ERR_UNPROCESSABLE, "grant.wrong_key",
			"the grant for '%s' is for another machine key", slot);
	if (json_object_get(list, slot))
		return err_set(err, ERR_UNPROCESSABLE, "grant.twice",
			"there are two grants for '%s'", slot);
	return json_object_set(list, slot, grant);
}

/* Who orders has no reason to let others wait for him, and gives for nobody else: what he put into
 * another's slot, its owner could not replace. */
static int check_own(const struct trust_policy *policy, const struct trust_order *order,
	const json_t *list, struct err *err)
{
	const char *slot;
	json_t *item;

	json_object_foreach (json_object_get(policy->doc, "slots"), slot, item) {
		bool is_own = header_is(item, "owner", order->runner_spki);

		if (is_own && !json_object_get(list, slot))
			return err_set(err, ERR_UNPROCESSABLE, "grant.missing",
				"there is no grant for '%s'", slot);
		if (!is_own && json_object_get(list, slot))
			return err_set(err, ERR_UNPROCESSABLE, "grant.not_the_owner",
				"the slot '%s' is another key's than the runner's", slot);
	}
	return 0;
}

static int check_grants(const struct trust_policy *policy, const struct trust_order *order,
	const json_t *grants, json_t *list, struct err *err)
{
	json_t *item;
	size_t i;

	json_array_foreach (grants, i, item) {
		if (check_grant(policy, order, item, list, err) < 0)
			return -1;
	}
	return check_own(policy, order, list, err);
}

int order_create(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_json json_t *by_slot = json_object();
	struct trust_policy policy;
	struct trust_order order;
	struct order_body body;
	const char *canonical, *known;
	char id[ID_SIZE];

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		resource_replayed(req, res, ROUTE, &known, err) < 0)
		return -1;
	if (!known) {
		if (json_decode(req->arena, req->json, fields, &body, err) < 0 ||
			store_policy_text(req, body.policy, &canonical, err) < 0 ||
			trust_policy_parse(req->arena, canonical, strlen(canonical), &policy, err) <
				0 ||
			policy_check_space(req, policy.space, err) < 0 ||
			trust_order_check(&policy, body.order, &order, err) < 0 ||
			check_grants(&policy, &order, body.grants, by_slot, err) < 0)
			return -1;
		id_new("ord", id);
		if (store_order_add(req,
			    &(struct store_order) { id, body.policy, policy.space, &order,
				    body.order, by_slot,
				    app_is_own_image(req->principal, policy.repository) },
			    err) < 0)
			return -1;
		known = id;
	}
	res->status = 201;
	res->json = json_pack("{s:s}", "id", known);
	return 0;
}

/* --- as it stands --- */

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *record_of(const struct order_row *row)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:O,s:O,s:s,s:s,s:o}", "id", row->id,
		"tenant", row->tenant, "space", row->space, "policy_id", row->policy_id,
		"policy_hash", row->policy_hash, "run_nonce", row->run_nonce, "enc", row->enc,
		"sig", row->sig, "missing", row->missing, "withdrawn", row->withdrawn, "created_by",
		row->created_by, "created_at", row->created_at, "started_at",
		text_or_null(row->started_at));
}

/* The record with what signed it and what stands against it; *ret_approvals may be kept. */
static int view_of(struct web_req *req, const struct order_row *row, json_t **ret_record,
	json_t **ret_approvals, struct err *err)
{
	json_t *blocked;

	if (store_order_approvals(req, row, ret_approvals, err) < 0)
		return -1;
	blocked = row->started_at ? NULL : order_blocked(req->arena, row, *ret_approvals);
	*ret_record = record_of(row);
	json_object_set_new(*ret_record, "order", json_loads(row->envelope, 0, NULL));
	json_object_set_new(*ret_record, "blocked", blocked ? blocked : json_null());
	return 0;
}

static int answer(struct web_req *req, struct web_res *res, const char *id, struct err *err)
{
	auto_order row = { .id = NULL };
	auto_json json_t *approvals = NULL;

	if (store_order_get(req, id, &row, err) < 0 ||
		view_of(req, &row, &res->json, &approvals, err) < 0)
		return -1;
	resource_etag(req, res, row.revision);
	return 0;
}

int order_show(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer(req, res, web_param(req, "order_id"), err);
}

/* --- grants of others --- */

struct release_body {
	json_t *releases;
};

static const struct json_field release_fields[] = {
	{ "releases", JSON_FIELD_ARRAY, offsetof(struct release_body, releases), true, MAX_GRANTS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct release {
	json_t *grant, *release;
};

static const struct json_field one_fields[] = {
	{ "grant", JSON_FIELD_OBJECT, offsetof(struct release, grant), true, 0 },
	{ "release", JSON_FIELD_OBJECT, offsetof(struct release, release), true, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int check_release(struct web_req *req, const struct trust_policy *policy,
	const struct trust_order *order, json_t *item, json_t *list, struct err *err)
{
	struct release release;

	if (json_decode(req->arena, item, one_fields, &release, err) < 0 ||
		check_grant(policy, order, release.grant, list, err) < 0)
		return -1;
	return trust_release_check(policy, release.grant, release.release, err);
}

static int check_releases(struct web_req *req, const struct order_row *row, const json_t *releases,
	json_t *list, struct err *err)
{
	struct trust_order order = { .issued_at = 0 };
	struct trust_policy policy;
	json_t *item;
	size_t i;

	if (trust_policy_parse(req->arena, row->document, strlen(row->document), &policy, err) < 0)
		return -1;
	if (json_array_size(releases) == 0)
		return err_set(err, ERR_INVALID, "release.none", "there is nothing to release");
	snprintf(order.run_nonce, sizeof(order.run_nonce), "%s", row->run_nonce);
	snprintf(order.enc_thumbprint, sizeof(order.enc_thumbprint), "%s", row->enc);
	json_array_foreach (releases, i, item) {
		if (check_release(req, &policy, &order, item, list, err) < 0)
			return err_wrap(err, "release %zu", i);
	}
	return 0;
}

static int check_not_blocked(struct web_req *req, const struct order_row *row, struct err *err)
{
	auto_json json_t *approvals = NULL, *blocked = NULL;

	if (store_order_approvals(req, row, &approvals, err) < 0)
		return -1;
	blocked = order_blocked(req->arena, row, approvals);
	return blocked ? err_set(err, ERR_CONFLICT, "order.blocked", "%s",
				 json_text(blocked, "detail"))
		       : 0;
}

int order_release(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "order_id");
	auto_json json_t *by_slot = json_object();
	auto_order row = { .id = NULL };
	struct release_body body;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		json_decode(req->arena, req->json, release_fields, &body, err) < 0 ||
		store_order_get(req, id, &row, err) < 0 ||
		check_releases(req, &row, body.releases, by_slot, err) < 0 ||
		check_not_blocked(req, &row, err) < 0 ||
		store_grants_add(req, &row, by_slot, err) < 0)
		return -1;
	wake_ring(req->worker->wake, STORE_ORDER_TOPIC, id);
	res->status = 201;
	return answer(req, res, id, err);
}

int order_withdraw(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "order_id");
	auto_order row = { .id = NULL };

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		store_order_get(req, id, &row, err) < 0 ||
		store_grant_withdraw(req, &row, web_param(req, "slot"), err) < 0)
		return -1;
	wake_ring(req->worker->wake, STORE_ORDER_TOPIC, id);
	res->status = 204;
	return 0;
}

/* --- for the orchestrator --- */

static int answer_internal(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_json json_t *grants = NULL, *constraints = NULL, *approvals = NULL;
	auto_order row = { .id = NULL };

	if (store_order_of(
		    req, web_param(req, "tenant_id"), web_param(req, "order_id"), &row, err) < 0 ||
		store_order_grants(req, &row, &grants, err) < 0 ||
		store_order_constraints(req, &row, &constraints, err) < 0 ||
		view_of(req, &row, &res->json, &approvals, err) < 0)
		return -1;
	json_object_set_new(res->json, "document", json_string(row.document));
	json_object_set_new(res->json, "image_tenant", text_or_null(row.image_tenant));
	json_object_set(res->json, "grants", grants);
	json_object_set(res->json, "approvals", approvals);
	json_object_set(res->json, "constraints", constraints);
	return 0;
}

int order_internal(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer_internal(req, res, err);
}

static bool is_free(struct arena *arena, const struct order_row *row, const json_t *approvals)
{
	auto_json json_t *blocked = order_blocked(arena, row, approvals);

	return !blocked && json_array_size(row->missing) == 0;
}

/* Answered with what it is now, whether that is started or not. */
int order_start(struct web_req *req, struct web_res *res, struct err *err)
{
	bool started;

	if (store_order_start(req, web_param(req, "tenant_id"), web_param(req, "order_id"), is_free,
		    &started, err) < 0)
		return -1;
	return answer_internal(req, res, err);
}
