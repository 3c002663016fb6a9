/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges and certificates in the database. */
#include "services/certreg/store_certificates.h"

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/mem.h"
#include "services/certreg/certificates.h"
#include "services/certreg/challenges.h"
#include "services/certreg/queries.h"
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
	store_quota(db, STORE_QUOTA_CHALLENGES);
	return resource_remember(db, asking->req, CHALLENGES_ROUTE, challenge->id, err);
}

int store_challenge_add(struct db *db, const struct web_req *req, const struct challenge *challenge,
	long seconds, struct err *err)
{
	struct asking asking = { .req = req, .challenge = challenge, .seconds = seconds };

	return store_quota_tx(db, DB_TENANT(req->principal->tenant), add_challenge, &asking, err);
}

static int ask_challenge(struct db *db, const struct sql *sql, const char *tenant_id,
	const char *member, const char *id, struct db_rows **ret_rows, struct err *err)
{
	if (db_run(db, DB_TENANT(tenant_id), sql, DB_PARAMS(tenant_id, member, id), ret_rows, err) <
		0)
		return -1;
	if (db_count(*ret_rows) == 0)
		return err_set(
			err, ERR_NOT_FOUND, "challenge.not_found", "there is no such challenge");
	return 0;
}

static struct challenge challenge_of(
	const struct db_rows *rows, const char *member, struct arena *arena)
{
	return (struct challenge) {
		.id = store_text(rows, 0, "id", arena),
		.member = member,
		.spki = store_text(rows, 0, "spki", arena),
		.nonce = store_text(rows, 0, "nonce", arena),
		.expires_at = store_text(rows, 0, "expires_at", arena),
		.is_used = db_bool(rows, 0, "used"),
		.is_expired = db_bool(rows, 0, "expired"),
	};
}

int store_challenge(struct db *db, const char *tenant_id, const char *member, const char *id,
	struct arena *arena, struct challenge *ret_challenge, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (ask_challenge(db, &SQL_CHALLENGE_BY_ID, tenant_id, member, id, &rows, err) < 0)
		return -1;
	*ret_challenge = challenge_of(rows, member, arena);
	return 0;
}

/* One that another burnt at the same time is unused still in what this statement sees. */
int store_challenge_use(struct db *db, const char *tenant_id, const char *member, const char *id,
	struct arena *arena, struct challenge *ret_challenge, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	struct challenge challenge;

	if (ask_challenge(db, &SQL_CHALLENGE_USE, tenant_id, member, id, &rows, err) < 0)
		return -1;
	challenge = challenge_of(rows, member, arena);
	if (db_bool(rows, 0, "burnt")) {
		*ret_challenge = challenge;
		return 0;
	}
	if (challenge.is_expired && !challenge.is_used)
		return err_set(err, ERR_GONE, "challenge.expired",
			"this challenge has expired: ask for another");
	return err_set(
		err, ERR_CONFLICT, "challenge.used", "this challenge was used: ask for another");
}

/* --- certificates --- */

/* In the view's order of columns. */
static struct certificate certificate_of(
	const struct db_rows *rows, size_t row, struct arena *arena)
{
	return (struct certificate) {
		.tenant = store_text(rows, row, "tenant_id", arena),
		.space = store_text(rows, row, "space_id", arena),
		.id = store_text(rows, row, "id", arena),
		.member = store_text(rows, row, "member_id", arena),
		.member_name = store_text(rows, row, "member_name", arena),
		.member_state = store_text(rows, row, "member_state", arena),
		.tenant_name = store_text(rows, row, "tenant_name", arena),
		.name = store_text(rows, row, "name", arena),
		.labels = store_text(rows, row, "labels", arena),
		.fingerprint = store_text(rows, row, "fingerprint", arena),
		.spki = store_text(rows, row, "spki", arena),
		.subject = store_text(rows, row, "subject", arena),
		.serial = store_text(rows, row, "serial", arena),
		.not_before = store_text(rows, row, "not_before", arena),
		.not_after = store_text(rows, row, "not_after", arena),
		.algorithm = store_text(rows, row, "algorithm", arena),
		.source = store_text(rows, row, "source", arena),
		.pem = store_text(rows, row, "pem", arena),
		.replaces = store_text(rows, row, "replaces", arena),
		.replaced_by = store_text(rows, row, "replaced_by", arena),
		.retires_at = store_text(rows, row, "retires_at", arena),
		.revoked_at = store_text(rows, row, "revoked_at", arena),
		.revocation_reason = store_text(rows, row, "revocation_reason", arena),
		.state = store_text(rows, row, "state", arena),
		.warning_days = db_number(rows, row, "warning_days"),
		.revision = db_number(rows, row, "revision"),
		.created_at = store_text(rows, row, "created_at", arena),
	};
}

struct registering {
	const struct web_req *req;
	const struct registration *registration;
	struct certificate certificate;
	bool is_new;
};

static int name_taken(struct err *err)
{
	return store_conflict(
		err, "certificate.name_taken", "another certificate of this tenant has this name");
}

