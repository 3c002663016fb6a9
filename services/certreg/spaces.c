/* SPDX-License-Identifier: Apache-2.0 */
/* Spaces: founding, inviting, joining, leaving. */
#include "services/certreg/spaces.h"

#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "proto/trust.h"
#include "services/certreg/issuer.h"
#include "services/certreg/names.h"
#include "services/certreg/roles.h"
#include "services/certreg/store_certificates.h"
#include "services/certreg/store_spaces.h"
#include "services/certreg/store_tokens.h"

#define ENVELOPE_MEMBERS 4

static int must_manage(const struct web_req *req, struct err *err)
{
	const struct principal *who = req->principal;

	if (roles_manage(who) && !roles_have(who->roles, "operator"))
		return 0;
	return err_set(err, ERR_FORBIDDEN, "auth.role_missing", "spaces are for owner and admin");
}

json_t *space_json(const struct space *space)
{
	return json_pack("{s:s,s:s,s:b,s:s}", "id", space->id, "name", space->name, "founder",
		space->is_founder, "created_at", space->created_at);
}

static int find(struct web_req *req, struct space *ret_space, struct err *err)
{
	return store_space(req->worker->db, req->principal->tenant, web_param(req, "space_id"),
		req->arena, ret_space, err);
}

static int answer(
	struct web_req *req, struct web_res *res, const char *id, int status, struct err *err)
{
	const char *tenant = req->principal->tenant;
	json_t *members = NULL;
	struct space space;

	if (store_space(req->worker->db, tenant, id, req->arena, &space, err) < 0 ||
		store_space_members(req->worker->db, tenant, id, &members, err) < 0)
		return -1;
	res->status = status;
	res->json = space_json(&space);
	json_object_set_new(res->json, "members", members);
	resource_etag(req, res, space.revision);
	return 0;
}

/* --- founding, looking --- */

struct space_input {
	const char *name;
};

static const struct json_field space_fields[] = {
	{ "name", JSON_FIELD_TEXT, offsetof(struct space_input, name), true, LABEL_MAX },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int space_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct space_input input = { .name = NULL };
	char id[ID_SIZE];
	struct space space = { .id = id };
	const char *made;

	if (must_manage(req, err) < 0 || resource_replayed(req, res, SPACES_ROUTE, &made, err) < 0)
		return -1;
	if (made)
		return answer(req, res, made, 201, err);
	if (json_decode(req->arena, req->json, space_fields, &input, err) < 0 ||
		label_check(input.name, err) < 0)
		return -1;
	id_new("spc", id);
	space.name = input.name;
	if (store_space_add(req->worker->db, req, &space, err) < 0)
		return -1;
	web_header_add(res, "Location", arena_printf(req->arena, "/v1/spaces/%s", id));
	return answer(req, res, id, 201, err);
}

int space_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct page page;

	if (resource_page(req, &page, err) < 0)
		return -1;
	return store_space_list(req->worker->db, req->principal->tenant, &page, &res->json, err);
}

int space_show(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer(req, res, web_param(req, "space_id"), 200, err);
}

/* For the policy service. A space that nobody is in is one that nobody has. */
int space_tenants(struct web_req *req, struct web_res *res, struct err *err)
{
	return store_space_tenants(req->worker->db, web_param(req, "space_id"), &res->json, err);
}

/* --- inviting --- */

struct papers {
	json_t *invitation, *acceptance;
};

static const struct json_field invitation_fields[] = {
	{ "invitation", JSON_FIELD_OBJECT, offsetof(struct papers, invitation), true,
		ENVELOPE_MEMBERS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

json_t *space_invitation_json(const struct space_invitation *invitation)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o}", "id", invitation->id, "space",
		invitation->space, "digest", invitation->digest, "to", invitation->invited, "state",
		invitation->state, "created_at", invitation->created_at, "expires_at",
		invitation->expires_at, "invitation", json_loads(invitation->envelope, 0, NULL));
}

static int find_to_invite(struct web_req *req, struct space *ret_space, struct err *err)
{
	if (must_manage(req, err) < 0 || find(req, ret_space, err) < 0)
		return -1;
	if (!ret_space->is_founder)
		return err_set(err, ERR_FORBIDDEN, "space.not_founder",
			"invitations are for the founder of the space");
	return 0;
}

/* The signature is by a certificate of the caller, over this very space. */
static int check_invitation(struct web_req *req, const struct space *space, const json_t *envelope,
	struct space_invitation *ret_invitation, struct err *err)
{
	const struct principal *who = req->principal;
	char spki[DIGEST_TEXT_SIZE], *digest = arena_alloc(req->arena, DIGEST_TEXT_SIZE);
	struct trust_invitation words;

	if (trust_invitation_check(req->arena, envelope, issuer_now(), &words, spki, digest, err) <
			0 ||
		store_certificate_is_own(req->worker->db, who->tenant, who->subject, spki, err) < 0)
		return -1;
	if (strcmp(words.space, space->id) != 0 || strcmp(words.name, space->name) != 0 ||
		strcmp(words.tenant, who->tenant_name) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "space_invitation.wrong_space",
			"the invitation names another space, or another tenant");
	*ret_invitation = (struct space_invitation) {
		.space = space->id,
		.digest = digest,
		.invited = words.to,
		.expires_at_s = words.expires_at,
	};
	return 0;
}

static int answer_invitation(
	struct web_req *req, struct web_res *res, const char *id, int status, struct err *err)
{
	struct space_invitation invitation;

