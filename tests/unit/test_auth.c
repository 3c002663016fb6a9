/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials against a real issuer's state, fetched from a small server that the test forks (it
 * answers with whatever stands in a file). Time is moved by a clock_gettime() of our own in front
 * of libc's.
 */
#include "lib/auth.h"

#include <openssl/pem.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/fetch.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "lib/web_inner.h"
#include "tests/unit/check.h"

#define BASE_URL "https://edge.test:8443"
#define MEMBER "mbr_0190f1c20190f1c20190f1c20190f1c2"
#define SANDBOX "sbx_0190f1c20190f1c20190f1c20190f1c2"
#define TENANT "tnt_0190f1c20190f1c20190f1c20190f1c2"
#define SPACE "spc_0190f1c20190f1c20190f1c20190f1c2"
#define API_KEY "key_0190f1c20190f1c20190f1c20190f1c2"

static long long clock_offset_s;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int result = (int)syscall(SYS_clock_gettime, clock, ret_time);

	ret_time->tv_sec += clock_offset_s;
	return result;
}

static char folder[] = "/tmp/test_auth.XXXXXX";
static char *state_path, *socket_path;
static EVP_PKEY *issuer, *agent, *service, *stranger;
static struct service_conf conf;
static struct auth *auth;
static struct fetch *fetch;

/* --- the issuer --- */

static void serve(int listener)
{
	for (;;) {
		auto_fd int fd = accept(listener, NULL, NULL);
		auto_buf state = BUF_INIT(1 << 20);
		auto_free char *head = NULL;
		char request[4096];

		if (read(fd, request, sizeof(request)) <= 0 ||
			buf_read_file(&state, state_path, NULL) < 0)
			continue;
		head = mem_printf("HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
			strncmp(request, "GET /internal/v1/auth-state ", 28) == 0 ? "200 OK"
										  : "404 Not Found",
			state.len);
		send(fd, head, strlen(head), MSG_NOSIGNAL);
		send(fd, state.data, state.len, MSG_NOSIGNAL);
	}
}

static pid_t start_issuer(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(listener, 8) < 0)
		abort();
	pid = fork();
	if (pid == 0)
		serve(listener);
	close(listener);
	return pid;
}

static void write_text(const char *path, const char *text)
{
	CHECK_NUMBER(buf_write_file(path, text, strlen(text), 0600, NULL), 0);
}

static long long unix_s(void)
{
	return clock_unix_ms() / 1000;
}

/* The issuer's next answer: its key, `epoch`, and one revocation if `subject` is given. */
static int refresh(int epoch, const char *subject, long long before, struct err *err)
{
	json_t *jwk = NULL, *revoked = json_array();
	auto_json json_t *state = NULL;
	auto_free char *text = NULL;

	CHECK_NUMBER(jose_key_from_evp(issuer, "sig", &jwk, NULL), 0);
	json_object_del(jwk, "d");
	json_object_set_new(jwk, "kid", json_string("k1"));
	if (subject) {
		json_array_append_new(revoked,
			json_pack("{s:s, s:I}", "subject", subject, "before", before - 1000));
		json_array_append_new(
			revoked, json_pack("{s:s, s:I}", "subject", subject, "before", before));
		json_array_append_new(revoked,
			json_pack("{s:s, s:I}", "subject", "mbr_another", "before", before));
	}
	state = json_pack("{s:{s:[o]}, s:i, s:o, s:I}", "jwks", "keys", jwk, "epoch", epoch,
		"revoked", revoked, "time", unix_s());
	text = json_dumps(state, JSON_COMPACT);
	write_text(state_path, text);
	return auth_refresh(auth, fetch, err);
}

/* --- requests --- */

struct request {
	struct web_call call;
	struct arena *arena;
};

static void add_header(struct request *request, const char *name, const char *value)
{
	struct http_head *head = &request->call.head;

	head->headers[head->n_headers++] = (struct web_pair) { name, value };
}

static void request_init(struct request *request)
{
	memset(request, 0, sizeof(*request));
	request->arena = arena_new();
	request->call.req.arena = request->arena;
	request->call.req.head = &request->call;
	request->call.req.method = "GET";
	request->call.req.path = "/v1/agent/a b";
	add_header(request, "Host", "10.0.2.2:443");
}

