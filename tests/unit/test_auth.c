/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of members, of the registry and of services: what is accepted, and what each refusal is
 * called. */
#include <ctype.h>

#include "lib/jwt.h"
#include "tests/unit/auth_fixture.h"

#define SHARED "spc_00000000000000000000000000000001"
#define SHARED_TOO "spc_00000000000000000000000000000002"

/* --- members --- */

static void test_stale_before_the_first_answer(void)
{
	auto_free char *token = member_token();
	struct err err;

	CHECK_FAILS(check_member(token, &err), &err, "auth.epoch_stale");
	CHECK_NUMBER(err.kind, ERR_UNAVAILABLE);
	write_text(state_path, "{\"epoch\":1}");
	CHECK_FAILS(auth_refresh(auth, fetch, &err), &err, "auth.state_invalid");
	CHECK_FAILS(check_member(token, &err), &err, "auth.epoch_stale");
}

static void test_member(void)
{
	auto_free char *token = member_token(), *value = mem_printf("bearer %s", token);
	const struct principal *principal = NULL;
	struct request request;
	struct err err = { 0 };

	request_init(&request);
	add_header(&request, "authorization", value);
	CHECK_NUMBER(
		auth_check(auth, &request.call.req, WEB_MEMBER, "runs:write", &principal, &err), 0);
	CHECK_TEXT(err.code, "");
	CHECK_TEXT(principal->subject, MEMBER);
	CHECK_TEXT(principal->tenant, TENANT);
	CHECK_TEXT(principal->tenant_name, "acme");
	CHECK_TEXT(principal->space, SPACE);
	CHECK_NUMBER(principal->kind, WEB_MEMBER);
	CHECK(principal_has_role(principal, "admin") && principal_has_role(principal, "owner"));
	CHECK(!principal_has_role(principal, "adm") && !principal_has_role(principal, ""));
	CHECK(principal_has_scope(principal, "runs:read"));
	CHECK(!principal_has_scope(principal, "runs:read runs:write"));
	CHECK_TEXT(json_text(principal->claims, "key"), API_KEY);
	arena_free(request.arena);
}

static void test_missing(void)
{
	const struct principal *principal = NULL;
	auto_free char *token = member_token();
	struct request request;
	struct err err;

	request_init(&request);
	CHECK_FAILS(auth_check(auth, &request.call.req, WEB_MEMBER, NULL, &principal, &err), &err,
		"auth.missing");
	CHECK_NUMBER(auth_check(auth, &request.call.req, WEB_PUBLIC, NULL, &principal, &err), 0);
	CHECK(principal == NULL);
	arena_free(request.arena);
	CHECK_FAILS(check_as(WEB_MEMBER, "Basic", token, NULL, NULL, &err), &err, "auth.missing");
	CHECK_FAILS(check_as(WEB_MEMBER, "BearerX", token, NULL, NULL, &err), &err, "auth.missing");
	CHECK_FAILS(check_as(WEB_MEMBER, "Bearer", token, NULL, "runs", &err), &err,
		"auth.scope_missing");
	CHECK_NUMBER(err.kind, ERR_FORBIDDEN);
}

/* One claim changed (NULL: removed) and the code that follows. */
static void refuse_claim(const char *name, json_t *value, const char *code)
{
	json_t *claims = claims_of(MEMBER, "policy");
	auto_free char *token = NULL;
	struct err err;

	if (value)
		json_object_set_new(claims, name, value);
	else
		json_object_del(claims, name);
	token = sign(issuer, "at+jwt", "k1", claims);
	CHECK_FAILS(check_member(token, &err), &err, code);
}

