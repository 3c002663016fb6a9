/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/orders: the order's signature and runner are verified against the policy, and the
 * protected headers of its grants compared: one per slot, for this policy, this run nonce and the
 * ordered machine key. What is inside a grant only the machine can see.
 */
#include "services/policy/orders.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/roles.h"
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

static int check_grants(const struct trust_policy *policy, const struct trust_order *order,
	const json_t *grants, json_t *list, struct err *err)
{
	const json_t *slots = json_object_get(policy->doc, "slots");
	const char *slot;
	json_t *item;
	size_t i;

	json_array_foreach (grants, i, item) {
		if (check_grant(policy, order, item, list, err) < 0)
			return -1;
	}
	json_object_foreach ((json_t *)slots, slot, item) {
		if (!json_object_get(list, slot))
			return err_set(err, ERR_UNPROCESSABLE, "grant.missing",
				"there is no grant for '%s'", slot);
	}
	return 0;
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
			trust_order_check(&policy, body.order, &order, err) < 0 ||
			check_grants(&policy, &order, body.grants, by_slot, err) < 0)
			return -1;
		id_new("ord", id);
		if (store_order_add(req,
			    &(struct store_order) { id, body.policy, &order, body.order, by_slot },
			    err) < 0)
			return -1;
		known = id;
	}
	res->status = 201;
	res->json = json_pack("{s:s}", "id", known);
	return 0;
}

int order_internal(struct web_req *req, struct web_res *res, struct err *err)
{
	return store_order_get(
		req, web_param(req, "tenant_id"), web_param(req, "order_id"), &res->json, err);
}
