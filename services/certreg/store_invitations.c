/* SPDX-License-Identifier: Apache-2.0 */
/* Invitations in the database, from the offer to the member and its first key. */
#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/db.h"
#include "lib/mem.h"
#include "services/certreg/invitations.h"
#include "services/certreg/queries.h"
#include "services/certreg/store_members.h"
#include "services/certreg/store_rows.h"
#include "services/certreg/tenants.h"

static int insert(struct db *db, const char *tenant, const char *space,
	const struct invitation *invitation, struct err *err)
{
	if (db_exec(db, &SQL_KEY_ID_INSERT, DB_PARAMS(invitation->id), NULL, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "invitation.create",
			  .on = invitation->id,
			  .detail = invitation->roles });
	return db_exec(db, &SQL_INVITATION_INSERT,
		DB_PARAMS(tenant, space, invitation->id, invitation->inviter, invitation->name,
			invitation->roles, invitation->mac, invitation->expires_at),
		NULL, err);
}

struct offering {
	const struct web_req *req;
	const struct invitation *invitation;
};

static int add_invitation(struct db *db, void *arg, struct err *err)
{
	const struct offering *offering = arg;
	const struct principal *who = offering->req->principal;

	if (insert(db, who->tenant, who->space, offering->invitation, err) < 0)
		return -1;
	store_quota(db, STORE_QUOTA_INVITATIONS);
	return resource_remember(
		db, offering->req, INVITATIONS_ROUTE, offering->invitation->id, err);
}

int store_invitation_add(struct db *db, const struct web_req *req,
	const struct invitation *invitation, struct err *err)
{
	struct offering offering = { req, invitation };

	if (store_quota_tx(db, DB_TENANT(req->principal->tenant), add_invitation, &offering, err) ==
		0)
		return 0;
	return store_conflict(err, "invitation.exists", "an invitation of this id exists");
}

/* --- a new tenant --- */

struct founding {
	const struct tenant *tenant;
	const struct invitation *owner;
};

static int found_tenant(struct db *db, void *arg, struct err *err)
{
	const struct founding *founding = arg;
	const struct tenant *tenant = founding->tenant;

	if (store_tenant_insert(db, tenant, err) < 0)
		return -1;
	return insert(db, tenant->id, tenant->space, founding->owner, err);
}

int store_tenant_found(
	struct db *db, const struct tenant *tenant, const struct invitation *owner, struct err *err)
{
	struct founding founding = { tenant, owner };

	if (db_tx(db, DB_TENANT(tenant->id), found_tenant, &founding, err) == 0)
		return 0;
	return store_conflict(err, "tenant.exists", "this name or the invitation's id is taken");
}

/* --- records --- */

static struct invitation invitation_of(const struct db_rows *rows, size_t row, struct arena *arena)
{
	return (struct invitation) {
		.id = store_text(rows, row, "id", arena),
		.inviter = store_text(rows, row, "inviter", arena),
		.name = store_text(rows, row, "name", arena),
		.roles = store_text(rows, row, "roles", arena),
		.state = store_text(rows, row, "state", arena),
		.created_at = store_text(rows, row, "created_at", arena),
		.expires_at = store_text(rows, row, "expires_at", arena),
		.revision = db_number(rows, row, "revision"),
	};
}

int store_invitation(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct invitation *ret_invitation, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_INVITATION_BY_ID, DB_PARAMS(tenant_id, id), &rows,
		    err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(
			err, ERR_NOT_FOUND, "invitation.not_found", "there is no such invitation");
	*ret_invitation = invitation_of(rows, 0, arena);
	return 0;
}

static json_t *encode(const struct db_rows *rows, size_t row)
{
	struct invitation invitation = invitation_of(rows, row, NULL);

	return invitation_json(&invitation);
}

int store_invitation_list(struct db *db, const char *tenant_id, const struct page *page,
	json_t **ret_list, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_INVITATION_LIST,
		    DB_PARAMS(tenant_id, page->before, page->limit), &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, encode);
	return 0;
}

int store_invitation_withdraw(
	struct db *db, const char *tenant_id, const struct invitation *invitation, struct err *err)
{
	auto_free char *revision = mem_printf("%lld", invitation->revision);
	int changed = audit_run(db, DB_TENANT(tenant_id), &SQL_INVITATION_WITHDRAW,
		DB_PARAMS(tenant_id, invitation->id, revision),
		&(const struct audit_act) { .action = "invitation.withdraw", .on = invitation->id },
		err);

	if (changed < 0)
		return -1;
	if (changed == 0)
		return err_set(err, ERR_CONFLICT, "invitation.not_open",
			"the invitation is not open any more");
	return 0;
}

/* --- accepting --- */

int store_offer(struct db *db, const char *id, struct arena *arena, struct offer *ret_offer,
	bool *ret_found, struct err *err)
{
	auto_rows struct db_rows *owner = NULL, *rows = NULL;
	const char *tenant;

	if (db_run(db, DB_SWEEP, &SQL_INVITATION_TENANT, DB_PARAMS(id), &owner, err) < 0)
		return -1;
	tenant = db_count(owner) == 1 ? db_text_in(owner, 0, "tenant_id", arena) : STORE_NO_TENANT;
	if (db_run(db, DB_TENANT(tenant), &SQL_INVITATION_OFFER, DB_PARAMS(tenant, id), &rows,
		    err) < 0)
		return -1;
	*ret_found = db_count(rows) == 1;
	if (*ret_found)
		*ret_offer = (struct offer) { tenant, db_text_in(rows, 0, "mac", arena) };
	return 0;
}

struct accepting {
	struct arena *arena;
	const char *tenant, *id;
	struct member *member;
	struct key *key;
};

static int accept_invitation(struct db *db, void *arg, struct err *err)
{
	struct accepting *accepting = arg;
	struct member *member = accepting->member;
	auto_rows struct db_rows *rows = NULL;
	const char *space;

	if (db_exec(db, &SQL_INVITATION_ACCEPT, DB_PARAMS(accepting->tenant, accepting->id), &rows,
		    err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return invitation_refuse(err);
	space = db_text(rows, 0, "space_id");
	member->name = db_text_in(rows, 0, "name", accepting->arena);
	member->roles = db_text_in(rows, 0, "roles", accepting->arena);
	if (db_exec(db, &SQL_MEMBER_INSERT,
		    DB_PARAMS(accepting->tenant, space, member->id, member->name, "person",
			    member->roles),
		    NULL, err) < 0)
		return store_conflict(err, "member.exists", "this name is taken");
	audit(db, &(const struct audit_act) { .action = "invitation.accept",
			  .on = accepting->id,
			  .subject = member->id,
			  .credential = accepting->key->id,
			  .roles = member->roles });
	if (store_key_insert(db, accepting->tenant, space, accepting->key, err) < 0)
		return store_conflict(err, "key.exists", "a key of this id exists");
	store_quota(db, STORE_QUOTA_MEMBERS);
	store_quota(db, STORE_QUOTA_KEYS);
	return 0;
}

int store_invitation_accept(struct db *db, struct arena *arena, const char *tenant_id,
	const char *id, struct member *member, struct key *key, struct err *err)
{
	struct accepting accepting = { arena, tenant_id, id, member, key };

	return store_quota_tx(db, DB_TENANT(tenant_id), accept_invitation, &accepting, err);
}