static void test_claims(void)
{
	refuse_claim("aud", json_string("certreg"), "auth.wrong_audience");
	refuse_claim("aud", json_pack("[s,s]", "policy", "certreg"), "auth.wrong_audience");
	refuse_claim("aud", NULL, "auth.wrong_audience");
	refuse_claim("exp", json_integer(unix_s() - 6), "auth.expired");
	refuse_claim("exp", json_string("9999999999"), "auth.invalid_token");
	refuse_claim("exp", NULL, "auth.invalid_token");
	refuse_claim("iat", json_integer(unix_s() + 30), "auth.clock_skew");
	refuse_claim("iat", NULL, "auth.invalid_token");
	refuse_claim("nbf", json_integer(unix_s() + 30), "auth.not_yet_valid");
	refuse_claim("sub", json_string(SANDBOX), "auth.invalid_token");
	refuse_claim("sub", json_string("mbr_1"), "auth.invalid_token");
	refuse_claim("sub", NULL, "auth.invalid_token");
	refuse_claim("tenant", json_string("acme"), "auth.invalid_token");
	refuse_claim("tenant", NULL, "auth.invalid_token");
	refuse_claim("space", NULL, "auth.invalid_token");
	refuse_claim("iss", json_string("https://elsewhere"), "auth.invalid_token");
}

static void test_skew_is_tolerated(void)
{
	json_t *claims = claims_of(MEMBER, "policy");
	auto_free char *token = NULL;

	json_object_set_new(claims, "exp", json_integer(unix_s() - 2));
	json_object_set_new(claims, "iat", json_integer(unix_s() + 2));
	token = sign(issuer, "at+jwt", "k1", claims);
	CHECK_NUMBER(check_member(token, NULL), 0);
}

static void test_types_and_keys(void)
{
	static const char *const types[] = { "strongroom-agent+jwt", "strongroom-registry+jwt",
		"strongroom-service+jwt", "JWT", "AT+JWT" };
	auto_free char *foreign = sign(stranger, "at+jwt", "k1", claims_of(MEMBER, "policy"));
	auto_free char *unknown = sign(issuer, "at+jwt", "k2", claims_of(MEMBER, "policy"));
	auto_free char *good = member_token(), *cut = mem_strndup(good, strlen(good) - 4);
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		auto_free char *token = sign(issuer, types[i], "k1", claims_of(MEMBER, "policy"));

		CHECK_FAILS(check_member(token, &err), &err, "auth.wrong_type");
	}
	CHECK_FAILS(
		check_as(WEB_SERVICE, "Bearer", good, NULL, NULL, &err), &err, "auth.wrong_type");
	CHECK_FAILS(
		check_as(WEB_REGISTRY, "Bearer", good, NULL, NULL, &err), &err, "auth.wrong_type");
	CHECK_FAILS(check_as(WEB_AGENT, "DPoP", good, NULL, NULL, &err), &err, "auth.wrong_type");
	CHECK_FAILS(check_member(foreign, &err), &err, "auth.invalid_token");
	CHECK_FAILS(check_member(unknown, &err), &err, "auth.unknown_key");
	CHECK_FAILS(check_member(cut, &err), &err, "auth.invalid_token");
	CHECK_FAILS(check_member("", &err), &err, "auth.invalid_token");
	CHECK_FAILS(check_member("a.b.c", &err), &err, "auth.invalid_token");
	good[strlen(good) / 2] ^= 1;
	CHECK_FAILS(check_member(good, &err), &err, "auth.invalid_token");
}

static void test_algorithms(void)
{
	static const char *const others[] = { "none", "None", "HS256", "ES384", "" };
	auto_json json_t *claims = claims_of(MEMBER, "policy");
	auto_free char *text = json_dumps(claims, JSON_COMPACT);
	auto_free char *second = codec_b64url_text(text, strlen(text));
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		auto_free char *header =
			mem_printf("{\"alg\":\"%s\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}", others[i]);
		auto_free char *first = codec_b64url_text(header, strlen(header));
		auto_free char *token = mem_printf("%s.%s.", first, second);

		CHECK_FAILS(check_member(token, &err), &err, "auth.wrong_algorithm");
	}
}

