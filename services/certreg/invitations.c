/* SPDX-License-Identifier: Apache-2.0 */
/* Inviting members, and becoming one. */
#include "services/certreg/invitations.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/service.h"
#include "services/certreg/credentials.h"
#include "services/certreg/keys.h"
#include "services/certreg/members.h"
#include "services/certreg/names.h"
#include "services/certreg/roles.h"
#include "services/certreg/store_members.h"
#include "services/certreg/tenants.h"

#define ROLES_MAX 8

int invitation_refuse(struct err *err)
{
	return err_set(err, ERR_UNAUTHENTICATED, "invitation.invalid",
		"there is no open invitation of this id and secret");
}

json_t *invitation_json(const struct invitation *invitation)
{
	return json_pack("{s:s,s:s,s:o,s:s,s:s,s:s,s:s}", "id", invitation->id, "name",
		invitation->name, "roles", roles_json(invitation->roles), "state",
		invitation->state, "inviter", invitation->inviter, "created_at",
		invitation->created_at, "expires_at", invitation->expires_at);
}

/* --- inviting --- */

struct invitation_input {
	const char *id, *name, *hash, *expires_at;
	json_t *roles;
};

#define FIELD(name, kind, required, max)                                                           \
	{                                                                                          \
#name, kind, offsetof(struct invitation_input, name), required, max                \
	}
static const struct json_field fields[] = {
	FIELD(id, JSON_FIELD_TEXT, true, ID_SIZE),
	FIELD(name, JSON_FIELD_TEXT, true, LABEL_MAX),
	FIELD(hash, JSON_FIELD_DIGEST, true, 0),
	FIELD(expires_at, JSON_FIELD_TEXT, true, CLOCK_TEXT_SIZE),
	FIELD(roles, JSON_FIELD_ARRAY, false, ROLES_MAX),
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int read_roles(
	struct web_req *req, const json_t *roles, struct invitation *invitation, struct err *err)
{
	if (invitation->roles && roles)
		return err_set(err, ERR_INVALID, "role.unknown",
			"the first member of a tenant is its owner");
	if (invitation->roles)
		return 0;
	return roles_read(req->arena, roles, req->principal->tenant_name, &invitation->roles, err);
}

int invitation_read(
	struct web_req *req, json_t *object, struct invitation *invitation, struct err *err)
{
	struct invitation_input input = { .id = NULL };
	char *mac = arena_alloc(req->arena, CREDENTIAL_MAC_SIZE);

	if (json_decode(req->arena, object, fields, &input, err) < 0)
		return -1;
	if (!id_is(input.id, "inv"))
		return err_set(err, ERR_INVALID, "invitation.bad_id",
			"an id is inv_ and a UUIDv7 in 32 hex digits");
	if (label_check(input.name, err) < 0 || key_check_expiry(input.expires_at, err) < 0 ||
		read_roles(req, input.roles, invitation, err) < 0)
		return -1;
	credential_mac(certreg_of(req->worker), input.hash, mac);
	invitation->id = input.id;
	invitation->name = input.name;
	invitation->expires_at = input.expires_at;
	invitation->inviter = req->principal->subject;
	invitation->mac = mac;
	return 0;
}

static int must_manage(const struct principal *who, const char *roles, struct err *err)
{
	if (roles_may_give(who, roles))
		return 0;
	return err_set(err, ERR_FORBIDDEN, "auth.role_missing",
		"invitations are for owner and admin, of owners for owners only");
}

static int answer(
	struct web_req *req, struct web_res *res, const char *id, int status, struct err *err)
{
	struct invitation invitation;

	if (store_invitation(
		    req->worker->db, req->principal->tenant, id, req->arena, &invitation, err) < 0)
		return -1;
	res->status = status;
	res->json = invitation_json(&invitation);
	resource_etag(req, res, invitation.revision);
	return 0;
}

int invitation_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct invitation invitation = { .roles = NULL };
	const char *made;

	if (resource_replayed(req, res, INVITATIONS_ROUTE, &made, err) < 0)
		return -1;
	if (made)
		return answer(req, res, made, 201, err);
	if (must_manage(req->principal, "", err) < 0 ||
		invitation_read(req, req->json, &invitation, err) < 0 ||
		must_manage(req->principal, invitation.roles, err) < 0 ||
		store_invitation_add(req->worker->db, req, &invitation, err) < 0)
		return -1;
	web_header_add(
		res, "Location", arena_printf(req->arena, "/v1/invitations/%s", invitation.id));
	return answer(req, res, invitation.id, 201, err);
}

