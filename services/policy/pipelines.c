/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of /v1/pipelines. */
#include "services/policy/pipelines.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/roles.h"
#include "services/policy/name.h"
#include "services/policy/record.h"
#include "services/policy/store.h"

struct pipeline_body {
	const char *name, *template, *policy;
};

static const struct json_field create_fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct pipeline_body, name), true, 63 },
	{ "template", JSON_FIELD_TEXT, offsetof(struct pipeline_body, template), true, 63 },
	{ "policy", JSON_FIELD_TEXT, offsetof(struct pipeline_body, policy), true, ID_SIZE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static const struct json_field update_fields[] = {
	{ "template", JSON_FIELD_TEXT, offsetof(struct pipeline_body, template), true, 63 },
	{ "policy", JSON_FIELD_TEXT, offsetof(struct pipeline_body, policy), true, ID_SIZE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* The policy must be there, and name the same template. */
static int check_policy(struct web_req *req, const struct pipeline_body *body, struct err *err)
{
	struct trust_policy policy;
	const char *canonical;

	if (store_policy_text(req, body->policy, &canonical, err) < 0 ||
		trust_policy_parse(req->arena, canonical, strlen(canonical), &policy, err) < 0)
		return -1;
	if (strcmp(policy.template_id, body->template) == 0)
		return 0;
	return err_set(err, ERR_UNPROCESSABLE, "pipeline.other_template",
		"the policy is for the template '%s'", policy.template_id);
}

static int get(struct web_req *req, const char *id, json_t **ret_record, long long *ret_revision,
	struct err *err)
{
	return store_pipeline_get(req, req->principal->tenant, id, ret_record, ret_revision, err);
}

static const struct record_kind kind = { "/v1/pipelines", "pipeline_id", ROLES_WORK,
	&store_pipeline_read, get, store_pipeline_list, store_pipeline_delete };

int pipeline_list(struct web_req *req, struct web_res *res, struct err *err)
{
	return record_list(req, res, &kind, err);
}

int pipeline_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	return record_delete(req, res, &kind, err);
}

int pipeline_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct pipeline_body body;
	struct store_pipeline item;
	char id[ID_SIZE];
	bool is_done;

	if (record_create(req, res, &kind, &is_done, err) < 0)
		return -1;
	if (is_done)
		return 0;
	if (json_decode(req->arena, req->json, create_fields, &body, err) < 0 ||
		name_check(body.name, "/name", err) < 0 || check_policy(req, &body, err) < 0)
		return -1;
	id_new("pip", id);
	item = (struct store_pipeline) { id, body.name, body.template, body.policy, 0 };
	if (store_pipeline_add(req, &item, err) < 0)
		return -1;
	res->status = 201;
	return web_read_answer(req, res, &store_pipeline_read, id, err);
}

int pipeline_update(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "pipeline_id");
	struct pipeline_body body;
	struct store_pipeline item;
	long long revision;

	if (principal_need_role(req->principal, kind.roles, err) < 0 ||
		json_decode(req->arena, req->json, update_fields, &body, err) < 0 ||
		record_match(req, &kind, &revision, err) < 0 || check_policy(req, &body, err) < 0)
		return -1;
	item = (struct store_pipeline) { id, NULL, body.template, body.policy, revision };
	if (store_pipeline_update(req, &item, err) < 0)
		return -1;
	return web_read_answer(req, res, &store_pipeline_read, id, err);
}

int pipeline_internal(struct web_req *req, struct web_res *res, struct err *err)
{
	return store_pipeline_get(req, web_param(req, "tenant_id"), web_param(req, "pipeline_id"),
		&res->json, NULL, err);
}
