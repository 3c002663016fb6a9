/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller's own tenant, and for operators the life of all: a new one comes with an invitation
 * for its first owner, and no operator is ever a member of it. Suspending ends its live tokens.
 */
#include "services/certreg/tenants.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/service.h"
#include "services/certreg/invitations.h"
#include "services/certreg/names.h"
#include "services/certreg/roles.h"
#include "services/certreg/store_members.h"
#include "services/certreg/store_tokens.h"

json_t *tenant_json(const struct tenant *tenant)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s}", "id", tenant->id, "name", tenant->name, "space",
		tenant->space, "state", tenant->state, "created_at", tenant->created_at);
}

static int answer(
	struct web_req *req, struct web_res *res, const char *id, int status, struct err *err)
{
	struct tenant tenant;

	if (store_tenant(req->worker->db, id, req->arena, &tenant, err) < 0)
		return -1;
	res->status = status;
	res->json = tenant_json(&tenant);
	resource_etag(req, res, tenant.revision);
	return 0;
}

int tenant_self(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer(req, res, req->principal->tenant, 200, err);
}

/* --- operators --- */

static int must_operate(const struct web_req *req, struct err *err)
{
	if (roles_have(req->principal->roles, "operator"))
		return 0;
	return err_set(err, ERR_FORBIDDEN, "auth.role_missing",
		"tenants are for the operators of the instance");
}

int tenant_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct page page;

	if (must_operate(req, err) < 0 || resource_page(req, &page, err) < 0)
		return -1;
	return store_tenant_list(req->worker->db, req->arena, &page, &res->json, err);
}

int tenant_show(struct web_req *req, struct web_res *res, struct err *err)
{
	if (must_operate(req, err) < 0)
		return -1;
	return answer(req, res, web_param(req, "tenant_id"), 200, err);
}

struct tenant_input {
	const char *name;
	json_t *owner;
};

static const struct json_field fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct tenant_input, name), true, LABEL_MAX },
	{ "owner", JSON_FIELD_OBJECT, offsetof(struct tenant_input, owner), true, 8 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* Its name is its key: who asks again is told tenant.exists. */
int tenant_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct tenant_input input = { .name = NULL };
	struct invitation owner = { .roles = "owner" };
	char id[ID_SIZE], space[ID_SIZE];
	struct tenant tenant = { .id = id, .space = space };

	if (must_operate(req, err) < 0 ||
		json_decode(req->arena, req->json, fields, &input, err) < 0 ||
		label_check(input.name, err) < 0 ||
		invitation_read(req, input.owner, &owner, err) < 0)
		return -1;
	id_new("tnt", id);
	id_new("spc", space);
	tenant.name = input.name;
	if (store_tenant_found(req->worker->db, &tenant, &owner, err) < 0 ||
		answer(req, res, id, 201, err) < 0)
		return -1;
	json_object_set_new(res->json, "invitation", json_string(owner.id));
	web_header_add(res, "Location", arena_printf(req->arena, "/v1/tenants/%s", id));
	return 0;
}

/* --- from one state to another --- */

static int set_state(
	struct web_req *req, struct web_res *res, const char *from, const char *to, struct err *err)
{
	const char *id = web_param(req, "tenant_id");
	struct tenant tenant;

	if (must_operate(req, err) < 0 ||
		store_tenant(req->worker->db, id, req->arena, &tenant, err) < 0 ||
		resource_if_match(req, tenant.revision, err) < 0)
		return -1;
	if (strcmp(tenant.name, SYSTEM_TENANT) == 0)
		return err_set(err, ERR_CONFLICT, "tenant.system",
			"the instance's own tenant always stays active");
	if (strcmp(tenant.state, from) != 0)
		return err_set(err, ERR_CONFLICT, "tenant.bad_state", "the tenant is %s, not %s",
			tenant.state, from);
	if (store_tenant_set_state(req->worker->db, &tenant, to, err) < 0)
		return -1;
	store_revocation_ring(req->worker);
	return answer(req, res, id, 200, err);
}

int tenant_suspend(struct web_req *req, struct web_res *res, struct err *err)
{
	return set_state(req, res, "active", "suspended", err);
}

int tenant_resume(struct web_req *req, struct web_res *res, struct err *err)
{
	return set_state(req, res, "suspended", "active", err);
}

int tenant_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	return set_state(req, res, "suspended", "deleted", err);
}
