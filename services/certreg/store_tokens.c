/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that are shown, and assertions that were used, in the database. */
#include "services/certreg/store_tokens.h"

#include "lib/id.h"
#include "lib/mem.h"
#include "services/certreg/keys.h"
#include "services/certreg/queries.h"
#include "services/certreg/store_rows.h"

static struct credential credential_of(
	const struct db_rows *rows, bool by_certificate, struct arena *arena)
{
	struct credential credential = {
		.member = store_text(rows, 0, "member_id", arena),
		.roles = store_text(rows, 0, "roles", arena),
		.tenant = store_text(rows, 0, "tenant_id", arena),
		.space = store_text(rows, 0, "space_id", arena),
		.tenant_name = store_text(rows, 0, "tenant_name", arena),
		.spaces = store_text(rows, 0, "spaces", arena),
		.expires_at = db_number(rows, 0, "expires_at"),
	};

	if (by_certificate) {
		credential.certificate = store_text(rows, 0, "id", arena);
		credential.spki = store_text(rows, 0, "spki", arena);
		credential.fingerprint = store_text(rows, 0, "fingerprint", arena);
		credential.pem = store_text(rows, 0, "pem", arena);
		credential.scopes = SCOPES_ALL;
	} else {
		credential.key = store_text(rows, 0, "id", arena);
		credential.mac = store_text(rows, 0, "mac", arena);
		credential.scopes = store_text(rows, 0, "scopes", arena);
		credential.use_is_news = db_bool(rows, 0, "use_is_news");
	}
	return credential;
}

int store_credential(struct db *db, const char *id, struct arena *arena,
	struct credential *ret_credential, bool *ret_found, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	long long asked_at = clock_unix_ms() / 1000;
	bool by_certificate = id_is(id, "crt");
	const struct sql *owner = by_certificate ? &SQL_CERTIFICATE_OWNER : &SQL_KEY_OWNER;

	if (db_run(db, DB_OWNER(owner, id, STORE_NO_TENANT),
		    by_certificate ? &SQL_CERTIFICATE_CREDENTIAL : &SQL_KEY_CREDENTIAL,
		    DB_PARAMS(id), &rows, err) < 0)
		return -1;
	*ret_found = db_count(rows) == 1;
	if (!*ret_found)
		return 0;
	*ret_credential = credential_of(rows, by_certificate, arena);
	ret_credential->asked_at = asked_at;
	return 0;
}

int store_key_used(struct db *db, const char *tenant_id, const char *key_id, struct err *err)
{
	return db_run(
		db, DB_TENANT(tenant_id), &SQL_KEY_USED, DB_PARAMS(tenant_id, key_id), NULL, err);
}

int store_certificate_shown(struct db *db, const struct credential *of, const char *fingerprint,
	struct arena *arena, const char **ret_certificate, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(of->tenant), &SQL_CERTIFICATE_SHOWN,
		    DB_PARAMS(of->tenant, of->member, fingerprint), &rows, err) < 0)
		return -1;
	*ret_certificate = db_count(rows) == 1 ? db_text_in(rows, 0, "id", arena) : NULL;
	return 0;
}

int store_assertion_use(struct db *db, const char *tenant_id, const char *space_id,
	const char *subject, const char *jti, long long expires_at, struct err *err)
{
	auto_free char *expiry = mem_printf("%lld", expires_at);

	if (db_run(db, DB_TENANT(tenant_id), &SQL_ASSERTION_INSERT,
		    DB_PARAMS(tenant_id, space_id, subject, jti, expiry), NULL, err) == 0)
		return 0;
	if (err && strcmp(err->code, "db.unique") == 0)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.replayed",
			"this assertion was used before");
	return -1;
}