/* Checks `token` and, unless it is NULL, `proof`; *ret_subject is a copy. */
static int check_as(enum web_access access, const char *scheme, const char *token,
	const char *proof, const char *scope, struct err *err)
{
	auto_free char *value = mem_printf("%s %s", scheme, token);
	const struct principal *principal = NULL;
	struct request request;
	int result;

	request_init(&request);
	add_header(&request, "Authorization", value);
	if (proof)
		add_header(&request, "DPoP", proof);
	result = auth_check(auth, &request.call.req, access, scope, &principal, err);
	CHECK((result == 0) == (principal != NULL));
	arena_free(request.arena);
	return result;
}

static json_t *claims_of(const char *subject, const char *audience)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "iss",
		BASE_URL, "sub", subject, "aud", audience, "tenant", TENANT, "tenant_name", "acme",
		"space", SPACE, "roles", "owner admin", "scope", "runs:read runs:write", "key",
		API_KEY, "iat", unix_s(), "exp", unix_s() + 600, "jti", "j");
}

/* Signs and releases the claims. */
static char *sign(EVP_PKEY *key, const char *typ, const char *kid, json_t *claims)
{
	char *token = NULL;

	CHECK_NUMBER(jose_token_sign(key, typ, kid, claims, &token, NULL), 0);
	json_decref(claims);
	return token;
}

static char *member_token(void)
{
	return sign(issuer, "at+jwt", "k1", claims_of(MEMBER, "policy"));
}

static int check_member(const char *token, struct err *err)
{
	return check_as(WEB_MEMBER, "Bearer", token, NULL, NULL, err);
}

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
	refuse_claim("iat", json_integer(unix_s() + 30), "auth.invalid_token");
	refuse_claim("iat", NULL, "auth.invalid_token");
	refuse_claim("nbf", json_integer(unix_s() + 30), "auth.invalid_token");
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
	CHECK_FAILS(check_member(unknown, &err), &err, "auth.invalid_token");
	CHECK_FAILS(check_member(cut, &err), &err, "auth.invalid_token");
	CHECK_FAILS(check_member("", &err), &err, "auth.invalid_token");
	CHECK_FAILS(check_member("a.b.c", &err), &err, "auth.invalid_token");
	good[strlen(good) / 2] ^= 1;
	CHECK_FAILS(check_member(good, &err), &err, "auth.invalid_token");
}

static void test_alg_none(void)
{
	static const char header[] = "{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}";
	auto_json json_t *claims = claims_of(MEMBER, "policy");
	auto_free char *text = json_dumps(claims, JSON_COMPACT);
	auto_free char *first = codec_b64url_text(header, strlen(header));
	auto_free char *second = codec_b64url_text(text, strlen(text));
	auto_free char *token = mem_printf("%s.%s.", first, second);
	struct err err;

	CHECK_FAILS(check_member(token, &err), &err, "auth.invalid_token");
}

