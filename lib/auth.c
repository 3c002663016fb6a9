/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of a request, checked offline (auth.h). The issuer's state is replaced as a whole
 * under the write lock; a request takes the read lock only to find its key and to ask for
 * revocations. Services vouch for themselves by keys of their own (auth_peers.c).
 */
#include "lib/auth.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/auth_inner.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/fetch.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/jwt.h"
#include "lib/limit.h"
#include "lib/mem.h"
#include "lib/service.h"

#define ASSERTION_LIFE_S 60LL
#define LATE_SECONDS (AUTH_REVOKED_SECONDS - 60) /* clocks differ, and news takes its time */
#define ATTEMPT_SHARE 4 /* of all that an address may ask may be for one id */
#define MAX_PEM_BYTES 16384u
#define SERVICE_TYP "strongroom-service+jwt"

struct auth {
	const char *service_name;
	struct auth_edge edge;
	const char *certreg_url; /* the configuration's */
	EVP_PKEY *service_key;	 /* NULL: this program makes no assertions */
	struct auth_peers *peers;
	struct auth_proofs *proofs;
	struct auth_cache *cache;
	struct limit *callers, *sources, *attempts;
	pthread_rwlock_t lock; /* of what follows */
	struct auth_state *state;
	unsigned long long keys; /* counts the sets of issuer keys */
	long long state_ms;	 /* monotonic time at which `state` was asked for */
};

/* A kind of issued token: one typ, one scheme, one kind of subject. */
struct shape {
	enum web_access access;
	const char *typ, *scheme;
};

static const struct shape shapes[] = {
	{ WEB_MEMBER, "at+jwt", "Bearer" },
	{ WEB_AGENT, "strongroom-agent+jwt", "DPoP" },
	{ WEB_REGISTRY, "strongroom-registry+jwt", "Bearer" },
	{ WEB_SERVICE, SERVICE_TYP, "Bearer" },
};

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static int read_service_key(const char *path, EVP_PKEY **ret_key, struct err *err)
{
	auto_buf pem = BUF_INIT(MAX_PEM_BYTES);

	if (buf_read_file(&pem, path, err) < 0)
		return -1;
	if (cert_key_read((const char *)pem.data, pem.len, ret_key, err) < 0)
		return err_wrap(err, "'%s'", path);
	return 0;
}

struct auth *auth_new(const char *service_name, const struct service_conf *conf, struct err *err)
{
	EVP_PKEY *key = NULL;
	struct auth *auth;

	if (conf->service_key && *conf->service_key &&
		read_service_key(conf->service_key, &key, err) < 0)
		return NULL;
	auth = mem_alloc(sizeof(*auth));
	auth->service_name = service_name;
	auth->edge.base_url = or_empty(conf->base_url);
	auth->edge.names = or_empty(conf->edge_names);
	auth->certreg_url = or_empty(conf->certreg_url);
	auth->service_key = key;
	auth->peers = auth_peers_new(or_empty(conf->peers_dir));
	auth->proofs = auth_proofs_new();
	auth->cache = auth_cache_new();
	auth->callers = limit_new(conf->rate_per_key);
	auth->sources = limit_new(conf->rate_per_source);
	auth->attempts = limit_new((conf->rate_per_source + ATTEMPT_SHARE - 1) / ATTEMPT_SHARE);
	pthread_rwlock_init(&auth->lock, NULL);
	return auth;
}

void auth_free(struct auth *auth)
{
	if (!auth)
		return;
	pthread_rwlock_destroy(&auth->lock);
	auth_state_free(auth->state);
	auth_cache_free(auth->cache);
	limit_free(auth->callers);
	limit_free(auth->sources);
	limit_free(auth->attempts);
	auth_proofs_free(auth->proofs);
	auth_peers_free(auth->peers);
	EVP_PKEY_free(auth->service_key);
	free(auth);
}

struct limit *auth_source_limit(struct auth *auth)
{
	return auth->sources;
}

struct limit *auth_attempt_limit(struct auth *auth)
{
	return auth->attempts;
}

/* --- keys --- */

static int stale(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "auth.epoch_stale",
		"revocations were not confirmed for %lld s", AUTH_STALE_MS / 1000);
}

/* The number of the set of issuer keys that counts now. */
static int current_keys(struct auth *auth, unsigned long long *ret_keys, struct err *err)
{
	bool fresh;

	pthread_rwlock_rdlock(&auth->lock);
	fresh = auth->state && clock_monotonic_ms() - auth->state_ms < AUTH_STALE_MS;
	*ret_keys = auth->keys;
	pthread_rwlock_unlock(&auth->lock);
	return fresh ? 0 : stale(err);
}