/* The row, and the record that this key has then, be it an older one. */
static int insert_certificate(struct db *db, struct registering *registering, struct err *err)
{
	const struct principal *who = registering->req->principal;
	const struct registration *new = registering->registration;
	const struct cert_info *info = new->info;
	struct db_statement asked[] = {
		{ &SQL_CERTIFICATE_INSERT,
			DB_PARAMS(who->tenant, who->space, new->id, who->subject, new->name,
				new->labels, info->fingerprint, info->spki, info->subject,
				info->serial, DB_NUMBER(info->not_before),
				DB_NUMBER(info->not_after), info->algorithm, new->source, new->pem,
				new->replaces ? new->replaces->id : NULL),
			NULL },
		{ &SQL_CERTIFICATE_BY_SPKI, DB_PARAMS(who->tenant, info->spki), NULL },
	};
	auto_rows struct db_rows *inserted = NULL, *rows = NULL;

	if (db_exec_all(db, asked, ARRAY_LEN(asked), err) < 0)
		return name_taken(err);
	inserted = asked[0].rows;
	rows = asked[1].rows;
	if (db_count(rows) != 1)
		return err_set(err, ERR_INTERNAL, "certificate.lost",
			"the certificate is not there after its insert");
	registering->is_new = db_count(inserted) == 1;
	registering->certificate = certificate_of(rows, 0, registering->req->arena);
	return 0;
}

static int end_issued(struct db *db, const struct certificate *certificate, const char *in_seconds,
	const char *reason, struct err *err)
{
	if (strcmp(certificate->source, CERTIFICATE_ISSUED) != 0)
		return 0;
	return db_exec(
		db, &SQL_ISSUED_END, DB_PARAMS(certificate->serial, in_seconds, reason), NULL, err);
}

static int retire_certificate(
	struct db *db, const char *tenant_id, const struct registration *new, struct err *err)
{
	auto_free char *overlap = mem_printf("%lld", new->overlap_seconds);
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_CERTIFICATE_REPLACE,
		    DB_PARAMS(tenant_id, new->replaces->id, new->id, overlap), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_CONFLICT, "certificate.not_active",
			"only an active certificate is replaced, and only once");
	return end_issued(db, new->replaces, overlap, "superseded", err);
}

static int register_certificate(struct db *db, void *arg, struct err *err)
{
	struct registering *registering = arg;
	const struct registration *new = registering->registration;
	const struct web_req *req = registering->req;

	if ((new->replaces &&retire_certificate(db, req->principal->tenant, new, err) < 0) ||
		insert_certificate(db, registering, err) < 0)
		return -1;
	if (new->replaces && !registering->is_new)
		return err_set(err, ERR_CONFLICT, "certificate.key_known",
			"this key has a record already: a replacement needs a new key");
	if (registering->is_new)
		audit(db,
			&(const struct audit_act) { .action = new->replaces ? "replace" : "create",
				.on = new->id,
				.detail = new->info->spki });
	if (registering->is_new)
		store_quota(db, STORE_QUOTA_CERTIFICATES);
	return resource_remember(db, req,
		new->replaces ? CERTIFICATE_ROTATE_ROUTE : CERTIFICATES_ROUTE,
		registering->certificate.id, err);
}

int store_certificate_add(struct db *db, const struct web_req *req,
	const struct registration *registration, struct certificate *ret_certificate,
	bool *ret_is_new, struct err *err)
{
	struct registering registering = { .req = req, .registration = registration };

	if (store_quota_tx(db, DB_TENANT(req->principal->tenant), register_certificate,
		    &registering, err) < 0)
		return -1;
	*ret_certificate = registering.certificate;
	*ret_is_new = registering.is_new;
	return 0;
}

/* 1: found, 0: there is none. */
static int find_certificate(struct db *db, const struct sql *sql, const char *tenant_id,
	const char *value, struct arena *arena, struct certificate *ret_certificate,
	struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), sql, DB_PARAMS(tenant_id, value), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return 0;
	*ret_certificate = certificate_of(rows, 0, arena);
	return 1;
}

int store_certificate(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct certificate *ret_certificate, struct err *err)
{
	int found = find_certificate(
		db, &SQL_CERTIFICATE_BY_ID, tenant_id, id, arena, ret_certificate, err);

	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "certificate.not_found",
			"there is no such certificate");
	return 0;
}

const struct web_read store_certificate_known = {
	.sql = &SQL_CERTIFICATE_BY_FINGERPRINT,
	.answer = certificate_answer_known,
	.ask = certificate_ask_known,
	.unless = "\"proof\"",
};

bool store_certificate_in(const struct db_rows *rows, struct certificate *ret_certificate)
{
	if (db_count(rows) == 0)
		return false;
	*ret_certificate = certificate_of(rows, 0, NULL);
	return true;
}

void store_certificate_put(
	struct db *db, const struct principal *who, const struct registration *new)
{
	const struct cert_info *info = new->info;

