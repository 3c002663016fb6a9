/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spaces and who is in them. What a tenant sees of others' rows it sees in the scope of a space of
 * which its own row says that it is a member.
 */
#include "services/certreg/store_spaces.h"

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/db.h"
#include "lib/mem.h"
#include "services/certreg/queries.h"
#include "services/certreg/spaces.h"
#include "services/certreg/store_rows.h"
#include "services/certreg/store_tokens.h"

/* --- spaces --- */

struct founding {
	const struct web_req *req;
	const struct space *space;
};

static int add_space(struct db *db, void *arg, struct err *err)
{
	const struct founding *founding = arg;
	const struct principal *who = founding->req->principal;
	const struct space *space = founding->space;

	if (db_exec(db, &SQL_SPACE_INSERT, DB_PARAMS(who->tenant, space->id, space->name), NULL,
		    err) < 0 ||
		db_exec(db, &SQL_SPACE_MEMBER_INSERT,
			DB_PARAMS(
				who->tenant, space->id, who->tenant_name, space->name, NULL, NULL),
			NULL, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) {
			  .action = "create", .on = space->id, .space = space->id });
	store_quota(db, STORE_QUOTA_SPACES);
	return resource_remember(db, founding->req, SPACES_ROUTE, space->id, err);
}

int store_space_add(
	struct db *db, const struct web_req *req, const struct space *space, struct err *err)
{
	struct founding founding = { req, space };

	if (store_quota_tx(db, DB_TENANT(req->principal->tenant), add_space, &founding, err) == 0)
		return 0;
	return store_conflict(err, "space.exists", "this name is taken");
}

static struct space space_of(const struct db_rows *rows, size_t row, struct arena *arena)
{
	return (struct space) {
		.id = store_text(rows, row, "id", arena),
		.name = store_text(rows, row, "name", arena),
		.is_founder = db_bool(rows, row, "is_founder"),
		.created_at = store_text(rows, row, "created_at", arena),
		.revision = db_number(rows, row, "revision"),
	};
}

int store_space(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct space *ret_space, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_SPACE_BY_ID, DB_PARAMS(tenant_id, id), &rows,
		    err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "space.not_found", "there is no such space");
	*ret_space = space_of(rows, 0, arena);
	return 0;
}

static json_t *encode_space(const struct db_rows *rows, size_t row)
{
	struct space space = space_of(rows, row, NULL);

	return space_json(&space);
}

int store_space_list(struct db *db, const char *tenant_id, const struct page *page,
	json_t **ret_list, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_SPACE_LIST,
		    DB_PARAMS(tenant_id, page->before, page->limit), &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, encode_space);
	return 0;
}

/* --- members --- */

static json_t *encode_member(const struct db_rows *rows, size_t row)
{
	json_t *papers = db_is_null(rows, row, "acceptance")
				 ? json_null()
				 : json_loads(db_text(rows, row, "acceptance"), 0, NULL);

	return json_pack("{s:s,s:s,s:b,s:s,s:o}", "tenant", db_text(rows, row, "tenant_id"), "name",
		db_text(rows, row, "tenant_name"), "founder", db_bool(rows, row, "is_founder"),
		"joined_at", db_text(rows, row, "joined_at"), "papers", papers);
}

int store_space_members(
	struct db *db, const char *tenant_id, const char *id, json_t **ret_items, struct err *err)
{
	const struct db_scope scope = { .tenant_id = tenant_id, .space_ids = id };
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, &scope, &SQL_SPACE_MEMBERS, DB_PARAMS(id), &rows, err) < 0)
		return -1;
	*ret_items = json_array();
	for (size_t i = 0; i < db_count(rows); i++)
		json_array_append_new(*ret_items, encode_member(rows, i));
	return 0;
}

int store_space_tenants(struct db *db, const char *id, json_t **ret_json, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_SPACES(STORE_NO_TENANT, id), &SQL_SPACE_TENANTS, DB_PARAMS(id), &rows,
		    err) < 0)
		return -1;
	*ret_json = json_pack("{s:[],s:[]}", "tenants", "departed");
	for (size_t i = 0; i < db_count(rows); i++) {
		const char *list = db_bool(rows, i, "is_departed") ? "departed" : "tenants";

		json_array_append_new(json_object_get(*ret_json, list),
			json_string(db_text(rows, i, "tenant_id")));
	}
	return 0;
}

struct leaving {
	const char *tenant, *space;
};