int invitation_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct page page;

	if (must_manage(req->principal, "", err) < 0 || resource_page(req, &page, err) < 0)
		return -1;
	return store_invitation_list(
		req->worker->db, req->principal->tenant, &page, &res->json, err);
}

int invitation_show(struct web_req *req, struct web_res *res, struct err *err)
{
	if (must_manage(req->principal, "", err) < 0)
		return -1;
	return answer(req, res, web_param(req, "invitation_id"), 200, err);
}

int invitation_withdraw(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct principal *who = req->principal;
	struct invitation invitation;

	if (must_manage(who, "", err) < 0 ||
		store_invitation(req->worker->db, who->tenant, web_param(req, "invitation_id"),
			req->arena, &invitation, err) < 0 ||
		must_manage(who, invitation.roles, err) < 0 ||
		resource_if_match(req, invitation.revision, err) < 0 ||
		store_invitation_withdraw(req->worker->db, who->tenant, &invitation, err) < 0)
		return -1;
	return answer(req, res, invitation.id, 200, err);
}

/* --- accepting --- */

struct acceptance {
	const char *secret;
	json_t *key;
};

static const struct json_field acceptance_fields[] = {
	{ "secret", JSON_FIELD_TEXT, offsetof(struct acceptance, secret), true, 128 },
	{ "key", JSON_FIELD_OBJECT, offsetof(struct acceptance, key), true, 8 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int check_secret(struct web_req *req, const char *id, const char *secret,
	struct offer *ret_offer, struct err *err)
{
	char hash[DIGEST_TEXT_SIZE], mac[CREDENTIAL_MAC_SIZE];
	struct offer offer = { .mac = NULL };
	bool found, same;

	if (!id_is(id, "inv"))
		return invitation_refuse(err);
	if (store_offer(req->worker->db, id, req->arena, &offer, &found, err) < 0)
		return -1;
	digest_text(secret, strlen(secret), hash);
	credential_mac(certreg_of(req->worker), hash, mac);
	same = credential_same_mac(found ? offer.mac : NULL, mac);
	if (!found || !same)
		return invitation_refuse(err);
	*ret_offer = offer;
	return 0;
}

static int read_acceptance(struct web_req *req, struct acceptance *ret_acceptance,
	struct key *ret_key, struct err *err)
{
	if (json_decode(req->arena, req->json, acceptance_fields, ret_acceptance, err) < 0)
		return -1;
	return key_read_first(req, ret_acceptance->key, ret_key, err);
}

int invitation_accept(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "invitation_id");
	struct acceptance acceptance = { .secret = NULL };
	char member_id[ID_SIZE];
	struct member member = { .id = member_id };
	struct tenant tenant;
	struct offer offer = { .tenant = NULL };
	struct key key;

	id_new("mbr", member_id);
	if (auth_limit_attempt(req->worker->auth, req, id, err) < 0 ||
		read_acceptance(req, &acceptance, &key, err) < 0 ||
		check_secret(req, id, acceptance.secret, &offer, err) < 0)
		return -1;
	key.member = member.id;
	if (store_invitation_accept(
		    req->worker->db, req->arena, offer.tenant, id, &member, &key, err) < 0 ||
		store_tenant(req->worker->db, offer.tenant, req->arena, &tenant, err) < 0 ||
		store_member(req->worker->db, offer.tenant, member_id, req->arena, &member, err) <
			0)
		return -1;
	res->status = 201;
	res->json = json_pack("{s:o,s:o,s:s}", "tenant", tenant_json(&tenant), "member",
		member_json(&member), "key", key.id);
	return 0;
}