static void test_oversized(void)
{
	auto_free char *good = member_token(), *token = mem_alloc(JWT_MAX_BYTES + 2);
	struct err err;

	memset(token, 'A', JWT_MAX_BYTES + 1);
	memcpy(token, good, strlen(good));
	CHECK_FAILS(check_member(token, &err), &err, "auth.too_large");
	token[JWT_MAX_BYTES] = '\0';
	CHECK_FAILS(check_member(token, &err), &err, "auth.invalid_token");
}

/* --- client certificates (RFC 8705) --- */

/* As nginx writes $ssl_client_escaped_cert. */
static char *escaped(const char *pem)
{
	char *text = mem_alloc(3 * strlen(pem) + 1), *to = text;

	for (; *pem; pem++)
		to += snprintf(to, 4, isalnum((unsigned char)*pem) ? "%c" : "%%%02X", *pem);
	return text;
}

static int check_bound(const char *token, const char *certificate, struct err *err)
{
	auto_free char *value = mem_printf("Bearer %s", token);
	const struct principal *principal = NULL;
	struct request request;
	int result;

	request_init(&request);
	add_header(&request, "Authorization", value);
	add_header(&request, "X-Client-Cert", certificate);
	result = auth_check(auth, &request.call.req, WEB_MEMBER, NULL, &principal, err);
	arena_free(request.arena);
	return result;
}

static char *bound_token(const char *pem)
{
	json_t *claims = claims_of(MEMBER, "policy");
	unsigned char digest[DIGEST_SIZE];
	auto_free unsigned char *der = NULL;
	auto_free char *x5t = NULL;
	struct cert_info info;
	size_t len;

	CHECK_NUMBER(cert_parse(pem, strlen(pem), &info, NULL, &der, &len, NULL), 0);
	digest_sha256(der, len, digest);
	x5t = codec_b64url_text(digest, sizeof(digest));
	json_object_set_new(
		claims, "cnf", json_pack("{s:s,s:s}", "x5t#S256", x5t, "crt", CERTIFICATE));
	return sign(issuer, "at+jwt", "k1", claims);
}

static void test_bound(void)
{
	auto_free char *own = NULL, *other = NULL, *token = NULL;
	auto_free char *shown = NULL, *wrong = NULL, *free_token = member_token();
	struct err err;

	CHECK_NUMBER(cert_self_sign(agent, "own", 1, &own, NULL), 0);
	CHECK_NUMBER(cert_self_sign(stranger, "other", 1, &other, NULL), 0);
	token = bound_token(own);
	shown = escaped(own);
	wrong = escaped(other);
	for (int i = 0; i < 2; i++) { /* the second time by the cache */
		CHECK_NUMBER(check_bound(token, shown, &err), 0);
		CHECK_FAILS(check_member(token, &err), &err, "auth.certificate_missing");
		CHECK_FAILS(check_bound(token, "", &err), &err, "auth.certificate_missing");
		CHECK_FAILS(check_bound(token, wrong, &err), &err, "auth.certificate_mismatch");
	}
	CHECK_FAILS(check_bound(token, "%zz", &err), &err, "auth.bad_client_certificate");
	CHECK_FAILS(check_bound(token, "x", &err), &err, "auth.bad_client_certificate");
	CHECK_FAILS(check_bound(token, own + 1, &err), &err, "auth.bad_client_certificate");
	CHECK_NUMBER(check_bound(free_token, wrong, &err), 0); /* binds nothing */
	CHECK_NUMBER(refresh(1, CERTIFICATE, unix_s() + 100, &err), 0);
	CHECK_FAILS(check_bound(token, shown, &err), &err, "auth.revoked");
	CHECK_NUMBER(refresh(1, NULL, 0, &err), 0);
}

