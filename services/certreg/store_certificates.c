/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges and certificates in the database. */
#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/mem.h"
#include "services/certreg/certificates.h"
#include "services/certreg/challenges.h"
#include "services/certreg/queries.h"
#include "services/certreg/store.h"
#include "services/certreg/store_rows.h"

#define EACH_PAGE "200"
#define EACH_PAGE_ROWS 200

/* --- challenges --- */

struct asking {
	const struct web_req *req;
	const struct challenge *challenge;
	long seconds;
};

static int add_challenge(struct db *db, void *arg, struct err *err)
{
	const struct asking *asking = arg;
	const struct challenge *challenge = asking->challenge;
	const struct principal *who = asking->req->principal;
	auto_free char *seconds = mem_printf("%ld", asking->seconds);

	if (db_exec(db, &SQL_CHALLENGE_INSERT,
		    DB_PARAMS(who->tenant, who->space, challenge->id, challenge->member,
			    challenge->spki, challenge->nonce, seconds),
		    NULL, err) < 0)
		return -1;
	return resource_remember(db, asking->req, CHALLENGES_ROUTE, challenge->id, err);
}

int store_challenge_add(struct db *db, const struct web_req *req, const struct challenge *challenge,
	long seconds, struct err *err)
{
	struct asking asking = { .req = req, .challenge = challenge, .seconds = seconds };

	return db_tx(db, DB_TENANT(req->principal->tenant), add_challenge, &asking, err);
}

int store_challenge(struct db *db, const char *tenant_id, const char *member, const char *id,
	struct arena *arena, struct challenge *ret_challenge, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_CHALLENGE_BY_ID, DB_PARAMS(tenant_id, member, id),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(
			err, ERR_NOT_FOUND, "challenge.not_found", "there is no such challenge");
	*ret_challenge = (struct challenge) {
		.id = store_text(rows, 0, "id", arena),
		.member = member,
		.spki = store_text(rows, 0, "spki", arena),
		.nonce = store_text(rows, 0, "nonce", arena),
		.expires_at = store_text(rows, 0, "expires_at", arena),
		.is_used = db_bool(rows, 0, "used"),
		.is_expired = db_bool(rows, 0, "expired"),
	};
	return 0;
}

int store_challenge_use(struct db *db, const char *tenant_id, const char *member, const char *id,
	struct arena *arena, struct challenge *ret_challenge, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	struct challenge challenge;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_CHALLENGE_USE, DB_PARAMS(tenant_id, member, id),
		    &rows, err) < 0)
		return -1;
	if (store_challenge(db, tenant_id, member, id, arena, &challenge, err) < 0)
		return -1;
	if (db_count(rows) == 0 && challenge.is_used)
		return err_set(err, ERR_CONFLICT, "challenge.used",
			"this challenge was used: ask for another");
	if (db_count(rows) == 0)
		return err_set(err, ERR_GONE, "challenge.expired",
			"this challenge has expired: ask for another");
	*ret_challenge = challenge;
	return 0;
}

/* --- certificates --- */

static struct certificate certificate_of(
	const struct db_rows *rows, size_t row, struct arena *arena)
{
	return (struct certificate) {
		.id = store_text(rows, row, "id", arena),
		.name = store_text(rows, row, "name", arena),
		.fingerprint = store_text(rows, row, "fingerprint", arena),
		.spki = store_text(rows, row, "spki", arena),
		.subject = store_text(rows, row, "subject", arena),
		.serial = store_text(rows, row, "serial", arena),
		.not_before = store_text(rows, row, "not_before", arena),
		.not_after = store_text(rows, row, "not_after", arena),
		.algorithm = store_text(rows, row, "algorithm", arena),
		.state = store_text(rows, row, "state", arena),
		.member = store_text(rows, row, "member_id", arena),
		.member_name = store_text(rows, row, "member_name", arena),
		.tenant_name = store_text(rows, row, "tenant_name", arena),
		.created_at = store_text(rows, row, "created_at", arena),
		.pem = store_text(rows, row, "pem", arena),
		.revision = db_number(rows, row, "revision"),
	};
}

struct registering {
	const struct web_req *req;
	const struct registration *registration;
	struct certificate certificate;
	bool is_new;
};

