/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is calling. Tokens are verified offline against the token issuer's keys, which a background
 * loop refreshes from certreg's /internal/v1/auth-state every 5 s with the list of revoked
 * subjects; a service that has not seen it for 30 s refuses with auth.epoch_stale (503).
 *
 * A token with cnf{"x5t#S256"} (RFC 8705) is good only beside that client certificate; it is dead
 * once any of its sub, key, crt, cnf.crt, tenant was revoked after it was made, or one of its
 * spaces for its tenant.
 *
 * Token shapes (RFC 9068 / RFC 7519, ES256, `typ` exact, `aud` exactly one service):
 *   at+jwt                  member's API token: iss sub(mbr_) tenant space spaces roles scope aud
 * exp iat jti strongroom-agent+jwt    sub(sbx_) boot tenant aud cnf{jkt}; needs a DPoP proof (RFC
 * 9449) in the same request strongroom-registry+jwt sub tenant aud=registry-gw access[]
 * (registry.md); agents' carry image{digest} strongroom-service+jwt  RFC 7523 assertion:
 * iss=sub=service, aud=service, exp <= 60 s, by its key file
 */
#ifndef STRONGROOM_AUTH_H
#define STRONGROOM_AUTH_H

#include <jansson.h>
#include <openssl/types.h>
#include <stdbool.h>

#include "lib/digest.h"
#include "lib/err.h"
#include "lib/web.h"

struct auth;
struct service_conf;

/* Rung (lib/wake.h) when something was revoked: every service then asks for auth-state at once. */
#define AUTH_EPOCH_TOPIC "epoch"

struct principal {
	enum web_access kind;
	const char *subject; /* mbr_…, sbx_…, or a service's name */
	const char *tenant;  /* tnt_…; NULL for services */
	const char *tenant_name;
	const char *space;    /* the tenant's own space */
	const char *spaces;   /* those that it shares, joined by ','; "" for none */
	const char *roles;    /* space separated */
	const char *scope;    /* space separated */
	const char *jkt;      /* agents: thumbprint of the machine signing key */
	const json_t *claims; /* the whole token, borrowed */
	bool late;	      /* let in by auth_check_late() */
};

struct auth *auth_new(const char *service_name, const struct service_conf *conf, struct err *err);
void auth_free(struct auth *auth);

/* Checks the request's credentials for a route's access kind. Codes: those of lib/jwt.h and
 * auth.missing, auth.unknown_key, auth.wrong_audience, auth.proof_missing, auth.proof_invalid,
 * auth.replayed, auth.certificate_missing, auth.certificate_mismatch, auth.revoked,
 * auth.scope_missing, auth.epoch_stale, limit.exceeded. The principal lives in req->arena, and
 * stands in the request also when auth.scope_missing refuses it. */
int auth_check(struct auth *auth, struct web_req *req, enum web_access access, const char *scope,
	const struct principal **ret_principal, struct err *err);

/* certreg's auth-state names what was revoked for so long, so a token may be asked about for so
 * long after it was made. */
#define AUTH_REVOKED_SECONDS 1200
/* auth_check() for the next step of something that was begun with a good token: one that has
 * expired meanwhile still says who it is, for a little less than AUTH_REVOKED_SECONDS, and no
 * longer than the key or certificate behind it lives. */
int auth_check_late(struct auth *auth, struct web_req *req, enum web_access access,
	const char *scope, const struct principal **ret_principal, struct err *err);
/* Whether a principal was revoked, or its key or certificate ended, the token expired or not: for
 * streams that outlive their token, asked more often than each AUTH_REVOKED_SECONDS. Codes:
 * auth.revoked, auth.expired, auth.epoch_stale. */
int auth_check_revoked(struct auth *auth, const struct principal *principal, struct err *err);

/* Whether anybody can be let in now: auth.epoch_stale. */
int auth_ready(struct auth *auth, struct err *err);

/* Whether who was let in before still is: expiry and revocation, no signature. For requests that
 * wait or stream. Codes: auth.expired, auth.revoked, auth.epoch_stale. */
int auth_recheck(struct auth *auth, const struct principal *principal, struct err *err);

/* SHA-256 of the client certificate that the edge was shown; *ret_shown says whether there was one.
 * auth.bad_client_certificate. */
int auth_client_certificate(const struct web_req *req, unsigned char ret_digest[DIGEST_SIZE],
	bool *ret_shown, struct err *err);

/* Before a public route that checks secrets looks at any: the address that the edge saw may not
 * come too often, nor try `id` (or NULL) too often. Others' attempts never count against the owner
 * of an id at another address. limit.exceeded, with err->retry_s. */
int auth_limit_attempt(
	struct auth *auth, const struct web_req *req, const char *id, struct err *err);

/* Fetches the issuer's keys and revocations once; service.c's loop calls it. `fetch` as in fetch.h.
 */
struct fetch;
int auth_refresh(struct auth *auth, struct fetch *fetch, struct err *err);

/* A fresh assertion of this service for `audience`; "Authorization: Bearer …", caller frees. */
char *auth_assertion_header(struct auth *auth, const char *audience, struct err *err);

/* What this service says about something, as a JWT of that type by its service key, and the public
 * key to check it with ({kty,crv,x,y,use,alg,kid}; kid is its thumbprint). auth.no_service_key */
int auth_statement(struct auth *auth, const char *typ, const json_t *claims, char **ret_token,
	struct err *err);
int auth_statement_key(struct auth *auth, json_t **ret_jwk, struct err *err);
EVP_PKEY *auth_service_key(struct auth *auth, struct err *err); /* theirs; NULL: none */

bool principal_has_role(const struct principal *principal, const char *role);
/* One of the space-separated roles, or auth.role_missing (403). */
int principal_need_role(const struct principal *principal, const char *roles, struct err *err);
bool principal_has_scope(const struct principal *principal, const char *scope);
/* The tenant's own space, or one that it shares. */
bool principal_in_space(const struct principal *principal, const char *space);
/* A route's `scope`: one that the token must hold; where services call, their names. */
bool principal_may_call(const struct principal *principal, const char *scope);

#endif