int auth_ready(struct auth *auth, struct err *err)
{
	unsigned long long keys;

	return current_keys(auth, &keys, err);
}

static int issuer_key(struct auth *auth, const char *kid, EVP_PKEY **ret_key, struct err *err)
{
	EVP_PKEY *key;

	pthread_rwlock_rdlock(&auth->lock);
	key = auth_state_key(auth->state, kid);
	if (key)
		EVP_PKEY_up_ref(key);
	pthread_rwlock_unlock(&auth->lock);
	if (!key)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.unknown_key",
			"the token is by a key that the issuer does not have");
	*ret_key = key;
	return 0;
}

/* --- the token --- */

static int invalid(struct err *err, const char *what)
{
	return err_set(err, ERR_UNAUTHENTICATED, "auth.invalid_token", "%s", what);
}

static int credential(
	const struct web_req *req, const char *scheme, const char **ret_token, struct err *err)
{
	const char *text = web_header(req, "Authorization");
	size_t len = strlen(scheme);

	if (!text || strncasecmp(text, scheme, len) != 0 || text[len] != ' ')
		return err_set(err, ERR_UNAUTHENTICATED, "auth.missing",
			"needs 'Authorization: %s' and a token", scheme);
	text += len;
	*ret_token = text + strspn(text, " ");
	return 0;
}

/* The claims of `token`, whose type must be the shape's, and whose signature is good. */
static int verify_signature(struct auth *auth, const struct shape *shape, const char *token,
	json_t **ret_claims, struct err *err)
{
	static const char *const algorithms[] = { "ES256", NULL };
	auto_json json_t *header = NULL;
	auto_key EVP_PKEY *key = NULL;
	const char *kid;
	int found;

	if (jwt_header(token, shape->typ, algorithms, &header, err) < 0)
		return -1;
	kid = json_text(header, "kid");
	if (!kid)
		return invalid(err, "the token names no key");
	found = shape->access == WEB_SERVICE ? auth_peers_key(auth->peers, kid, &key, err)
					     : issuer_key(auth, kid, &key, err);
	if (found < 0)
		return -1;
	if (jose_token_verify(key, shape->typ, false, token, ret_claims, NULL) < 0)
		return invalid(err, "the token's signature is wrong");
	if (shape->access == WEB_SERVICE &&
		strcmp(or_empty(json_text(*ret_claims, "iss")), kid) != 0)
		return invalid(err, "the assertion is not by the service it names");
	return 0;
}

/* Each issued token's signature is verified once for a set of issuer keys. */
static int verify(struct auth *auth, const struct shape *shape, const char *token,
	struct auth_claims **ret_claims, struct err *err)
{
	bool issued = shape->access != WEB_SERVICE;
	struct auth_mark mark = { .typ = shape->typ };
	json_t *json = NULL;

	if (issued) {
		if (current_keys(auth, &mark.keys, err) < 0)
			return -1;
		digest_sha256(token, strlen(token), mark.digest);
		*ret_claims = auth_cache_get(auth->cache, &mark);
		if (*ret_claims)
			return 0;
	}
	if (verify_signature(auth, shape, token, &json, err) < 0) {
		json_decref(json);
		return -1;
	}
	*ret_claims = auth_claims_new(json);
	if (issued)
		auth_cache_put(auth->cache, &mark, *ret_claims);
	return 0;
}

static int check_audience(const struct auth *auth, const json_t *claims, struct err *err)
{
	const char *aud = json_text(claims, "aud");

	if (!aud || strcmp(aud, auth->service_name) != 0)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.wrong_audience",
			"the token is not for %s", auth->service_name);
	return 0;
}

/* The key or certificate that bought the token ends when it does, whatever outlives the token. */
static int check_credential(const json_t *claims, struct err *err)
{
	long long ends = json_integer_value(json_object_get(claims, "credential_exp"));

	if (!ends || clock_unix_ms() / 1000 < ends + AUTH_SKEW_S)
		return 0;
	return err_set(err, ERR_UNAUTHENTICATED, "auth.expired",
		"the key or certificate behind the token has expired");
}