static void test_revoked(void)
{
	static const char *const subjects[] = { MEMBER, API_KEY, CERTIFICATE, TENANT };
	auto_free char *token = member_token();
	long long iat = unix_s();
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
		CHECK_NUMBER(refresh(2, subjects[i], iat + 100, &err), 0);
		CHECK_FAILS(check_member(token, &err), &err, "auth.revoked");
		CHECK_NUMBER(
			refresh(2, subjects[i], iat - 100, &err), 0); /* older than the token */
		CHECK_NUMBER(check_member(token, &err), 0);
	}
	CHECK_NUMBER(refresh(2, NULL, 0, &err), 0);
}

static int check_late(long long age, const struct principal **ret_principal,
	struct request *request, struct err *err)
{
	json_t *claims = claims_of(MEMBER, "policy");
	auto_free char *token = NULL, *value = NULL;

	json_object_set_new(claims, "iat", json_integer(unix_s() - age));
	json_object_set_new(claims, "exp", json_integer(unix_s() - age + 300));
	token = sign(issuer, "at+jwt", "k1", claims);
	CHECK(age < 300 || check_member(token, NULL) < 0);
	value = mem_printf("Bearer %s", token);
	request_init(request);
	add_header(request, "Authorization", arena_strdup(request->arena, value));
	return auth_check_late(auth, &request->call.req, WEB_MEMBER, NULL, ret_principal, err);
}

/* A token that expired counts for what was begun, but for no longer than revocations are told. */
static void test_late(void)
{
	const struct principal *principal = NULL;
	struct request request;
	struct err err;

	CHECK_NUMBER(check_late(10, &principal, &request, &err), 0);
	arena_free(request.arena);
	CHECK_FAILS(
		check_late(AUTH_REVOKED_SECONDS, &principal, &request, &err), &err, "auth.expired");
	arena_free(request.arena);
	CHECK_NUMBER(check_late(AUTH_REVOKED_SECONDS - 100, &principal, &request, &err), 0);
	CHECK_NUMBER(auth_recheck(auth, principal, &err), 0);
	CHECK_NUMBER(auth_check_revoked(auth, principal, &err), 0);
	CHECK_NUMBER(refresh(2, MEMBER, unix_s(), &err), 0);
	CHECK_FAILS(auth_recheck(auth, principal, &err), &err, "auth.revoked");
	CHECK_FAILS(auth_check_revoked(auth, principal, &err), &err, "auth.revoked");
	arena_free(request.arena);
	CHECK_FAILS(check_late(400, &principal, &request, &err), &err, "auth.revoked");
	arena_free(request.arena);
	CHECK_NUMBER(refresh(2, NULL, 0, &err), 0);
}

static char *token_in(json_t *spaces)
{
	json_t *claims = claims_of(MEMBER, "policy");

	json_object_set_new(claims, "spaces", spaces);
	return sign(issuer, "at+jwt", "k1", claims);
}

/* What it shares, and that the token dies when its tenant is no longer in all of it. */
static void test_spaces(void)
{
	auto_free char *token = token_in(json_pack("[s,s,s]", SPACE, SHARED, SHARED_TOO)),
		       *value = mem_printf("Bearer %s", token);
	const struct principal *principal = NULL;
	long long later = unix_s() + 100;
	struct request request;
	struct err err;

	request_init(&request);
	add_header(&request, "Authorization", value);
	CHECK_NUMBER(auth_check(auth, &request.call.req, WEB_MEMBER, NULL, &principal, NULL), 0);
	CHECK_TEXT(principal->spaces, SHARED "," SHARED_TOO);
	CHECK(principal_in_space(principal, SPACE) && principal_in_space(principal, SHARED_TOO));
	CHECK(!principal_in_space(principal, "spc_") && !principal_in_space(principal, ""));
	CHECK(!principal_in_space(principal, "spc_00000000000000000000000000000003"));
	CHECK_NUMBER(refresh(2, SHARED_TOO "/" TENANT, later, &err), 0);
	CHECK_FAILS(check_member(token, &err), &err, "auth.revoked");
	CHECK_FAILS(auth_recheck(auth, principal, &err), &err, "auth.revoked");
	CHECK_NUMBER(refresh(2, SHARED_TOO "/" TENANT, unix_s() - 100, &err), 0);
	CHECK_NUMBER(check_member(token, &err), 0); /* in again before the token was made */
	CHECK_NUMBER(
		refresh(2, SHARED_TOO "/tnt_00000000000000000000000000000001", later, &err), 0);
	CHECK_NUMBER(check_member(token, &err), 0);
	CHECK_NUMBER(refresh(2, NULL, 0, &err), 0);
	arena_free(request.arena);
	refuse_claim("spaces", json_pack("[s,s]", SPACE, "spc_1,spc_2"), "auth.invalid_token");
	refuse_claim("spaces", json_pack("[s,i]", SPACE, 1), "auth.invalid_token");
	refuse_claim("spaces", json_string(SPACE), "auth.invalid_token");
}

