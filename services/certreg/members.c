/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a tenant: who they are and which roles they have. */
#include "services/certreg/members.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/service.h"
#include "services/certreg/store.h"

/* --- rules --- */

bool roles_have(const char *roles, const char *role)
{
	size_t len = strlen(role);

	for (const char *at = roles; (at = strstr(at, role)); at += len) {
		bool starts = at == roles || at[-1] == ' ';

		if (starts && (at[len] == '\0' || at[len] == ' '))
			return true;
	}
	return false;
}

bool member_may_act_for(
	const struct principal *who, const char *member_id, const char *member_roles)
{
	if (strcmp(who->subject, member_id) == 0 || roles_have(who->roles, "owner"))
		return true;
	return roles_have(who->roles, "admin") && !roles_have(member_roles, "owner");
}

/* --- answers --- */

static json_t *roles_json(const char *roles)
{
	json_t *list = json_array();

	for (const char *at = roles; *at;) {
		size_t len = strcspn(at, " ");

		json_array_append_new(list, json_stringn(at, len));
		at += len + (at[len] == ' ');
	}
	return list;
}

json_t *member_json(const struct member *member)
{
	return json_pack("{s:s,s:s,s:o,s:s,s:s}", "id", member->id, "name", member->name, "roles",
		roles_json(member->roles), "state", member->state, "created_at",
		member->created_at);
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
	struct member member;

	if (store_member(req->worker->db, who->tenant, who->subject, req->arena, &member, err) < 0)
		return -1;
	res->json = member_json(&member);
	json_object_set_new(res->json, "tenant", json_string(who->tenant));
	json_object_set_new(res->json, "space", json_string(who->space));
	resource_etag(req, res, member.revision);
	return 0;
}
