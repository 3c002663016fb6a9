/* SPDX-License-Identifier: Apache-2.0 */
/* What tokens rest on: the credentials that buy them, the assertions that were used, and what has
 * been revoked. */
#ifndef CERTREG_STORE_TOKENS_H
#define CERTREG_STORE_TOKENS_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"

struct db;
struct worker;

/* --- credentials (store_tokens.c) --- */

/* An API key or a certificate with its member. `key` and `certificate` are ids, one of them is
 * NULL; what stands below each is the other's NULL too. */
struct credential {
	const char *key;
	const char *mac;
	const char *certificate;
	const char *spki, *fingerprint, *pem; /* the fingerprint is hex of the DER's SHA-256 */
	const char *scopes, *member, *roles, *tenant, *space, *tenant_name;
	const char *spaces;   /* that the tenant joined, or NULL; its own is not among them */
	long long expires_at; /* Unix seconds; 0: never */
	long long asked_at;   /* what was changed behind that, its tokens do not have */
	bool use_is_news;     /* of a key: its last use lies more than a minute back */
};

int store_key_used(struct db *db, const char *tenant_id, const char *key_id, struct err *err);
/* Always two statements, whether or not there is such a key or certificate that is good now. */
int store_credential(struct db *db, const char *id, struct arena *arena,
	struct credential *ret_credential, bool *ret_found, struct err *err);
/* The member's certificate of that fingerprint that is good now; NULL if there is none. */
int store_certificate_shown(struct db *db, const struct credential *of, const char *fingerprint,
	struct arena *arena, const char **ret_certificate, struct err *err);

/* --- assertions (store_tokens.c) --- */

/* auth.replayed when that jti of the subject was used before. */
int store_assertion_use(struct db *db, const char *tenant_id, const char *space_id,
	const char *subject, const char *jti, long long expires_at, struct err *err);

/* --- revocations (store_revocations.c) --- */

/* An id of a key, certificate, member or tenant. With `is_lifted` tokens made from now on are good
 * again (a tenant resumed, a member enabled), and those made before stay dead. */
struct revocation {
	const char *tenant, *space, *id;
	bool is_lifted;
};

/* In a transaction, with what is revoked. store_revocation_ring() behind the commit; without it the
 * outbox tells the services a second later. */
int store_revocation_add(struct db *db, const struct revocation *revocation, struct err *err);
void store_revocation_ring(const struct worker *worker);
/* What was revoked within the last `seconds`, as [{"subject","before"}]: no token on that id is
 * good that was made before `before`. The epoch never falls. */
int store_revoked(
	struct db *db, long seconds, json_t **ret_list, long long *ret_epoch, struct err *err);

#endif
