/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants and members in the database: making, changing and taking away. */
#include "services/certreg/store_members.h"

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/db.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "services/certreg/queries.h"
#include "services/certreg/store_certificates.h"
#include "services/certreg/store_rows.h"
#include "services/certreg/store_tokens.h"
#include "services/certreg/tenants.h"

#define DETAIL_SIZE 201 /* as much as a record has */

static int must_change(const struct db_rows *rows, struct err *err)
{
	if (db_affected(rows) > 0)
		return 0;
	return err_set(
		err, ERR_PRECONDITION_FAILED, "resource.changed", "the resource has just changed");
}

/* --- tenants --- */

/* Their names are the tenants' own rows: one statement for each. */
static int append_tenant(
	struct db *db, struct arena *arena, const char *tenant_id, json_t *items, struct err *err)
{
	struct tenant tenant;
	json_t *item;

	if (store_tenant(db, tenant_id, arena, &tenant, err) < 0)
		return -1;
	item = tenant_json(&tenant);
	json_object_set_new(item, "etag", json_sprintf("\"r%lld\"", tenant.revision));
	return json_array_append_new(items, item);
}

int store_tenant_list(struct db *db, struct arena *arena, const struct page *page,
	json_t **ret_list, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	auto_json json_t *items = json_array();
	const char *last = NULL;

	if (db_run(db, DB_SWEEP, &SQL_TENANT_PAGE, DB_PARAMS(page->before, page->limit), &rows,
		    err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows) && i < page->size; i++) {
		last = db_text(rows, i, "tenant_id");
		if (append_tenant(db, arena, last, items, err) < 0)
			return -1;
	}
	*ret_list = json_pack("{s:O,s:o}", "items", items, "next_page_token",
		db_count(rows) > page->size ? resource_page_token(last) : json_null());
	return 0;
}

struct tenant_change {
	const struct tenant *tenant;
	const char *state;
};

static int set_tenant_state(struct db *db, void *arg, struct err *err)
{
	const struct tenant_change *change = arg;
	const struct tenant *tenant = change->tenant;
	auto_rows struct db_rows *rows = NULL;
	auto_free char *revision = mem_printf("%lld", tenant->revision);

	if (db_exec(db, &SQL_TENANT_SET_STATE, DB_PARAMS(tenant->id, change->state, revision),
		    &rows, err) < 0 ||
		must_change(rows, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) {
			  .action = "change", .on = tenant->id, .detail = change->state });
	return store_revocation_add(db,
		&(const struct revocation) { .tenant = tenant->id,
			.space = tenant->space,
			.id = tenant->id,
			.is_lifted = strcmp(change->state, "active") == 0 },
		err);
}

int store_tenant_set_state(
	struct db *db, const struct tenant *tenant, const char *state, struct err *err)
{
	struct tenant_change change = { tenant, state };

	return db_tx(db, DB_TENANT(tenant->id), set_tenant_state, &change, err);
}

/* --- members --- */

struct member_change {
	const struct principal *who;
	const struct member *member;
};

/* Under the lock of the tenant's row, so that two owners cannot take each other away. */
static int must_have_owner(struct db *db, const char *tenant_id, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_MEMBER_IN_CHARGE, DB_PARAMS(tenant_id), &rows, err) < 0)
		return -1;
	if (db_count(rows) > 0)
		return 0;
	return err_set(err, ERR_CONFLICT, "member.last_owner",
		"the tenant would be left without an owner");
}

/* Who is removed takes his own keys along. Those that he made for others are theirs, and go on; the
 * record says which, since he may know their secrets. */
static int end_keys(struct db *db, const char *tenant, const char *member, char detail[DETAIL_SIZE],
	struct err *err)
{
	auto_rows struct db_rows *made = NULL;

	if (db_exec(db, &SQL_MEMBER_KEYS_REVOKE, DB_PARAMS(tenant, member), NULL, err) < 0 ||
		db_exec(db, &SQL_MEMBER_MADE_KEYS, DB_PARAMS(tenant, member), &made, err) < 0)
		return -1;
	if (db_number(made, 0, "count") > 0)
		snprintf(detail, DETAIL_SIZE, "removed; made %s keys of others: %s",
			db_text(made, 0, "count"), db_text(made, 0, "ids"));
	return 0;
}

static int update_member(struct db *db, void *arg, struct err *err)
{
	const struct member_change *change = arg;
	const struct member *member = change->member;
	const char *tenant = change->who->tenant;
	const struct revocation revocation = { .tenant = tenant,
		.space = change->who->space,
		.id = member->id,
		.is_lifted = strcmp(member->state, "active") == 0 };
	bool is_removed = strcmp(member->state, "removed") == 0;
	auto_rows struct db_rows *rows = NULL;
	auto_free char *revision = mem_printf("%lld", member->revision);
	char detail[DETAIL_SIZE];

	snprintf(detail, sizeof(detail), "%s", member->state);
	if (db_exec(db, &SQL_TENANT_LOCK, DB_PARAMS(tenant), NULL, err) < 0)
		return -1;
	if (db_exec(db, &SQL_MEMBER_UPDATE,
		    DB_PARAMS(tenant, member->id, member->roles, member->state, revision), &rows,
		    err) < 0 ||
		must_change(rows, err) < 0 || must_have_owner(db, tenant, err) < 0)
		return -1;
	if (is_removed && end_keys(db, tenant, member->id, detail, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) {
			  .action = "change", .on = member->id, .detail = detail });
	return store_revocation_add(db, &revocation, err);
}

int store_member_update(
	struct db *db, const struct principal *who, const struct member *member, struct err *err)
{
	struct member_change change = { who, member };

	return db_tx(db, DB_TENANT(who->tenant), update_member, &change, err);
}

int store_certificate_is_own(
	struct db *db, const char *tenant_id, const char *member, const char *spki, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_CERTIFICATE_IS_OWN,
		    DB_PARAMS(tenant_id, member, spki), &rows, err) < 0)
		return -1;
	if (db_count(rows) > 0)
		return 0;
	return err_set(err, ERR_UNPROCESSABLE, "certificate.not_own",
		"the key is not that of an active certificate of yours");
}
