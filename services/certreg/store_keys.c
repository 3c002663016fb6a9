/* SPDX-License-Identifier: Apache-2.0 */
/* API keys in the database. */
#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/mem.h"
#include "services/certreg/keys.h"
#include "services/certreg/queries.h"
#include "services/certreg/store.h"
#include "services/certreg/store_rows.h"
#include "services/certreg/store_tokens.h"

/* --- records --- */

static struct key key_of(const struct db_rows *rows, size_t row, struct arena *arena)
{
	return (struct key) {
		.id = store_text(rows, row, "id", arena),
		.member = store_text(rows, row, "member_id", arena),
		.member_roles = store_text(rows, row, "member_roles", arena),
		.created_by = store_text(rows, row, "created_by", arena),
		.name = store_text(rows, row, "name", arena),
		.scopes = store_text(rows, row, "scopes", arena),
		.state = store_text(rows, row, "state", arena),
		.created_at = store_text(rows, row, "created_at", arena),
		.expires_at = store_text(rows, row, "expires_at", arena),
		.last_used_at = store_text(rows, row, "last_used_at", arena),
		.revision = db_number(rows, row, "revision"),
	};
}

struct adding {
	const struct web_req *req;
	const char *tenant, *space;
	const struct key *key, *replaced; /* replaced or NULL */
	long overlap_s;
};

int store_key_insert(struct db *db, const char *tenant_id, const char *space_id,
	const struct key *key, struct err *err)
{
	if (db_exec(db, &SQL_KEY_ID_INSERT, DB_PARAMS(key->id), NULL, err) < 0)
		return -1;
	return db_exec(db, &SQL_KEY_INSERT,
		DB_PARAMS(tenant_id, space_id, key->id, key->member, key->name, key->mac,
			key->scopes, key->expires_at, key->created_by),
		NULL, err);
}

/* The key that another replaces has its rest of life cut to the overlap. A token may outlive its
 * key by its own life, so a key that ends at once takes its tokens along. */
static int retire(struct db *db, const struct adding *adding, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	auto_free char *revision = NULL, *seconds = NULL;

	if (!adding->replaced)
		return 0;
	revision = mem_printf("%lld", adding->replaced->revision);
	seconds = mem_printf("%ld", adding->overlap_s);
	if (db_exec(db, &SQL_KEY_RETIRE,
		    DB_PARAMS(adding->tenant, adding->replaced->id, revision, seconds), &rows,
		    err) < 0)
		return -1;
	if (db_affected(rows) == 0)
		return err_set(err, ERR_CONFLICT, "key.not_active", "the key is not active");
	audit(db, &(const struct audit_act) { .action = "rotate",
			  .on = adding->replaced->id,
			  .detail = adding->key->id });
	return adding->overlap_s > 0
		       ? 0
		       : store_revocation_add(db,
				 &(const struct revocation) { .tenant = adding->tenant,
					 .space = adding->space,
					 .id = adding->replaced->id },
				 err);
}

static int add_key(struct db *db, void *arg, struct err *err)
{
	const struct adding *adding = arg;
	const struct key *key = adding->key;

	if (retire(db, adding, err) < 0 ||
		store_key_insert(db, adding->tenant, adding->space, key, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "create", .on = key->id });
	store_quota(db, STORE_QUOTA_KEYS);
	return adding->req ? resource_remember(db, adding->req,
				     adding->replaced ? KEY_ROTATE_ROUTE : KEYS_ROUTE, key->id, err)
			   : 0;
}

int store_key_add(struct db *db, const struct web_req *req, const char *tenant_id,
	const char *space_id, const struct key *key, struct err *err)
{
	struct adding adding = { .req = req, .tenant = tenant_id, .space = space_id, .key = key };

	if (store_quota_tx(db, DB_TENANT(tenant_id), add_key, &adding, err) == 0)
		return 0;
	return store_conflict(err, "key.exists", "a key of this id exists");
}

int store_key_rotate(struct db *db, const struct web_req *req, const struct key *replaced,
	const struct key *key, long overlap_s, struct err *err)
{
	struct adding adding = { .req = req,
		.tenant = req->principal->tenant,
		.space = req->principal->space,
		.key = key,
		.replaced = replaced,
		.overlap_s = overlap_s };

	if (store_quota_tx(db, DB_TENANT(adding.tenant), add_key, &adding, err) == 0)
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

int store_key_list(struct db *db, const char *tenant_id, const struct key_filter *filter,
	const struct page *page, json_t **ret_list, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_KEY_LIST,
		    DB_PARAMS(tenant_id, filter->member, page->before, page->limit,
			    filter->created_by),
		    &rows, err) < 0)
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

int store_key_revoke(struct db *db, const char *tenant_id, const char *space_id, const char *id,
	long long revision, struct err *err)
{
	struct store_revoking revoking = {
		.tenant = tenant_id, .space = space_id, .id = id, .revision = revision
	};

	return db_tx(db, DB_TENANT(tenant_id), revoke_key, &revoking, err);
}