	db_at_commit(db, &SQL_CERTIFICATE_ISSUE,
		DB_PARAMS(who->tenant, who->space, new->id, who->subject, new->name,
			info->fingerprint, info->spki, info->subject, info->serial,
			DB_NUMBER(info->not_before), DB_NUMBER(info->not_after), info->algorithm,
			new->source, new->pem));
	audit(db, &(const struct audit_act) {
			  .action = "create", .on = new->id, .detail = info->spki });
}

void store_certificate_put_end(struct db *db)
{
	store_quota(db, STORE_QUOTA_CERTIFICATES);
}

static int add_issued(struct db *db, void *arg, struct err *err)
{
	const struct registering *registering = arg;

	(void)err;
	store_certificate_put(db, registering->req->principal, registering->registration);
	store_certificate_put_end(db);
	return 0;
}

int store_certificate_issue(struct db *db, const struct web_req *req,
	const struct registration *registration, struct certificate *ret_certificate,
	bool *ret_is_new, struct err *err)
{
	struct registering registering = { .req = req, .registration = registration };
	const char *tenant = req->principal->tenant;
	struct err failure = { .kind = ERR_NONE };
	int found;

	*ret_is_new =
		store_quota_tx(db, DB_TENANT(tenant), add_issued, &registering, &failure) == 0;
	if (*ret_is_new)
		return 0;
	if (strcmp(failure.code, "db.unique") == 0) {
		found = find_certificate(db, &SQL_CERTIFICATE_BY_SPKI, tenant,
			registration->info->spki, req->arena, ret_certificate, err);
		if (found != 0)
			return found < 0 ? -1 : 0;
	}
	*err = failure;
	return name_taken(err);
}

int store_certificate_issued(struct db *db, const char *fingerprint, struct arena *arena,
	struct certificate *ret_certificate, bool *ret_found, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	*ret_found = false;
	if (db_run(db, DB_SWEEP, &SQL_CERTIFICATE_HOLDERS, DB_PARAMS(fingerprint), &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows) && !*ret_found; i++) {
		if (store_certificate(db, db_text(rows, i, "tenant_id"), db_text(rows, i, "id"),
			    arena, ret_certificate, err) < 0)
			return -1;
		*ret_found = strcmp(ret_certificate->source, CERTIFICATE_ISSUED) == 0;
	}
	return 0;
}

static json_t *encode_certificate(const struct db_rows *rows, size_t row)
{
	struct certificate certificate = certificate_of(rows, row, NULL);

	return certificate_json(&certificate);
}

int store_certificate_list(struct db *db, const char *tenant_id,
	const struct certificate_filter *filter, const struct page *page, json_t **ret_list,
	struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_CERTIFICATE_LIST,
		    DB_PARAMS(tenant_id, page->before, filter->state, filter->expires_before,
			    filter->labels, page->limit),
		    &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, encode_certificate);
	return 0;
}

int store_certificate_describe(struct db *db, const struct certificate *certificate,
	const char *name, const char *labels, struct err *err)
{
	auto_free char *revision = mem_printf("%lld", certificate->revision);
	const struct audit_act act = { .action = "update", .on = certificate->id };
	int changed = audit_run(db, DB_TENANT(certificate->tenant), &SQL_CERTIFICATE_DESCRIBE,
		DB_PARAMS(certificate->tenant, certificate->id, revision, name, labels), &act, err);

	if (changed < 0)
		return name_taken(err);
	if (changed == 0)
		return err_set(err, ERR_PRECONDITION_FAILED, "resource.changed",
			"the resource has just changed");
	return 0;
}

struct revoking {
	const struct certificate *certificate;
	const char *reason, *comment;
};

static int revoke_certificate(struct db *db, void *arg, struct err *err)
{
	const struct revoking *revoking = arg;
	const struct certificate *certificate = revoking->certificate;
	struct store_revoking common = { .tenant = certificate->tenant,
		.space = certificate->space,
		.id = certificate->id,
		.revision = certificate->revision };

	if (store_revoke(db, &SQL_CERTIFICATE_REVOKE, &common, err) < 0 ||
		db_exec(db, &SQL_CERTIFICATE_REASON,
			DB_PARAMS(certificate->tenant, certificate->id, revoking->reason,
				revoking->comment),
			NULL, err) < 0)
		return -1;
	return end_issued(db, certificate, "0", revoking->reason, err);
}

int store_certificate_revoke(struct db *db, const struct certificate *certificate,
	const char *reason, const char *comment, struct err *err)
{
	struct revoking revoking = {
		.certificate = certificate, .reason = reason, .comment = comment
	};

	return db_tx(db, DB_TENANT(certificate->tenant), revoke_certificate, &revoking, err);
}

/* One page; the id to go on below, or "" behind the last. */
static int visit_page(struct db *db, const char *tenant_id, char before[ID_SIZE],
	store_certificate_visit *visit, void *arg, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	size_t count;

	if (db_run(db, DB_TENANT(tenant_id), &SQL_CERTIFICATE_LIST,
		    DB_PARAMS(tenant_id, before, NULL, NULL, NULL, EACH_PAGE), &rows, err) < 0)
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
