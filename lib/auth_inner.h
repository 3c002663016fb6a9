/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of auth share: the issuer's state, verified claims, and proofs of possession with
 * their memory. */
#ifndef STRONGROOM_AUTH_INNER_H
#define STRONGROOM_AUTH_INNER_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

#include "lib/digest.h"
#include "lib/err.h"

#define AUTH_SKEW_S 5LL
#define AUTH_STALE_MS 30000LL

struct auth;
struct web_req;

/* --- auth_state.c: one answer of certreg's auth-state, never changed after it was read --- */
struct auth_state;

int auth_state_read(const json_t *doc, struct auth_state **ret_state, struct err *err);
void auth_state_free(struct auth_state *state);
long long auth_state_epoch(const struct auth_state *state);
EVP_PKEY *auth_state_key(const struct auth_state *state, const char *kid); /* borrowed, or NULL */
bool auth_state_has_same_keys(const struct auth_state *state, const struct auth_state *other);
bool auth_state_is_revoked(const struct auth_state *state, const char *subject, long long iat);

/* --- auth_cache.c: claims of tokens whose signature was verified; any thread --- */
struct auth_cache;
struct auth_claims; /* shared and counted, never changed */

struct auth_claims *auth_claims_new(json_t *json); /* takes `json` over */
const json_t *auth_claims_json(const struct auth_claims *claims);
void auth_claims_release(void *arg); /* the claims, for arena_defer */

struct auth_cache *auth_cache_new(void);
void auth_cache_free(struct auth_cache *cache);
/* What was verified: this token, to be of this type, with this set of issuer keys. */
struct auth_mark {
	unsigned char digest[DIGEST_SIZE];
	const char *typ; /* static text */
	unsigned long long keys;
};
/* NULL, or a reference that the caller releases. */
struct auth_claims *auth_cache_get(struct auth_cache *cache, const struct auth_mark *mark);
void auth_cache_put(
	struct auth_cache *cache, const struct auth_mark *mark, struct auth_claims *claims);

/* --- auth_peers.c: the other services' public keys; any thread --- */
struct auth_peers;

struct auth_peers *auth_peers_new(const char *folder); /* borrowed */
void auth_peers_free(struct auth_peers *peers);
int auth_peers_key(struct auth_peers *peers, const char *name, EVP_PKEY **ret_key, struct err *err);

/* --- auth_binding.c: client certificates (RFC 8705) --- */
#define AUTH_X5T "x5t#S256" /* the member of `cnf` */

/* The request shows the certificate that the token is bound to, if it is to any. Codes:
 * auth.certificate_missing, auth.certificate_mismatch, auth.bad_client_certificate. */
int auth_binding_check(const struct web_req *req, const json_t *claims, struct err *err);

/* --- auth_spaces.c --- */
struct arena;

int auth_spaces_check(const json_t *claims, struct err *err);		   /* auth.invalid_token */
const char *auth_spaces_shared(const json_t *claims, struct arena *arena); /* joined by ',' */
bool auth_spaces_left(const struct auth_state *state, const json_t *claims, long long iat);

/* --- auth_limit.c --- */
struct limit;

/* By what the token rests on. limit.exceeded */
int auth_limit_caller(struct limit *limit, const json_t *claims, struct err *err);
struct limit *auth_source_limit(struct auth *auth); /* of auth.c; NULL: none */
struct limit *auth_attempt_limit(struct auth *auth);

/* --- auth_proof.c: DPoP (RFC 9449) --- */
struct auth_proofs; /* the jti seen within their life; any thread */

struct auth_proofs *auth_proofs_new(void);
void auth_proofs_free(struct auth_proofs *proofs);
struct auth_edge {
	const char *base_url, *names; /* of the configuration */
};
/* The request's DPoP header against the token it came with, whose claims are `bound` to a key
 * (cnf.jkt). Codes: auth.invalid_token, auth.proof_missing, auth.proof_invalid,
 * auth.too_many_proofs. */
int auth_proof_check(struct auth_proofs *proofs, const struct web_req *req,
	const struct auth_edge *edge, const char *token, const json_t *bound, struct err *err);

#endif
