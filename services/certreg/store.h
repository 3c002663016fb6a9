/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every database call of certreg. Texts of the structs that come back live in the arena that was
 * given, or, in an encoder's hands (store_*_list), in the rows. "Not found" is a return of 0 with
 * `found` false where the caller has something to say about it, and otherwise an error with the
 * resource's code.
 */
#ifndef CERTREG_STORE_H
#define CERTREG_STORE_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/cert.h"
#include "lib/resource.h"

extern const struct sql *const store_forgets[]; /* of struct service */

/* --- tenants and members (store.c) --- */
struct tenant {
	const char *id, *space, *name, *state, *created_at;
	long long revision;
};

struct member {
	const char *id, *name, *kind, *roles, *state, *created_at;
	long long revision;
};

/* Called once for each tenant. */
typedef int store_visit(const char *tenant_id, void *arg, struct err *err);
int store_tenants_each(struct db *db, store_visit *visit, void *arg, struct err *err);

int store_tenant(struct db *db, const char *tenant_id, struct arena *arena,
	struct tenant *ret_tenant, struct err *err);
/* tenant.exists when the name is taken. */
int store_tenant_add(struct db *db, const struct tenant *tenant, struct err *err);
int store_member(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct member *ret_member, struct err *err);
int store_member_named(struct db *db, const char *tenant_id, const char *name, struct arena *arena,
	struct member *ret_member, bool *ret_found, struct err *err);
/* `req` for its Idempotency-Key, or NULL. member.exists. */
int store_member_add(struct db *db, const struct web_req *req, const struct tenant *tenant,
	const struct member *member, struct err *err);
int store_member_list(struct db *db, const char *tenant_id, const struct page *page,
	json_t **ret_list, struct err *err);

/* --- API keys (store_keys.c) --- */
struct key {
	const char *id, *member, *member_roles, *name, *scopes, *state, *created_at, *expires_at,
		*last_used_at; /* these two or NULL */
	const char *mac;       /* for store_key_add() only */
	long long revision;
};

/* `req` for its Idempotency-Key, or NULL. key.exists. */
int store_key_add(struct db *db, const struct web_req *req, const char *tenant_id,
	const char *space_id, const struct key *key, struct err *err);
/* A successor for `replaced` (of this revision), which lives on for `overlap_s`: key.exists,
 * key.not_active. */
int store_key_rotate(struct db *db, const struct web_req *req, const struct key *replaced,
	const struct key *key, long overlap_s, struct err *err);
int store_key_used(struct db *db, const char *tenant_id, const char *key_id, struct err *err);
int store_key(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct key *ret_key, struct err *err);
/* Of one member, or of all with member NULL. */
int store_key_list(struct db *db, const char *tenant_id, const char *member,
	const struct page *page, json_t **ret_list, struct err *err);
/* Takes the key away and tells auth-state, in one transaction. */
int store_key_revoke(struct db *db, const char *tenant_id, const char *space_id, const char *id,
	long long revision, struct err *err);

/* --- challenges and certificates (store_certificates.c) --- */
struct challenge {
	const char *id, *member, *spki, *nonce, *expires_at;
	bool is_used, is_expired;
};

int store_challenge_add(struct db *db, const struct web_req *req, const struct challenge *challenge,
	long seconds, struct err *err);
int store_challenge(struct db *db, const char *tenant_id, const char *member, const char *id,
	struct arena *arena, struct challenge *ret_challenge, struct err *err);
/* Burns it: challenge.unknown, challenge.used, challenge.expired. */
int store_challenge_use(struct db *db, const char *tenant_id, const char *member, const char *id,
	struct arena *arena, struct challenge *ret_challenge, struct err *err);

struct certificate {
	const char *id, *name, *fingerprint, *spki, *subject, *serial, *not_before, *not_after,
		*algorithm, *state, *member, *member_name, *tenant_name, *created_at, *pem;
	long long revision;
};

/* A certificate whose proof was good. */
struct registration {
	const char *id, *name, *pem;
	const struct cert_info *info;
};

/* Keeps the certificate, unless its SPKI is known to the tenant. Either way *ret_certificate is the
 * one record of that SPKI and *ret_is_new says which. */
int store_certificate_add(struct db *db, const struct web_req *req,
	const struct registration *registration, struct certificate *ret_certificate,
	bool *ret_is_new, struct err *err);
int store_certificate(struct db *db, const char *tenant_id, const char *id, struct arena *arena,
	struct certificate *ret_certificate, struct err *err);
/* Whether this key is an active certificate of that member: certificate.not_own. */
int store_certificate_is_own(struct db *db, const char *tenant_id, const char *member,
	const char *spki, struct err *err);
/* `state` filters, or is NULL. */
int store_certificate_list(struct db *db, const char *tenant_id, const char *state,
	const struct page *page, json_t **ret_list, struct err *err);
int store_certificate_revoke(struct db *db, const char *tenant_id, const char *space_id,
	const char *id, long long revision, struct err *err);
/* All of a tenant, newest first, in pages. */
typedef int store_certificate_visit(
	const struct certificate *certificate, void *arg, struct err *err);
int store_certificates_each(struct db *db, const char *tenant_id, store_certificate_visit *visit,
	void *arg, struct err *err);

#endif