static int insert_certificate(struct db *db, struct registering *registering, struct err *err)
{
	const struct principal *who = registering->req->principal;
	const struct registration *registration = registering->registration;
	const struct cert_info *info = registration->info;
	auto_rows struct db_rows *rows = NULL;
	auto_free char *not_before = mem_printf("%lld", info->not_before);
	auto_free char *not_after = mem_printf("%lld", info->not_after);

	if (db_exec(db, &SQL_CERTIFICATE_INSERT,
		    DB_PARAMS(who->tenant, who->space, registration->id, who->subject,
			    registration->name, info->fingerprint, info->spki, info->subject,
			    info->serial, not_before, not_after, info->algorithm,
			    registration->pem),
		    &rows, err) < 0)
		return -1;
	registering->is_new = db_count(rows) == 1;
	if (registering->is_new)
		audit(db,
			&(const struct audit_act) {
				.action = "create", .on = registration->id, .detail = info->spki });
	return 0;
}

static int register_certificate(struct db *db, void *arg, struct err *err)
{
	struct registering *registering = arg;
	const struct web_req *req = registering->req;
	auto_rows struct db_rows *rows = NULL;

	if (insert_certificate(db, registering, err) < 0 ||
		db_exec(db, &SQL_CERTIFICATE_BY_SPKI,
			DB_PARAMS(req->principal->tenant, registering->registration->info->spki),
			&rows, err) < 0)
		return -1;
	if (db_count(rows) != 1)
		return err_set(err, ERR_INTERNAL, "certificate.lost",
			"the certificate is not there after its insert");
	registering->certificate = certificate_of(rows, 0, req->arena);
	return resource_remember(db, req, CERTIFICATES_ROUTE, registering->certificate.id, err);
}

int store_certificate_add(struct db *db, const struct web_req *req,
	const struct registration *registration, struct certificate *ret_certificate,
	bool *ret_is_new, struct err *err)
{
	struct registering registering = { .req = req, .registration = registration };

	if (db_tx(db, DB_TENANT(req->principal->tenant), register_certificate, &registering, err) <
		0)
		return -1;
	*ret_certificate = registering.certificate;
	*ret_is_new = registering.is_new;
	return 0;
}

int store_certificate(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct certificate *ret_certificate, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_CERTIFICATE_BY_ID, DB_PARAMS(tenant_id, id),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "certificate.not_found",
			"there is no such certificate");
	*ret_certificate = certificate_of(rows, 0, arena);
	return 0;
}

static json_t *encode_certificate(const struct db_rows *rows, size_t row)
{
	struct certificate certificate = certificate_of(rows, row, NULL);

	return certificate_json(&certificate);
}

int store_certificate_list(struct db *db, const char *tenant_id, const char *state,
	const struct page *page, json_t **ret_list, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_CERTIFICATE_LIST,
		    DB_PARAMS(tenant_id, page->before, state, page->limit), &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, encode_certificate);
	return 0;
}

static int revoke_certificate(struct db *db, void *arg, struct err *err)
{
	return store_revoke(db, &SQL_CERTIFICATE_REVOKE, arg, err);
}

int store_certificate_revoke(struct db *db, const char *tenant_id, const char *space_id,
	const char *id, long long revision, struct err *err)
{
	struct store_revoking revoking = {
		.tenant = tenant_id, .space = space_id, .id = id, .revision = revision
	};

	return db_tx(db, DB_TENANT(tenant_id), revoke_certificate, &revoking, err);
}

/* One page; the id to go on below, or "" behind the last. */
static int visit_page(struct db *db, const char *tenant_id, char before[ID_SIZE],
	store_certificate_visit *visit, void *arg, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	size_t count;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_CERTIFICATE_LIST,
		    DB_PARAMS(tenant_id, before, NULL, EACH_PAGE), &rows, err) < 0)
		return -1;
	count = db_count(rows);
	for (size_t i = 0; i < count; i++) {
		struct certificate certificate = certificate_of(rows, i, NULL);

		if (visit(&certificate, arg, err) < 0)
			return -1;
	}
	snprintf(before, ID_SIZE, "%s",
		count == EACH_PAGE_ROWS ? db_text(rows, count - 1, "id") : "");
	return 0;
}

int store_certificates_each(struct db *db, const char *tenant_id, store_certificate_visit *visit,
	void *arg, struct err *err)
{
	char before[ID_SIZE] = "~";

	while (*before) {
		if (visit_page(db, tenant_id, before, visit, arg, err) < 0)
			return -1;
	}
	return 0;
}
