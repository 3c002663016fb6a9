/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every database call of certreg. Texts of the structs that come back live in the arena that was
 * given, or, in an encoder's hands (store_*_list), in the rows. "Not found" is a return of 0 with
 * `found` false where the caller has something to say about it, and otherwise an error with the
 * resource's code.
 */
#ifndef CERTREG_STORE_H
#define CERTREG_STORE_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/resource.h"

extern const struct sql *const store_forgets[]; /* of struct service */

/* --- tenants and members (store.c) --- */
struct tenant {
	const char *id, *space, *name, *state, *created_at;
	long long revision;
};

struct member {
	const char *id, *name, *kind, *roles, *state, *created_at;
	long long revision;
};

/* Called once for each tenant. */
typedef int store_visit(const char *tenant_id, void *arg, struct err *err);
int store_tenants_each(struct db *db, store_visit *visit, void *arg, struct err *err);

int store_tenant(struct db *db, const char *tenant_id, struct arena *arena,
	struct tenant *ret_tenant, struct err *err);
/* tenant.exists when the name is taken. */
int store_tenant_add(struct db *db, const struct tenant *tenant, struct err *err);
int store_member(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct member *ret_member, struct err *err);
int store_member_named(struct db *db, const char *tenant_id, const char *name, struct arena *arena,
	struct member *ret_member, bool *ret_found, struct err *err);
/* `req` for its Idempotency-Key, or NULL. member.exists. */
int store_member_add(struct db *db, const struct web_req *req, const struct tenant *tenant,
	const struct member *member, struct err *err);
int store_member_list(struct db *db, const char *tenant_id, const struct page *page,
	json_t **ret_list, struct err *err);

/* --- API keys (store_keys.c) --- */
struct key {
	const char *id, *member, *member_roles, *name, *scopes, *state, *created_at, *expires_at,
		*last_used_at;	/* these two or NULL */
	const char *created_by; /* of a new one NULL: the member itself */
	const char *mac;	/* for store_key_add() only */
	long long revision;
};

/* `req` for its Idempotency-Key, or NULL. key.exists. */
int store_key_add(struct db *db, const struct web_req *req, const char *tenant_id,
	const char *space_id, const struct key *key, struct err *err);
/* A successor for `replaced` (of this revision), which lives on for `overlap_s`: key.exists,
 * key.not_active. */
int store_key_rotate(struct db *db, const struct web_req *req, const struct key *replaced,
	const struct key *key, long overlap_s, struct err *err);
int store_key_used(struct db *db, const char *tenant_id, const char *key_id, struct err *err);
int store_key(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct key *ret_key, struct err *err);
/* Of one member, or of all with member NULL. */
struct key_filter {
	const char *member, *created_by; /* NULL: anybody's */
};
int store_key_list(struct db *db, const char *tenant_id, const struct key_filter *filter,
	const struct page *page, json_t **ret_list, struct err *err);
/* Takes the key away and tells auth-state, in one transaction. */
int store_key_revoke(struct db *db, const char *tenant_id, const char *space_id, const char *id,
	long long revision, struct err *err);

#endif