/* Whatever the token rests on. */
static int check_revoked(struct auth *auth, const json_t *claims, struct err *err)
{
	static const char *const names[] = { "sub", "key", "crt", "tenant" };
	const char *bound = json_text(json_object_get(claims, "cnf"), "crt");
	long long iat = json_integer_value(json_object_get(claims, "iat"));
	bool revoked;

	pthread_rwlock_rdlock(&auth->lock);
	revoked = auth_state_is_revoked(auth->state, bound, iat) ||
		  auth_spaces_left(auth->state, claims, iat);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		revoked |= auth_state_is_revoked(auth->state, json_text(claims, names[i]), iat);
	pthread_rwlock_unlock(&auth->lock);
	if (revoked)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.revoked", "the token was revoked");
	return check_credential(claims, err);
}

/* Who a token of that kind may be about, with the claims that handlers rely on. */
static int check_subject(
	const struct auth *auth, enum web_access access, const json_t *claims, struct err *err)
{
	const char *subject = json_text(claims, "sub");
	bool member = id_is(subject, "mbr"), agent = id_is(subject, "sbx");

	if (access == WEB_SERVICE) {
		const char *issuer = json_text(claims, "iss");
		long long life = json_integer_value(json_object_get(claims, "exp")) -
				 json_integer_value(json_object_get(claims, "iat"));

		if (!subject || !issuer || strcmp(subject, issuer) != 0)
			return invalid(err, "the assertion is for another subject");
		return life > ASSERTION_LIFE_S ? invalid(err, "the assertion lives too long") : 0;
	}
	if (!(member && access != WEB_AGENT) && !(agent && access != WEB_MEMBER))
		return invalid(err, "the token is about another kind of subject");
	if (!id_is(json_text(claims, "tenant"), "tnt"))
		return invalid(err, "the token names no tenant");
	if (access != WEB_MEMBER)
		return 0;
	if (!id_is(json_text(claims, "space"), "spc"))
		return invalid(err, "the token names no space");
	if (*auth->edge.base_url &&
		strcmp(or_empty(json_text(claims, "iss")), auth->edge.base_url) != 0)
		return invalid(err, "the token is by another issuer");
	return auth_spaces_check(claims, err);
}

static struct principal *principal_of(
	struct web_req *req, enum web_access access, const json_t *claims)
{
	struct principal *principal = arena_alloc(req->arena, sizeof(*principal));

	*principal = (struct principal) {
		.kind = access,
		.subject = json_text(claims, "sub"),
		.tenant = access == WEB_SERVICE ? NULL : json_text(claims, "tenant"),
		.tenant_name = or_empty(json_text(claims, "tenant_name")),
		.space = or_empty(json_text(claims, "space")),
		.spaces = auth_spaces_shared(claims, req->arena),
		.roles = or_empty(json_text(claims, "roles")),
		.scope = or_empty(json_text(claims, "scope")),
		.jkt = json_text(json_object_get(claims, "cnf"), "jkt"),
		.claims = claims,
	};
	return principal;
}

static int check_times(const json_t *claims, bool late, struct err *err)
{
	long long iat = json_integer_value(json_object_get(claims, "iat"));
	struct err failure = { .kind = ERR_NONE };

	if (jwt_check_times(claims, AUTH_SKEW_S, &failure) == 0)
		return 0;
	if (late && strcmp(failure.code, "auth.expired") == 0 &&
		iat + LATE_SECONDS > clock_unix_ms() / 1000)
		return 0;
	if (err)
		*err = failure;
	return -1;
}

static int check_claims(struct auth *auth, const struct shape *shape, const json_t *claims,
	bool late, struct err *err)
{
	if (check_audience(auth, claims, err) < 0 || check_times(claims, late, err) < 0 ||
		check_subject(auth, shape->access, claims, err) < 0)
		return -1;
	return shape->access == WEB_SERVICE ? 0 : check_revoked(auth, claims, err);
}

static const struct shape *shape_of(enum web_access access)
{
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		if (shapes[i].access == access)
			return &shapes[i];
	}
	return NULL;
}

