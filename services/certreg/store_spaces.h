/* SPDX-License-Identifier: Apache-2.0 */
/* Spaces, their members and invitations in the database. */
#ifndef CERTREG_STORE_SPACES_H
#define CERTREG_STORE_SPACES_H

#include "services/certreg/store.h"

struct principal;

struct space {
	const char *id, *name, *created_at;
	bool is_founder; /* the tenant that looks */
	long long revision;
};

/* The founder is its first member: space.exists. */
int store_space_add(
	struct db *db, const struct web_req *req, const struct space *space, struct err *err);
/* As the tenant sees it that is a member: space.not_found. */
int store_space(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct space *ret_space, struct err *err);
int store_space_list(struct db *db, const char *tenant_id, const struct page *page,
	json_t **ret_list, struct err *err);
/* Who is in it, with their signed words, for a tenant that is a member: at most 256. */
int store_space_members(
	struct db *db, const char *tenant_id, const char *id, json_t **ret_items, struct err *err);
/* {"tenants", "departed"}: ids of all that are in it, or of the tenant whose own it is, and of
 * those who left it or were taken out; both empty for an unknown one. */
int store_space_tenants(struct db *db, const char *id, json_t **ret_json, struct err *err);
/* Takes a tenant out, with an end to its live tokens for the space. space.not_a_member. */
int store_space_leave(struct db *db, const char *tenant_id, const char *id, struct err *err);

struct space_invitation {
	const char *id, *space, *digest, *invited, *envelope, *state, *created_at, *expires_at;
	long long expires_at_s, revision; /* expires_at_s: for store_space_invitation_add() */
};

/* space_invitation.exists for one that was sent before. */
int store_space_invitation_add(struct db *db, const struct web_req *req,
	const struct space_invitation *invitation, struct err *err);
/* In the scope of the space, where the member shows that took it. */
int store_space_invitation(struct db *db, const char *tenant_id, const char *space_id,
	const char *id, struct arena *arena, struct space_invitation *ret_invitation,
	struct err *err);
int store_space_invitation_list(struct db *db, const char *tenant_id, const char *space_id,
	const struct page *page, json_t **ret_list, struct err *err);
int store_space_invitation_withdraw(struct db *db, const char *tenant_id,
	const struct space_invitation *invitation, struct err *err);

/* Whether the space's founder has this invitation open; always two statements. */
int store_space_is_open(
	struct db *db, const char *space_id, const char *digest, bool *ret_open, struct err *err);

struct space_joining {
	const char *space, *name, *invitation_digest, *papers; /* papers: both envelopes as JSON */
};
/* space_invitation.used: another tenant, or this one, took it. */
int store_space_join(struct db *db, const struct principal *who,
	const struct space_joining *joining, struct err *err);

#endif
