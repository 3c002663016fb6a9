/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's files share, and nobody else includes. */
#ifndef CERTREG_STORE_ROWS_H
#define CERTREG_STORE_ROWS_H

#include <string.h>

#include "lib/db.h"

struct key;
struct tenant;

/* A column's text: in the arena, or borrowed from the rows without one. NULL for SQL NULL. */
static inline const char *store_text(
	const struct db_rows *rows, size_t row, const char *column, struct arena *arena)
{
	if (arena)
		return db_text_in(rows, row, column, arena);
	return db_is_null(rows, row, column) ? NULL : db_text(rows, row, column);
}

/* Gives a violated unique constraint the resource's own code. Returns -1. */
static inline int store_conflict(struct err *err, const char *code, const char *detail)
{
	if (err && strcmp(err->code, "db.unique") == 0)
		err_set(err, ERR_CONFLICT, code, "%s", detail);
	return -1;
}

/* Of no tenant: where a key or an invitation that does not exist is looked for, so that both take
 * the same statements. */
#define STORE_NO_TENANT "tnt_ffffffffffffffffffffffffffffffff"

enum store_quota {
	STORE_QUOTA_KEYS,
	STORE_QUOTA_CERTIFICATES,
	STORE_QUOTA_CHALLENGES,
	STORE_QUOTA_INVITATIONS,
	STORE_QUOTA_SPACES,
	STORE_QUOTA_MEMBERS,
};

/* In a transaction of store_quota_tx() that adds one: whether the tenant may have it (limit.quota)
 * is asked with COMMIT (store_quota.c). */
void store_quota(struct db *db, enum store_quota which);
int store_quota_tx(struct db *db, const struct db_scope *scope, db_work *work, void *arg,
	struct err *err) __attribute__((warn_unused_result));

struct store_revoking {
	const char *tenant, *space, *id;
	long long revision;
};

/* In a transaction: `update` by (tenant, id, revision), and the entry for auth-state
 * (store_revocations.c). */
int store_revoke(struct db *db, const struct sql *update, const struct store_revoking *revoking,
	struct err *err);
int store_tenant_insert(struct db *db, const struct tenant *tenant, struct err *err);
int store_key_insert(struct db *db, const char *tenant_id, const char *space_id,
	const struct key *key, struct err *err);

#endif
