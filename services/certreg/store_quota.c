/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a tenant may have. Whoever adds a row asks at the end of the transaction, with COMMIT:
 * a lock of this tenant and kind, then the count, which sees the own row and those of everybody
 * who had the lock before. So nobody passes a quota side by side, nobody waits for other tenants,
 * and nothing is counted twice over: what is revoked, used, expired or removed does not count.
 */
#include <string.h>

#include "lib/db.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/certreg.h"
#include "services/certreg/queries.h"
#include "services/certreg/store_rows.h"

struct quota {
	const char *name; /* of the configuration, and of what Postgres says was broken */
	size_t offset;
	const struct sql *check;
	enum err_kind kind; /* ERR_LIMITED: time alone makes room */
	const char *what, *advice;
};

static const struct quota quotas[] = {
	[STORE_QUOTA_KEYS] = { "quota_keys", offsetof(struct certreg, quota_keys), &SQL_QUOTA_KEYS,
		ERR_FORBIDDEN, "active API keys", "revoke some" },
	[STORE_QUOTA_CERTIFICATES] = { "quota_certificates",
		offsetof(struct certreg, quota_certificates), &SQL_QUOTA_CERTIFICATES,
		ERR_FORBIDDEN, "certificates in use", "revoke some" },
	[STORE_QUOTA_CHALLENGES] = { "quota_challenges", offsetof(struct certreg, quota_challenges),
		&SQL_QUOTA_CHALLENGES, ERR_LIMITED, "pending challenges",
		"use them, or wait five minutes" },
	[STORE_QUOTA_INVITATIONS] = { "quota_invitations",
		offsetof(struct certreg, quota_invitations), &SQL_QUOTA_INVITATIONS, ERR_FORBIDDEN,
		"pending invitations", "withdraw some" },
	[STORE_QUOTA_SPACES] = { "quota_spaces", offsetof(struct certreg, quota_spaces),
		&SQL_QUOTA_SPACES, ERR_FORBIDDEN, "spaces", "leave some" },
	[STORE_QUOTA_MEMBERS] = { "quota_members", offsetof(struct certreg, quota_members),
		&SQL_QUOTA_MEMBERS, ERR_FORBIDDEN, "members", "remove some" },
};

static long most_of(const struct web_req *req, const struct quota *quota)
{
	return *(const long *)((const char *)certreg_of(req->worker) + quota->offset);
}

void store_quota(struct db *db, enum store_quota which)
{
	const struct quota *quota = &quotas[which];
	const struct web_req *req = db_caller(db);
	const char *tenant = db_tenant(db);
	long most = req ? most_of(req, quota) : 0; /* the bootstrap asks nobody */

	if (most == 0)
		return;
	db_at_commit(db, &SQL_QUOTA_LOCK, DB_PARAMS(quota->name, tenant));
	db_at_commit(db, quota->check, DB_PARAMS(tenant, DB_NUMBER(most)));
}

static int refuse(const struct db *db, const struct quota *quota, struct err *err)
{
	err_set(err, quota->kind, "limit.quota",
		"the tenant has %ld %s, as many as it may have: %s, or ask the operator for more "
		"(%s)",
		most_of(db_caller(db), quota), quota->what, quota->advice, quota->name);
	err->retry_s = quota->kind == ERR_LIMITED ? 60 : 0;
	return -1;
}

int store_quota_tx(
	struct db *db, const struct db_scope *scope, db_work *work, void *arg, struct err *err)
{
	if (db_tx(db, scope, work, arg, err) == 0)
		return 0;
	if (strcmp(err->code, "db.check") != 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(quotas); i++) {
		if (strcmp(err->detail, quotas[i].name) == 0)
			return refuse(db, &quotas[i], err);
	}
	return -1;
}