	if (store_space_invitation(req->worker->db, req->principal->tenant,
		    web_param(req, "space_id"), id, req->arena, &invitation, err) < 0)
		return -1;
	res->status = status;
	res->json = space_invitation_json(&invitation);
	resource_etag(req, res, invitation.revision);
	return 0;
}

int space_invite(struct web_req *req, struct web_res *res, struct err *err)
{
	struct papers papers = { .invitation = NULL };
	struct space_invitation invitation;
	auto_free char *text = NULL;
	struct space space;
	const char *made;
	char id[ID_SIZE];

	if (find_to_invite(req, &space, err) < 0 ||
		resource_replayed(req, res, SPACE_INVITATIONS_ROUTE, &made, err) < 0)
		return -1;
	if (made)
		return answer_invitation(req, res, made, 201, err);
	if (json_decode(req->arena, req->json, invitation_fields, &papers, err) < 0 ||
		check_invitation(req, &space, papers.invitation, &invitation, err) < 0)
		return -1;
	id_new("inv", id);
	text = json_dumps(papers.invitation, JSON_COMPACT);
	invitation.id = id;
	invitation.envelope = text;
	if (store_space_invitation_add(req->worker->db, req, &invitation, err) < 0)
		return -1;
	web_header_add(res, "Location",
		arena_printf(req->arena, "/v1/spaces/%s/invitations/%s", space.id, id));
	return answer_invitation(req, res, id, 201, err);
}

int space_invitation_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct space space;
	struct page page;

	if (find_to_invite(req, &space, err) < 0 || resource_page(req, &page, err) < 0)
		return -1;
	return store_space_invitation_list(
		req->worker->db, req->principal->tenant, space.id, &page, &res->json, err);
}

int space_invitation_withdraw(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *tenant = req->principal->tenant, *id = web_param(req, "invitation_id");
	struct space_invitation invitation;
	struct space space;

	if (find_to_invite(req, &space, err) < 0 ||
		store_space_invitation(
			req->worker->db, tenant, space.id, id, req->arena, &invitation, err) < 0 ||
		resource_if_match(req, invitation.revision, err) < 0 ||
		store_space_invitation_withdraw(req->worker->db, tenant, &invitation, err) < 0)
		return -1;
	return answer_invitation(req, res, id, 200, err);
}

/* --- joining, leaving --- */

static const struct json_field papers_fields[] = {
	{ "invitation", JSON_FIELD_OBJECT, offsetof(struct papers, invitation), true,
		ENVELOPE_MEMBERS },
	{ "acceptance", JSON_FIELD_OBJECT, offsetof(struct papers, acceptance), true,
		ENVELOPE_MEMBERS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* Unknown, withdrawn and for another space: one answer. */
static int check_open(struct web_req *req, const struct trust_invitation *words, const char *digest,
	struct err *err)
{
	const char *id = web_param(req, "space_id");
	bool open;

	if (store_space_is_open(req->worker->db, id, digest, &open, err) < 0)
		return -1;
	if (!open || strcmp(words->space, id) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "space_invitation.not_open",
			"there is no such open invitation");
	return 0;
}

static int check_papers(struct web_req *req, const struct papers *papers,
	struct trust_invitation *ret_words, char ret_digest[DIGEST_TEXT_SIZE], struct err *err)
{
	const struct principal *who = req->principal;
	char spki[DIGEST_TEXT_SIZE];

	if (trust_invitation_check(req->arena, papers->invitation, issuer_now(), ret_words, spki,
		    ret_digest, err) < 0 ||
		trust_acceptance_check(
			papers->acceptance, ret_words, ret_digest, who->tenant_name, err) < 0 ||
		store_certificate_is_own(
			req->worker->db, who->tenant, who->subject, ret_words->to, err) < 0)
		return -1;
	return check_open(req, ret_words, ret_digest, err);
}

int space_join(struct web_req *req, struct web_res *res, struct err *err)
{
	struct papers papers = { .invitation = NULL };
	char digest[DIGEST_TEXT_SIZE];
	struct trust_invitation words;
	auto_free char *text = NULL;
	struct space_joining joining;

	if (must_manage(req, err) < 0 ||
		json_decode(req->arena, req->json, papers_fields, &papers, err) < 0 ||
		check_papers(req, &papers, &words, digest, err) < 0)
		return -1;
	text = json_dumps(req->json, JSON_COMPACT);
	joining = (struct space_joining) { words.space, words.name, digest, text };
	if (store_space_join(req->worker->db, req->principal, &joining, err) < 0)
		return -1;
	return answer(req, res, words.space, 200, err);
}

/* Who was taken out has the record of it with the change, the founder behind it: no transaction is
 * two tenants'. */
static int tell_founder(
	struct web_req *req, const struct space *space, const char *tenant, struct err *err)
{
	const struct audit_act act = { .action = "space.remove", .on = tenant, .space = space->id };

	return audit_write(req->worker->db, req->principal->tenant, &act, 1, err);
}

/* The founder takes out others; everybody may leave but the founder. */
int space_remove(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *tenant = web_param(req, "tenant_id");
	bool self = strcmp(tenant, req->principal->tenant) == 0;
	struct space space;

	if (must_manage(req, err) < 0 || find(req, &space, err) < 0)
		return -1;
	if (space.is_founder == self)
		return err_set(err, ERR_FORBIDDEN, "space.not_founder",
			"the founder takes others out and stays; others only leave");
	if (store_space_leave(req->worker->db, tenant, space.id, err) < 0)
		return -1;
	store_revocation_ring(req->worker);
	res->status = 204;
	return self ? 0 : tell_founder(req, &space, tenant, err);
}