static int check(struct auth *auth, struct web_req *req, enum web_access access, const char *scope,
	bool late, const struct principal **ret_principal, struct err *err)
{
	const struct shape *shape = shape_of(access);
	struct auth_claims *verified = NULL;
	struct principal *principal;
	const char *token = NULL;
	const json_t *claims;

	if (!shape) { /* WEB_PUBLIC */
		*ret_principal = NULL;
		return 0;
	}
	if (credential(req, shape->scheme, &token, err) < 0 ||
		verify(auth, shape, token, &verified, err) < 0)
		return -1;
	arena_defer(req->arena, auth_claims_release, verified);
	claims = auth_claims_json(verified);
	if (check_claims(auth, shape, claims, late, err) < 0 ||
		auth_binding_check(req, claims, err) < 0)
		return -1;
	if (access == WEB_AGENT &&
		auth_proof_check(auth->proofs, req, &auth->edge, token, claims, err) < 0)
		return -1;
	principal = principal_of(req, access, claims);
	principal->late = late;
	req->principal = principal; /* whose it is, also if it is refused: for the record */
	if (access != WEB_SERVICE && auth_limit_caller(auth->callers, claims, err) < 0)
		return -1;
	if (!principal_may_call(principal, scope))
		return err_set(err, ERR_FORBIDDEN, "auth.scope_missing", "needs scope '%s'", scope);
	*ret_principal = principal;
	return 0;
}

int auth_check(struct auth *auth, struct web_req *req, enum web_access access, const char *scope,
	const struct principal **ret_principal, struct err *err)
{
	return check(auth, req, access, scope, false, ret_principal, err);
}

int auth_check_late(struct auth *auth, struct web_req *req, enum web_access access,
	const char *scope, const struct principal **ret_principal, struct err *err)
{
	return check(auth, req, access, scope, true, ret_principal, err);
}

int auth_check_revoked(struct auth *auth, const struct principal *principal, struct err *err)
{
	unsigned long long keys;

	if (current_keys(auth, &keys, err) < 0)
		return -1;
	return check_revoked(auth, principal->claims, err);
}

/* What can change under a token whose signature was good. */
int auth_recheck(struct auth *auth, const struct principal *principal, struct err *err)
{
	if (check_times(principal->claims, principal->late, err) < 0)
		return -1;
	if (principal->kind == WEB_SERVICE)
		return 0;
	return auth_check_revoked(auth, principal, err);
}

/* --- this service's own side --- */

static int replace_state(
	struct auth *auth, struct auth_state *state, long long asked_ms, struct err *err)
{
	struct auth_state *old;
	bool older;

	pthread_rwlock_wrlock(&auth->lock);
	older = auth->state && auth_state_epoch(state) < auth_state_epoch(auth->state);
	old = older ? state : auth->state;
	if (!older) {
		auth->keys += !auth->state || !auth_state_has_same_keys(auth->state, state);
		auth->state = state;
		auth->state_ms = asked_ms;
	}
	pthread_rwlock_unlock(&auth->lock);
	auth_state_free(old);
	if (older)
		return err_set(
			err, ERR_UNAVAILABLE, "auth.epoch_stale", "the issuer's epoch went back");
	return 0;
}

int auth_refresh(struct auth *auth, struct fetch *fetch, struct err *err)
{
	struct fetch_request req = { .method = "GET", .timeout_ms = 5000 };
	long long asked_ms = clock_monotonic_ms();
	struct auth_state *state = NULL;
	auto_json json_t *doc = NULL;
	auto_free char *url = NULL;

	if (fetch_split_url(
		    auth->certreg_url, "/internal/v1/auth-state", &url, &req.unix_socket, err) < 0)
		return -1;
	req.url = url;
	if (fetch_json(fetch, &req, NULL, &doc, NULL, err) < 0 ||
		auth_state_read(doc, &state, err) < 0)
		return -1;
	return replace_state(auth, state, asked_ms, err);
}

EVP_PKEY *auth_service_key(struct auth *auth, struct err *err)
{
	if (!auth->service_key)
		err_set(err, ERR_INTERNAL, "auth.no_service_key", "service_key is not configured");
	return auth->service_key;
}

char *auth_assertion_header(struct auth *auth, const char *audience, struct err *err)
{
	long long now = clock_unix_ms() / 1000;
	auto_json json_t *claims = NULL;
	char *token = NULL, *header, jti[ID_SIZE];

	if (!auth_service_key(auth, err))
		return NULL;
	id_new("jti", jti);
	claims = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "iss", auth->service_name, "sub",
		auth->service_name, "aud", audience, "iat", (json_int_t)now, "exp",
		(json_int_t)(now + ASSERTION_LIFE_S), "jti", jti);
	if (jose_token_sign(
		    auth->service_key, SERVICE_TYP, auth->service_name, claims, &token, err) < 0)
		return NULL;
	header = mem_printf("Authorization: Bearer %s", token);
	mem_wipe_free(token, strlen(token));
	return header;
}
