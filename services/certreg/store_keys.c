/* SPDX-License-Identifier: Apache-2.0 */
/* API keys, what is revoked, and which assertions were used, in the database. */
#include "lib/audit.h"
#include "lib/mem.h"
#include "services/certreg/keys.h"
#include "services/certreg/queries.h"
#include "services/certreg/store.h"
#include "services/certreg/store_rows.h"

/* Of no tenant: where a key that does not exist is looked for, so that both take the same
 * statements. */
#define NO_TENANT "tnt_00000000000000000000000000000000"

/* --- shown keys --- */

static struct credential credential_of(const struct db_rows *rows, struct arena *arena)
{
	return (struct credential) {
		.key_id = store_text(rows, 0, "id", arena),
		.mac = store_text(rows, 0, "mac", arena),
		.scopes = store_text(rows, 0, "scopes", arena),
		.member = store_text(rows, 0, "member_id", arena),
		.roles = store_text(rows, 0, "roles", arena),
		.tenant = store_text(rows, 0, "tenant_id", arena),
		.space = store_text(rows, 0, "space_id", arena),
		.tenant_name = store_text(rows, 0, "tenant_name", arena),
		.expires_at = db_number(rows, 0, "expires_at"),
	};
}

int store_credential(struct db *db, const char *key_id, struct arena *arena,
	struct credential *ret_credential, bool *ret_found, struct err *err)
{
	auto_rows struct db_rows *owner = NULL, *rows = NULL;
	const char *tenant;

	if (db_run(db, DB_SWEEP, &SQL_KEY_TENANT, DB_PARAMS(key_id), &owner, err) < 0)
		return -1;
	tenant = db_count(owner) == 1 ? db_text(owner, 0, "tenant_id") : NO_TENANT;
	if (db_run(db, DB_TENANT(tenant), &SQL_KEY_CREDENTIAL, DB_PARAMS(tenant, key_id), &rows,
		    err) < 0)
		return -1;
	*ret_found = db_count(rows) == 1;
	if (*ret_found)
		*ret_credential = credential_of(rows, arena);
	return 0;
}

/* --- records --- */

static struct key key_of(const struct db_rows *rows, size_t row, struct arena *arena)
{
	return (struct key) {
		.id = store_text(rows, row, "id", arena),
		.member = store_text(rows, row, "member_id", arena),
		.member_roles = store_text(rows, row, "member_roles", arena),
		.name = store_text(rows, row, "name", arena),
		.scopes = store_text(rows, row, "scopes", arena),
		.state = store_text(rows, row, "state", arena),
		.created_at = store_text(rows, row, "created_at", arena),
		.expires_at = store_text(rows, row, "expires_at", arena),
		.revision = db_number(rows, row, "revision"),
	};
}

struct adding {
	const struct web_req *req;
	const char *tenant, *space;
	const struct key *key;
};

static int add_key(struct db *db, void *arg, struct err *err)
{
	const struct adding *adding = arg;
	const struct key *key = adding->key;

	if (db_exec(db, &SQL_KEY_ID_INSERT, DB_PARAMS(key->id), NULL, err) < 0)
		return -1;
	if (db_exec(db, &SQL_KEY_INSERT,
		    DB_PARAMS(adding->tenant, adding->space, key->id, key->member, key->name,
			    key->mac, key->scopes, key->expires_at),
		    NULL, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "create", .on = key->id });
	return adding->req ? resource_remember(db, adding->req, KEYS_ROUTE, key->id, err) : 0;
}

int store_key_add(struct db *db, const struct web_req *req, const char *tenant_id,
	const char *space_id, const struct key *key, struct err *err)
{
	struct adding adding = { .req = req, .tenant = tenant_id, .space = space_id, .key = key };

	if (db_tx(db, DB_TENANT(tenant_id), add_key, &adding, err) == 0)
		return 0;
	return store_conflict(err, "key.exists", "a key of this id exists");
}

int store_key(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct key *ret_key, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_KEY_BY_ID, DB_PARAMS(tenant_id, id), &rows, err) <
		0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "key.not_found", "there is no such key");
	*ret_key = key_of(rows, 0, arena);
	return 0;
}

static json_t *encode_key(const struct db_rows *rows, size_t row)
{
	struct key key = key_of(rows, row, NULL);

	return key_json(&key);
}

int store_key_list(struct db *db, const char *tenant_id, const char *member,
	const struct page *page, json_t **ret_list, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_KEY_LIST,
		    DB_PARAMS(tenant_id, member, page->before, page->limit), &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, encode_key);
	return 0;
}

/* --- revoking --- */

static int revoke_key(struct db *db, void *arg, struct err *err)
{
	const struct store_revoking *revoking = arg;

	return store_revoke(db, &SQL_KEY_REVOKE, revoking, err);
}

int store_revoke(struct db *db, const struct sql *update, const struct store_revoking *revoking,
	struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	auto_free char *revision = mem_printf("%lld", revoking->revision);

	if (db_exec(db, update, DB_PARAMS(revoking->tenant, revoking->id, revision), &rows, err) <
		0)
		return -1;
	if (db_affected(rows) == 0)
		return err_set(err, ERR_PRECONDITION_FAILED, "resource.changed",
			"the resource has just changed");
	audit(db, &(const struct audit_act) { .action = "revoke", .on = revoking->id });
	return db_exec(db, &SQL_REVOCATION_INSERT,
		DB_PARAMS(revoking->tenant, revoking->space, revoking->id), NULL, err);
}

int store_key_revoke(struct db *db, const char *tenant_id, const char *space_id, const char *id,
	long long revision, struct err *err)
{
	struct store_revoking revoking = {
		.tenant = tenant_id, .space = space_id, .id = id, .revision = revision
	};

	return db_tx(db, DB_TENANT(tenant_id), revoke_key, &revoking, err);
}

int store_revoked(
	struct db *db, long seconds, json_t **ret_list, long long *ret_epoch, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	auto_free char *window = mem_printf("%ld", seconds);
	json_t *list;

	if (db_run(db, DB_SWEEP, &SQL_REVOCATION_STATE, DB_PARAMS(window), &rows, err) < 0)
		return -1;
	list = json_array();
	for (size_t i = 0; i < db_count(rows); i++) {
		if (db_is_null(rows, i, "id"))
			continue;
		json_array_append_new(
			list, json_pack("{s:s,s:I}", "subject", db_text(rows, i, "id"), "before",
				      (json_int_t)(db_number(rows, i, "revoked_at") + seconds)));
	}
	*ret_epoch = db_number(rows, 0, "epoch");
	*ret_list = list;
	return 0;
}

/* --- assertions --- */

int store_assertion_use(struct db *db, const struct tenant *tenant, const char *sandbox_id,
	const char *jti, long long expires_at, struct err *err)
{
	auto_free char *expiry = mem_printf("%lld", expires_at);

	if (db_run(db, DB_TENANT(tenant->id), &SQL_ASSERTION_INSERT,
		    DB_PARAMS(tenant->id, tenant->space, sandbox_id, jti, expiry), NULL, err) == 0)
		return 0;
	return store_conflict(err, "auth.replayed", "this assertion was used before");
}