static void test_revoked(void)
{
	static const char *const subjects[] = { MEMBER, API_KEY, TENANT };
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

/* --- agents --- */

static char *agent_token(void)
{
	char thumbprint[JOSE_THUMBPRINT_SIZE];
	json_t *claims = claims_of(SANDBOX, "policy");
	auto_json json_t *jwk = NULL;

	CHECK_NUMBER(jose_key_from_evp(agent, "sig", &jwk, NULL), 0);
	CHECK_NUMBER(jose_key_thumbprint(jwk, thumbprint, NULL), 0);
	json_object_set_new(claims, "cnf", json_pack("{s:s}", "jkt", thumbprint));
	return sign(issuer, "strongroom-agent+jwt", "k1", claims);
}

static json_t *proof_claims(const char *token, const char *jti)
{
	unsigned char digest[DIGEST_SIZE];
	auto_free char *ath = NULL;

	digest_sha256(token, strlen(token), digest);
	ath = codec_b64url_text(digest, sizeof(digest));
	return json_pack("{s:s, s:s, s:I, s:s, s:s}", "htm", "GET", "htu",
		BASE_URL "/v1/agent/a%20b", "iat", unix_s(), "jti", jti, "ath", ath);
}

static char *prove(EVP_PKEY *key, json_t *claims)
{
	char *proof = NULL;

	CHECK_NUMBER(jose_proof_sign(key, claims, &proof, NULL), 0);
	json_decref(claims);
	return proof;
}

static int check_agent(const char *token, const char *proof, struct err *err)
{
	return check_as(WEB_AGENT, "DPoP", token, proof, NULL, err);
}

static void test_agent(void)
{
	auto_free char *token = agent_token();
	auto_free char *proof = prove(agent, proof_claims(token, "one"));
	json_t *by_host = proof_claims(token, "two");
	auto_free char *second = NULL, *by_stranger = prove(stranger, proof_claims(token, "three"));
	struct err err;

	json_object_set_new(by_host, "htu", json_string("https://10.0.2.2:443/v1/agent/a%20b?x=1"));
	second = prove(agent, by_host);
	CHECK_NUMBER(check_agent(token, proof, &err), 0);
	CHECK_NUMBER(check_agent(token, second, &err), 0);
	CHECK_FAILS(check_agent(token, NULL, &err), &err, "auth.proof_missing");
	CHECK_FAILS(check_agent(token, by_stranger, &err), &err, "auth.proof_invalid");
	CHECK_FAILS(check_agent(token, token, &err), &err, "auth.proof_invalid");
	CHECK_FAILS(check_agent(token, "x", &err), &err, "auth.proof_invalid");
	CHECK_FAILS(check_as(WEB_AGENT, "Bearer", token, proof, NULL, &err), &err, "auth.missing");
}

static void refuse_proof(const char *token, const char *name, json_t *value)
{
	json_t *claims = proof_claims(token, name);
	auto_free char *proof = NULL;
	struct err err;

	if (value)
		json_object_set_new(claims, name, value);
	else
		json_object_del(claims, name);
	proof = prove(agent, claims);
	CHECK_FAILS(check_agent(token, proof, &err), &err, "auth.proof_invalid");
}

static void test_proof_claims(void)
{
	static const char *const urls[] = { BASE_URL "/v1/agent/a", BASE_URL "/v1/agent/a%20bc",
		BASE_URL, "https://elsewhere/v1/agent/a%20b", "http://10.0.2.2:443/v1/agent/a%20b",
		BASE_URL ".evil/v1/agent/a%20b", "/v1/agent/a%20b", BASE_URL "/v1/agent/a%2",
		BASE_URL "/v1/agent/a%20b%00", "" };
	static const char *const names[] = { "htm", "htu", "iat", "jti", "ath" };
	auto_free char *token = agent_token(), *other = member_token();
	auto_json json_t *elsewhere = proof_claims(other, "x");

	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		refuse_proof(token, "htu", json_string(urls[i]));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		refuse_proof(token, names[i], NULL);
	refuse_proof(token, "htm", json_string("POST"));
	refuse_proof(token, "iat", json_integer(unix_s() - 70));
	refuse_proof(token, "iat", json_integer(unix_s() + 10));
	refuse_proof(token, "jti", json_string(""));
	refuse_proof(token, "jti", json_integer(1));
	refuse_proof(token, "ath", json_incref(json_object_get(elsewhere, "ath")));
}

static void test_proof_of_another_type(void)
{
	auto_free char *token = agent_token();
	auto_free char *typed = sign(agent, "at+jwt", "k", proof_claims(token, "typed"));
	struct err err;

	CHECK_FAILS(check_agent(token, typed, &err), &err, "auth.proof_invalid");
}

/* A proof is refused again for as long as its iat would let it in, whatever time has passed since.
 */
static void test_replay(void)
{
	auto_free char *token = agent_token();
	json_t *late = proof_claims(token, "late");
	auto_free char *proof = prove(agent, proof_claims(token, "replayed")), *early = NULL;
	struct err err;

	json_object_set_new(late, "iat", json_integer(unix_s() + 4));
	early = prove(agent, late);
	CHECK_NUMBER(check_agent(token, proof, &err), 0);
	CHECK_NUMBER(check_agent(token, early, &err), 0);
	for (int i = 0; i < 7; i++) {
		CHECK_FAILS(check_agent(token, proof, &err), &err, "auth.proof_invalid");
		CHECK_FAILS(check_agent(token, early, &err), &err, "auth.proof_invalid");
		clock_offset_s += 10;
		CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
	}
	CHECK_FAILS(check_agent(token, proof, &err), &err, "auth.proof_invalid");
}

/* Only proofs that hold are remembered: a forged one must not use up another's jti. */
static void test_forged_jti_is_not_remembered(void)
{
	auto_free char *token = agent_token();
	auto_free char *forged = prove(stranger, proof_claims(token, "shared"));
	auto_free char *real = prove(agent, proof_claims(token, "shared"));
	struct err err;

	CHECK_FAILS(check_agent(token, forged, &err), &err, "auth.proof_invalid");
	CHECK_NUMBER(check_agent(token, real, &err), 0);
}

static void test_agent_revoked_and_unbound(void)
{
	auto_free char *token = agent_token(), *unbound = NULL;
	auto_free char *proof = prove(agent, proof_claims(token, "revoked"));
	struct err err;

	unbound = sign(issuer, "strongroom-agent+jwt", "k1", claims_of(SANDBOX, "policy"));
	CHECK_FAILS(check_agent(unbound, proof, &err), &err, "auth.invalid_token");
	CHECK_NUMBER(refresh(3, SANDBOX, unix_s() + 100, &err), 0);
	CHECK_FAILS(check_agent(token, proof, &err), &err, "auth.revoked");
	CHECK_NUMBER(refresh(3, NULL, 0, &err), 0);
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

/* --- */

static char *in_folder(const char *name)
{
	return mem_printf("%s/%s", folder, name);
}

static void write_key_files(void)
{
	auto_free char *public_path = in_folder("policy.pem"), *text = NULL;
	auto_file FILE *file = fopen(public_path, "w");

	CHECK_NUMBER(cert_key_write(service, &text, NULL), 0);
	conf.service_key = in_folder("service.key");
	write_text(conf.service_key, text);
	CHECK(file && PEM_write_PUBKEY(file, service) == 1);
}

static void setup(void)
{
	struct err err = { 0 };

	if (!mkdtemp(folder))
		abort();
	state_path = in_folder("state.json");
	socket_path = in_folder("s");
	CHECK_NUMBER(cert_key_new(&issuer, NULL), 0);
	CHECK_NUMBER(cert_key_new(&agent, NULL), 0);
	CHECK_NUMBER(cert_key_new(&service, NULL), 0);
	CHECK_NUMBER(cert_key_new(&stranger, NULL), 0);
	write_key_files();
	conf.base_url = mem_strdup(BASE_URL);
	conf.peers_dir = mem_strdup(folder);
	conf.certreg_url = mem_printf("unix:%s", socket_path);
	auth = auth_new("policy", &conf, &err);
	CHECK_TEXT(err.code, "");
	fetch = fetch_new(&(struct fetch_conf) { 0 });
}

static void teardown(void)
{
	static const char *const files[] = { "state.json", "s", "service.key", "policy.pem" };

	auth_free(auth);
	fetch_free(fetch);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_free char *path = in_folder(files[i]);

		unlink(path);
	}
	rmdir(folder);
	EVP_PKEY_free(issuer);
	EVP_PKEY_free(agent);
	EVP_PKEY_free(service);
	EVP_PKEY_free(stranger);
	free(conf.service_key);
	free(conf.base_url);
	free(conf.peers_dir);
	free(conf.certreg_url);
	free(state_path);
	free(socket_path);
}

int main(void)
{
	pid_t server;

	setup();
	server = start_issuer();
	test_stale_before_the_first_answer();
	CHECK_NUMBER(refresh(1, NULL, 0, NULL), 0);
	test_member();
	test_missing();
	test_claims();
	test_skew_is_tolerated();
	test_types_and_keys();
	test_alg_none();
	test_revoked();
	test_stale();
	test_agent();
	test_proof_claims();
	test_proof_of_another_type();
	test_replay();
	test_forged_jti_is_not_remembered();
	test_agent_revoked_and_unbound();
	test_registry();
	test_services();
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	teardown();
	CHECK_DONE();
}
