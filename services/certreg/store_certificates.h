/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges, certificates, and the standing of what our own CA issued, in the database; as store.h
 * says. */
#ifndef CERTREG_STORE_CERTIFICATES_H
#define CERTREG_STORE_CERTIFICATES_H

#include "lib/cert.h"
#include "services/certreg/store.h"

/* --- challenges --- */
struct challenge {
	const char *id, *member, *spki, *nonce, *expires_at;
	bool is_used, is_expired;
};

int store_challenge_add(struct db *db, const struct web_req *req, const struct challenge *challenge,
	long seconds, struct err *err);
int store_challenge(struct db *db, const char *tenant_id, const char *member, const char *id,
	struct arena *arena, struct challenge *ret_challenge, struct err *err);
/* Burns it: challenge.not_found, challenge.used, challenge.expired. */
int store_challenge_use(struct db *db, const char *tenant_id, const char *member, const char *id,
	struct arena *arena, struct challenge *ret_challenge, struct err *err);

/* --- certificates --- */
struct certificate {
	const char *id, *name, *labels, *fingerprint, *spki, *subject, *serial, *not_before,
		*not_after, *algorithm, *source, *state, *member, *member_name, *member_state,
		*tenant, *tenant_name, *space, *created_at, *pem;
	/* NULL where it does not apply */
	const char *replaces, *replaced_by, *retires_at, *revoked_at, *revocation_reason;
	long long warning_days; /* 30, 14, 7, 1; 0: none */
	long long revision;
};

/* A certificate whose proof was good. */
struct registration {
	const char *id, *name, *labels, *pem, *source; /* labels: JSON, or NULL */
	const struct cert_info *info;
	const struct certificate *replaces; /* or NULL */
	long long overlap_seconds;
};

/* Keeps the certificate, unless its SPKI is known to the tenant. Either way *ret_certificate is the
 * one record of that SPKI and *ret_is_new says which. One that replaces another fails with
 * certificate.not_active or certificate.key_known instead. certificate.name_taken. */
int store_certificate_add(struct db *db, const struct web_req *req,
	const struct registration *registration, struct certificate *ret_certificate,
	bool *ret_is_new, struct err *err);
int store_certificate(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct certificate *ret_certificate, struct err *err);
/* By its fingerprint. */
extern const struct web_read store_certificate_known;
/* The one row there is, if there is one; its texts are the rows'. */
bool store_certificate_in(const struct db_rows *rows, struct certificate *ret_certificate);
/* Keeps what our CA has issued, in one round trip. Of a key that the tenant knows *ret_certificate
 * is the record. certificate.name_taken. */
int store_certificate_issue(struct db *db, const struct web_req *req,
	const struct registration *registration, struct certificate *ret_certificate,
	bool *ret_is_new, struct err *err);
/* The same in a transaction that others share (struct web_change); a key that is known makes it
 * fail. The end holds all of them against the quota. */
void store_certificate_put(
	struct db *db, const struct principal *who, const struct registration *new);
void store_certificate_put_end(struct db *db);
/* The certificate that our CA issued with this fingerprint, of whatever tenant. */
int store_certificate_issued(struct db *db, const char *fingerprint, struct arena *arena,
	struct certificate *ret_certificate, bool *ret_found, struct err *err);

/* Whether this key is an active certificate of that member: certificate.not_own. */
int store_certificate_is_own(struct db *db, const char *tenant_id, const char *member,
	const char *spki, struct err *err);

struct certificate_filter {
	const char *state, *expires_before, *labels; /* each may be NULL */
};
int store_certificate_list(struct db *db, const char *tenant_id,
	const struct certificate_filter *filter, const struct page *page, json_t **ret_list,
	struct err *err);
int store_certificate_describe(struct db *db, const struct certificate *certificate,
	const char *name, const char *labels, struct err *err);
int store_certificate_revoke(struct db *db, const struct certificate *certificate,
	const char *reason, const char *comment, struct err *err);
/* All of a tenant, newest first, in pages. */
typedef int store_certificate_visit(
	const struct certificate *certificate, void *arg, struct err *err);
int store_certificates_each(struct db *db, const char *tenant_id, store_certificate_visit *visit,
	void *arg, struct err *err);

/* --- the end of certificates (store_expiry.c) --- */
struct certificate_ends {
	long long earliest;  /* Unix seconds; 0: none */
	long long within[4]; /* 1, 7, 14, 30 days; each has the ones before in it */
};
int store_certificate_ends(
	struct db *db, const char *tenant_id, struct certificate_ends *ret_ends, struct err *err);
struct certificate_warning {
	const char *tenant, *space, *id, *member, *name, *not_after;
	long long days;
};
typedef int store_warning_visit(
	struct db *db, const struct certificate_warning *warning, void *arg, struct err *err);
/* Calls `visit` within the transaction for each certificate that has come nearer to its end than it
 * was warned of: once for each of 30, 14, 7 and 1 days, whichever copy of the service is first. */
int store_certificates_warn(struct db *db, const char *tenant_id, store_warning_visit *visit,
	void *arg, struct err *err);

/* --- standing of issued serial numbers, of all tenants (store_expiry.c) --- */
struct issued_state {
	bool is_known, is_revoked;
	long long revoked_at;
	const char *serial, *reason;
};
int store_issued_state(struct db *db, const char *serial, struct arena *arena,
	struct issued_state *ret_state, struct err *err);
/* Another text when other serial numbers are revoked now. */
int store_issued_mark(struct db *db, struct arena *arena, const char **ret_mark, struct err *err);
typedef int store_issued_visit(const struct issued_state *state, void *arg, struct err *err);
int store_issued_revoked(struct db *db, store_issued_visit *visit, void *arg, struct err *err);

#endif