static int delete_member(struct db *db, void *arg, struct err *err)
{
	const struct leaving *leaving = arg;
	auto_rows struct db_rows *rows = NULL;
	auto_free char *subject = mem_printf("%s/%s", leaving->space, leaving->tenant);

	if (db_exec(db, &SQL_SPACE_MEMBER_DELETE, DB_PARAMS(leaving->tenant, leaving->space), &rows,
		    err) < 0)
		return -1;
	if (db_affected(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "space.not_a_member",
			"there is no such member of the space");
	audit(db,
		&(const struct audit_act) {
			.action = "space.leave", .on = leaving->tenant, .space = leaving->space });
	return store_revocation_add(db,
		&(const struct revocation) { .tenant = leaving->tenant,
			.space = leaving->space,
			.id = subject,
			.is_lifted = true },
		err);
}

int store_space_leave(struct db *db, const char *tenant_id, const char *id, struct err *err)
{
	struct leaving leaving = { tenant_id, id };

	return db_tx(db, DB_TENANT(tenant_id), delete_member, &leaving, err);
}

int store_space_is_open(
	struct db *db, const char *space_id, const char *digest, bool *ret_open, struct err *err)
{
	auto_rows struct db_rows *founder = NULL, *rows = NULL;
	const char *tenant;

	if (db_run(db, DB_SWEEP, &SQL_SPACE_FOUNDER, DB_PARAMS(space_id), &founder, err) < 0)
		return -1;
	tenant = db_count(founder) == 1 ? db_text(founder, 0, "tenant_id") : STORE_NO_TENANT;
	if (db_run(db, DB_TENANT(tenant), &SQL_SPACE_INVITATION_OPEN,
		    DB_PARAMS(tenant, space_id, digest), &rows, err) < 0)
		return -1;
	*ret_open = db_count(rows) == 1;
	return 0;
}

struct entering {
	const struct principal *who;
	const struct space_joining *joining;
};

static int add_member(struct db *db, void *arg, struct err *err)
{
	const struct entering *entering = arg;
	const struct principal *who = entering->who;
	const struct space_joining *joining = entering->joining;

	(void)err;
	db_at_commit(db, &SQL_SPACE_JOIN,
		DB_PARAMS(who->tenant, joining->space, who->tenant_name, joining->name,
			joining->invitation_digest, joining->papers));
	audit(db, &(const struct audit_act) {
			  .action = "space.join", .on = joining->space, .space = joining->space });
	store_quota(db, STORE_QUOTA_SPACES);
	return 0;
}

int store_space_join(struct db *db, const struct principal *who,
	const struct space_joining *joining, struct err *err)
{
	struct entering entering = { who, joining };

	if (store_quota_tx(db, DB_TENANT(who->tenant), add_member, &entering, err) == 0)
		return 0;
	return store_conflict(err, "space_invitation.used",
		"the invitation was used, or the tenant is a member already");
}

/* --- invitations --- */

struct inviting {
	const struct web_req *req;
	const struct space_invitation *invitation;
};

static int add_invitation(struct db *db, void *arg, struct err *err)
{
	const struct inviting *inviting = arg;
	const struct space_invitation *invitation = inviting->invitation;
	auto_free char *expiry = mem_printf("%lld", invitation->expires_at_s);

	if (db_exec(db, &SQL_SPACE_INVITATION_INSERT,
		    DB_PARAMS(inviting->req->principal->tenant, invitation->space, invitation->id,
			    invitation->digest, invitation->invited, invitation->envelope, expiry),
		    NULL, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "space.invite",
			  .on = invitation->id,
			  .detail = invitation->invited,
			  .space = invitation->space });
	store_quota(db, STORE_QUOTA_INVITATIONS);
	return resource_remember(db, inviting->req, SPACE_INVITATIONS_ROUTE, invitation->id, err);
}

int store_space_invitation_add(struct db *db, const struct web_req *req,
	const struct space_invitation *invitation, struct err *err)
{
	struct inviting inviting = { req, invitation };

	if (store_quota_tx(db, DB_TENANT(req->principal->tenant), add_invitation, &inviting, err) ==
		0)
		return 0;
	return store_conflict(
		err, "space_invitation.exists", "this very invitation was sent before");
}

static struct space_invitation invitation_of(
	const struct db_rows *rows, size_t row, struct arena *arena)
{
	return (struct space_invitation) {
		.id = store_text(rows, row, "id", arena),
		.space = store_text(rows, row, "space_id", arena),
		.digest = store_text(rows, row, "digest", arena),
		.invited = store_text(rows, row, "invited", arena),
		.envelope = store_text(rows, row, "envelope", arena),
		.state = store_text(rows, row, "state", arena),
		.created_at = store_text(rows, row, "created_at", arena),
		.expires_at = store_text(rows, row, "expires_at", arena),
		.revision = db_number(rows, row, "revision"),
	};
}

int store_space_invitation(struct db *db, const char *tenant_id, const char *space_id,
	const char *id, struct arena *arena, struct space_invitation *ret_invitation,
	struct err *err)
{
	const struct db_scope scope = { .tenant_id = tenant_id, .space_ids = space_id };
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, &scope, &SQL_SPACE_INVITATION_BY_ID, DB_PARAMS(tenant_id, space_id, id),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "space_invitation.not_found",
			"there is no such invitation");
	*ret_invitation = invitation_of(rows, 0, arena);
	return 0;
}

static json_t *encode_invitation(const struct db_rows *rows, size_t row)
{
	struct space_invitation invitation = invitation_of(rows, row, NULL);

	return space_invitation_json(&invitation);
}

int store_space_invitation_list(struct db *db, const char *tenant_id, const char *space_id,
	const struct page *page, json_t **ret_list, struct err *err)
{
	const struct db_scope scope = { .tenant_id = tenant_id, .space_ids = space_id };
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, &scope, &SQL_SPACE_INVITATION_LIST,
		    DB_PARAMS(tenant_id, space_id, page->before, page->limit), &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, encode_invitation);
	return 0;
}

int store_space_invitation_withdraw(struct db *db, const char *tenant_id,
	const struct space_invitation *invitation, struct err *err)
{
	auto_free char *revision = mem_printf("%lld", invitation->revision);
	const struct audit_act act = {
		.action = "space.withdraw", .on = invitation->id, .space = invitation->space
	};
	int changed = audit_run(db, DB_TENANT(tenant_id), &SQL_SPACE_INVITATION_WITHDRAW,
		DB_PARAMS(tenant_id, invitation->id, revision), &act, err);

	if (changed < 0)
		return -1;
	if (changed == 0)
		return err_set(err, ERR_UNPROCESSABLE, "space_invitation.not_open",
			"the invitation is not open any more");
	return 0;
}
