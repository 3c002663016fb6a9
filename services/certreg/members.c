/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a tenant: who they are, which roles they have, and their end. A change of roles or
 * state ends their live tokens. */
#include "services/certreg/members.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/service.h"
#include "services/certreg/names.h"
#include "services/certreg/roles.h"
#include "services/certreg/store_members.h"
#include "services/certreg/store_tokens.h"

#define ROLES_MAX 8

/* --- rules --- */

bool member_may_act_for(
	const struct principal *who, const char *member_id, const char *member_roles)
{
	return strcmp(who->subject, member_id) == 0 || roles_may_give(who, member_roles);
}

static int must_give(const struct principal *who, const char *roles, struct err *err)
{
	if (roles_may_give(who, roles))
		return 0;
	return err_set(err, ERR_FORBIDDEN, "auth.role_missing",
		"members are for owner and admin, owners for owners only");
}

/* --- answers --- */

json_t *member_json(const struct member *member)
{
	return json_pack("{s:s,s:s,s:s,s:o,s:s,s:s}", "id", member->id, "name", member->name,
		"kind", member->kind, "roles", roles_json(member->roles), "state", member->state,
		"created_at", member->created_at);
}

static int answer(
	struct web_req *req, struct web_res *res, const char *id, int status, struct err *err)
{
	struct member member;

	if (store_member(req->worker->db, req->principal->tenant, id, req->arena, &member, err) < 0)
		return -1;
	res->status = status;
	res->json = member_json(&member);
	resource_etag(req, res, member.revision);
	return 0;
}

int member_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct page page;

	if (resource_page(req, &page, err) < 0)
		return -1;
	return store_member_list(req->worker->db, req->principal->tenant, &page, &res->json, err);
}

int member_self(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct principal *who = req->principal;

	if (answer(req, res, who->subject, 200, err) < 0)
		return -1;
	json_object_set_new(res->json, "tenant", json_string(who->tenant));
	json_object_set_new(res->json, "space", json_string(who->space));
	return 0;
}

int member_show(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer(req, res, web_param(req, "member_id"), 200, err);
}

/* --- service accounts --- */

struct member_input {
	const char *name, *state;
	json_t *roles;
};

static const struct json_field account_fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct member_input, name), true, LABEL_MAX },
	{ "roles", JSON_FIELD_ARRAY, offsetof(struct member_input, roles), true, ROLES_MAX },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int member_create(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct principal *who = req->principal;
	const struct tenant tenant = { .id = who->tenant, .space = who->space };
	struct member_input input = { .name = NULL };
	struct member member = { .kind = "service" };
	const char *made;
	char id[ID_SIZE];

	if (resource_replayed(req, res, MEMBERS_ROUTE, &made, err) < 0)
		return -1;
	if (made)
		return answer(req, res, made, 201, err);
	if (json_decode(req->arena, req->json, account_fields, &input, err) < 0 ||
		label_check(input.name, err) < 0 ||
		roles_read(req->arena, input.roles, who->tenant_name, &member.roles, err) < 0 ||
		must_give(who, member.roles, err) < 0)
		return -1;
	id_new("mbr", id);
	member.id = id;
	member.name = input.name;
	if (store_member_add(req->worker->db, req, &tenant, &member, err) < 0)
		return -1;
	web_header_add(res, "Location", arena_printf(req->arena, "/v1/members/%s", id));
	return answer(req, res, id, 201, err);
}

/* --- changing --- */

static const struct json_field change_fields[] = {
	{ "roles", JSON_FIELD_ARRAY, offsetof(struct member_input, roles), true, ROLES_MAX },
	{ "state", JSON_FIELD_TEXT, offsetof(struct member_input, state), true, 16 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* The member of the path, whom the caller may change. */
static int find_to_change(struct web_req *req, struct member *ret_member, struct err *err)
{
	const struct principal *who = req->principal;

	if (store_member(req->worker->db, who->tenant, web_param(req, "member_id"), req->arena,
		    ret_member, err) < 0 ||
		must_give(who, ret_member->roles, err) < 0 ||
		resource_if_match(req, ret_member->revision, err) < 0)
		return -1;
	if (strcmp(ret_member->state, "removed") == 0)
		return err_set(err, ERR_CONFLICT, "member.removed", "the member was removed");
	return 0;
}

static int read_change(struct web_req *req, struct member *member, struct err *err)
{
	const struct principal *who = req->principal;
	struct member_input input = { .name = NULL };

	if (json_decode(req->arena, req->json, change_fields, &input, err) < 0)
		return -1;
	if (strcmp(input.state, "active") != 0 && strcmp(input.state, "disabled") != 0)
		return err_set(err, ERR_INVALID, "member.bad_state",
			"state is active or disabled; DELETE removes a member");
	member->state = input.state;
	if (roles_read(req->arena, input.roles, who->tenant_name, &member->roles, err) < 0)
		return -1;
	return must_give(who, member->roles, err);
}

int member_update(struct web_req *req, struct web_res *res, struct err *err)
{
	struct member member;

	if (find_to_change(req, &member, err) < 0 || read_change(req, &member, err) < 0 ||
		store_member_update(req->worker->db, req->principal, &member, err) < 0)
		return -1;
	store_revocation_ring(req->worker);
	return answer(req, res, member.id, 200, err);
}

int member_remove(struct web_req *req, struct web_res *res, struct err *err)
{
	struct member member;

	if (find_to_change(req, &member, err) < 0)
		return -1;
	member.state = "removed";
	if (store_member_update(req->worker->db, req->principal, &member, err) < 0)
		return -1;
	store_revocation_ring(req->worker);
	return answer(req, res, member.id, 200, err);
}
