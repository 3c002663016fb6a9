/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants and members in the database. */
#include "services/certreg/store.h"

#include "lib/audit.h"
#include "lib/db.h"
#include "services/certreg/members.h"
#include "services/certreg/queries.h"
#include "services/certreg/store_rows.h"

const struct sql *const store_forgets[] = { &resource_forget, &SQL_CHALLENGE_FORGET,
	&SQL_ASSERTION_FORGET, NULL };

int store_tenants_each(struct db *db, store_visit *visit, void *arg, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_SWEEP, &SQL_TENANT_IDS, DB_NO_PARAMS, &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++) {
		if (visit(db_text(rows, i, "tenant_id"), arg, err) < 0)
			return -1;
	}
	return 0;
}

int store_tenant(struct db *db, const char *tenant_id, struct arena *arena,
	struct tenant *ret_tenant, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_TENANT_BY_ID, DB_PARAMS(tenant_id), &rows, err) <
		0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "tenant.not_found", "there is no such tenant");
	*ret_tenant = (struct tenant) {
		.id = store_text(rows, 0, "id", arena),
		.space = store_text(rows, 0, "space_id", arena),
		.name = store_text(rows, 0, "name", arena),
		.state = store_text(rows, 0, "state", arena),
		.created_at = store_text(rows, 0, "created_at", arena),
		.revision = db_number(rows, 0, "revision"),
	};
	return 0;
}

int store_tenant_insert(struct db *db, const struct tenant *tenant, struct err *err)
{
	if (db_exec(db, &SQL_TENANT_NAME_INSERT, DB_PARAMS(tenant->name), NULL, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "create", .on = tenant->id });
	return db_exec(db, &SQL_TENANT_INSERT, DB_PARAMS(tenant->id, tenant->space, tenant->name),
		NULL, err);
}

static int add_tenant(struct db *db, void *arg, struct err *err)
{
	return store_tenant_insert(db, arg, err);
}

int store_tenant_add(struct db *db, const struct tenant *tenant, struct err *err)
{
	if (db_tx(db, DB_TENANT(tenant->id), add_tenant, (void *)tenant, err) == 0)
		return 0;
	return store_conflict(err, "tenant.exists", "this name is taken");
}

static struct member member_of(const struct db_rows *rows, size_t row, struct arena *arena)
{
	return (struct member) {
		.id = store_text(rows, row, "id", arena),
		.name = store_text(rows, row, "name", arena),
		.kind = store_text(rows, row, "kind", arena),
		.roles = store_text(rows, row, "roles", arena),
		.state = store_text(rows, row, "state", arena),
		.created_at = store_text(rows, row, "created_at", arena),
		.revision = db_number(rows, row, "revision"),
	};
}

int store_member(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct member *ret_member, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_MEMBER_BY_ID, DB_PARAMS(tenant_id, id), &rows,
		    err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "member.not_found", "there is no such member");
	*ret_member = member_of(rows, 0, arena);
	return 0;
}

int store_member_named(struct db *db, const char *tenant_id, const char *name, struct arena *arena,
	struct member *ret_member, bool *ret_found, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_MEMBER_BY_NAME, DB_PARAMS(tenant_id, name), &rows,
		    err) < 0)
		return -1;
	*ret_found = db_count(rows) > 0;
	if (*ret_found)
		*ret_member = member_of(rows, 0, arena);
	return 0;
}

struct joining {
	const struct web_req *req;
	const struct tenant *tenant;
	const struct member *member;
};

static int add_member(struct db *db, void *arg, struct err *err)
{
	const struct joining *joining = arg;
	const struct member *member = joining->member;

	if (db_exec(db, &SQL_MEMBER_INSERT,
		    DB_PARAMS(joining->tenant->id, joining->tenant->space, member->id, member->name,
			    member->kind, member->roles),
		    NULL, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "create", .on = member->id });
	store_quota(db, STORE_QUOTA_MEMBERS);
	return joining->req ? resource_remember(db, joining->req, MEMBERS_ROUTE, member->id, err)
			    : 0;
}

int store_member_add(struct db *db, const struct web_req *req, const struct tenant *tenant,
	const struct member *member, struct err *err)
{
	struct joining joining = { req, tenant, member };

	if (store_quota_tx(db, DB_TENANT(tenant->id), add_member, &joining, err) == 0)
		return 0;
	return store_conflict(err, "member.exists", "this name is taken");
}

static json_t *encode_member(const struct db_rows *rows, size_t row)
{
	struct member member = member_of(rows, row, NULL);

	return member_json(&member);
}

int store_member_list(struct db *db, const char *tenant_id, const struct page *page,
	json_t **ret_list, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_MEMBER_LIST,
		    DB_PARAMS(tenant_id, page->before, page->limit), &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, encode_member);
	return 0;
}
