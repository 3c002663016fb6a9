/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tenants, members and invitations in the database. Texts live in the arena that was given. What
 * takes a right away tells auth-state in the same transaction.
 */
#ifndef CERTREG_STORE_MEMBERS_H
#define CERTREG_STORE_MEMBERS_H

#include "services/certreg/store.h"

struct principal;

/* One page of all tenants, newest first, for operators. */
int store_tenant_list(struct db *db, struct arena *arena, const struct page *page,
	json_t **ret_list, struct err *err);
/* resource.changed. */
int store_tenant_set_state(
	struct db *db, const struct tenant *tenant, const char *state, struct err *err);

/* New roles and state of the member of this id and revision, with an end to its live tokens:
 * resource.changed, member.last_owner. */
int store_member_update(
	struct db *db, const struct principal *who, const struct member *member, struct err *err);

struct invitation {
	const char *id, *inviter, *name, *roles, *state, *created_at, *expires_at;
	const char *mac; /* for store_invitation_add() only */
	long long revision;
};

/* A new tenant with the invitation of its first owner: tenant.exists. */
int store_tenant_found(struct db *db, const struct tenant *tenant, const struct invitation *owner,
	struct err *err);
int store_invitation_add(struct db *db, const struct web_req *req,
	const struct invitation *invitation, struct err *err);
int store_invitation(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct invitation *ret_invitation, struct err *err);
int store_invitation_list(struct db *db, const char *tenant_id, const struct page *page,
	json_t **ret_list, struct err *err);
int store_invitation_withdraw(
	struct db *db, const char *tenant_id, const struct invitation *invitation, struct err *err);

/* What a shown secret is compared with: always two statements, whether or not it exists. */
struct offer {
	const char *tenant, *mac;
};
int store_offer(struct db *db, const char *id, struct arena *arena, struct offer *ret_offer,
	bool *ret_found, struct err *err);
/* Makes member->id a member, with the name and roles that come back in it, and its first key, once:
 * invitation.invalid, member.exists, key.exists. */
int store_invitation_accept(struct db *db, struct arena *arena, const char *tenant_id,
	const char *id, struct member *member, struct key *key, struct err *err);

#endif