static void test_stale(void)
{
	auto_free char *token = member_token();
	struct err err;

	CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
	CHECK_FAILS(refresh(2, NULL, 0, &err), &err, "auth.epoch_stale");
	CHECK_NUMBER(check_member(token, &err), 0);
	clock_offset_s += 28;
	CHECK_NUMBER(check_member(token, &err), 0);
	clock_offset_s += 3;
	CHECK_FAILS(check_member(token, &err), &err, "auth.epoch_stale");
	CHECK_FAILS(refresh(2, NULL, 0, &err), &err, "auth.epoch_stale");
	CHECK_FAILS(check_member(token, &err), &err, "auth.epoch_stale");
	CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
	CHECK_NUMBER(check_member(token, &err), 0);
}

/* A signature is verified once: all else must hold each time. */
static void test_known_token(void)
{
	auto_free char *token = member_token(), *twisted = mem_strdup(token);
	EVP_PKEY *original = issuer;
	struct err err;

	twisted[strlen(twisted) - 8] ^= 1;
	for (int i = 0; i < 3; i++) {
		CHECK_NUMBER(check_member(token, NULL), 0);
		CHECK_FAILS(check_member(twisted, &err), &err, "auth.invalid_token");
		CHECK_FAILS(check_as(WEB_REGISTRY, "Bearer", token, NULL, NULL, &err), &err,
			"auth.wrong_type");
	}
	issuer = stranger; /* the same kid names another key now */
	CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
	CHECK_FAILS(check_member(token, &err), &err, "auth.invalid_token");
	issuer = original;
	CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
	CHECK_NUMBER(check_member(token, NULL), 0);
	CHECK_NUMBER(refresh(3, API_KEY, unix_s() + 100, &err), 0);
	CHECK_FAILS(check_member(token, &err), &err, "auth.revoked");
	CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
	clock_offset_s += 606;
	CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
	CHECK_FAILS(check_member(token, &err), &err, "auth.expired");
}

/* Who was let in and waits is asked again, without a signature. */
static void test_recheck(void)
{
	auto_free char *token = member_token(), *value = mem_printf("Bearer %s", token);
	const struct principal *principal = NULL;
	struct request request;
	struct err err;

	request_init(&request);
	add_header(&request, "Authorization", value);
	CHECK_NUMBER(auth_check(auth, &request.call.req, WEB_MEMBER, NULL, &principal, NULL), 0);
	CHECK_NUMBER(auth_recheck(auth, principal, NULL), 0);
	CHECK_NUMBER(refresh(3, API_KEY, unix_s() + 100, &err), 0);
	CHECK_FAILS(auth_recheck(auth, principal, &err), &err, "auth.revoked");
	CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
	CHECK_NUMBER(auth_recheck(auth, principal, NULL), 0);
	clock_offset_s += 31;
	CHECK_FAILS(auth_recheck(auth, principal, &err), &err, "auth.epoch_stale");
	clock_offset_s += 575;
	CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
	CHECK_FAILS(auth_recheck(auth, principal, &err), &err, "auth.expired");
	arena_free(request.arena);
}

/* --- registry tokens and services --- */

static void test_registry(void)
{
	auto_free char *member =
		sign(issuer, "strongroom-registry+jwt", "k1", claims_of(MEMBER, "policy"));
	auto_free char *sandbox =
		sign(issuer, "strongroom-registry+jwt", "k1", claims_of(SANDBOX, "policy"));
	auto_free char *nobody =
		sign(issuer, "strongroom-registry+jwt", "k1", claims_of("policy", "policy"));
	struct err err;

	CHECK_NUMBER(check_as(WEB_REGISTRY, "Bearer", member, NULL, NULL, &err), 0);
	CHECK_NUMBER(check_as(WEB_REGISTRY, "Bearer", sandbox, NULL, NULL, &err), 0);
	CHECK_FAILS(check_as(WEB_REGISTRY, "Bearer", nobody, NULL, NULL, &err), &err,
		"auth.invalid_token");
}

static json_t *assertion(
	const char *issuer_name, const char *subject, const char *audience, long long life)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "iss", issuer_name, "sub", subject,
		"aud", audience, "iat", unix_s(), "exp", unix_s() + life, "jti", "x");
}

static void refuse_assertion(EVP_PKEY *key, const char *kid, json_t *claims, const char *code)
{
	auto_free char *token = sign(key, "strongroom-service+jwt", kid, claims);
	struct err err;

	CHECK_FAILS(check_as(WEB_SERVICE, "Bearer", token, NULL, NULL, &err), &err, code);
}

static void test_services(void)
{
	auto_free char *header = auth_assertion_header(auth, "policy", NULL);
	auto_free char *elsewhere = auth_assertion_header(auth, "certreg", NULL);
	struct err err;

	CHECK(strncmp(header, "Authorization: Bearer ", 22) == 0);
	CHECK_NUMBER(check_as(WEB_SERVICE, "Bearer", header + 22, NULL, NULL, &err), 0);
	CHECK_NUMBER(
		check_as(WEB_SERVICE, "Bearer", header + 22, NULL, NULL, &err), 0); /* cached */
	CHECK_NUMBER(check_as(WEB_SERVICE, "Bearer", header + 22, NULL, "certreg policy", &err), 0);
	CHECK_FAILS(check_as(WEB_SERVICE, "Bearer", header + 22, NULL, "certreg policy2", &err),
		&err, "auth.scope_missing");
	CHECK_FAILS(check_as(WEB_SERVICE, "Bearer", elsewhere + 22, NULL, NULL, &err), &err,
		"auth.wrong_audience");
	CHECK_FAILS(check_member(header + 22, &err), &err, "auth.wrong_type");
	refuse_assertion(stranger, "policy", assertion("policy", "policy", "policy", 60),
		"auth.invalid_token");
	refuse_assertion(service, "policy", assertion("certreg", "certreg", "policy", 60),
		"auth.invalid_token");
	refuse_assertion(
		service, "policy", assertion("policy", MEMBER, "policy", 60), "auth.invalid_token");
	refuse_assertion(service, "policy", assertion("policy", "policy", "policy", 61),
		"auth.invalid_token");
	refuse_assertion(
		service, "policy", assertion("policy", "policy", "policy", -10), "auth.expired");
	refuse_assertion(service, "unknown", assertion("unknown", "unknown", "policy", 60),
		"auth.invalid_token");
	refuse_assertion(service, "../policy", assertion("../policy", "../policy", "policy", 60),
		"auth.invalid_token");
}

int main(void)
{
	setup();
	test_stale_before_the_first_answer();
	CHECK_NUMBER(refresh(1, NULL, 0, NULL), 0);
	test_member();
	test_missing();
	test_claims();
	test_skew_is_tolerated();
	test_types_and_keys();
	test_algorithms();
	test_oversized();
	test_bound();
	test_revoked();
	test_late();
	test_spaces();
	test_stale();
	test_known_token();
	test_recheck();
	test_registry();
	test_services();
	teardown();
	CHECK_DONE();
}
