/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials against a real issuer's state, fetched from a small server that the test forks (it
 * answers with whatever stands in a file). Time is moved by a clock_gettime() of our own in front
 * of libc's.
 */
#ifndef STRONGROOM_AUTH_FIXTURE_H
#define STRONGROOM_AUTH_FIXTURE_H

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
#define CERTIFICATE "crt_0190f1c20190f1c20190f1c20190f1c2"

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
static pid_t issuer_pid;

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
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "iss",
		BASE_URL, "sub", subject, "aud", audience, "tenant", TENANT, "tenant_name", "acme",
		"space", SPACE, "roles", "owner admin", "scope", "runs:read runs:write", "key",
		API_KEY, "crt", CERTIFICATE, "iat", unix_s(), "exp", unix_s() + 600, "jti", "j");
}

/* Signs and releases the claims. */
static char *sign(EVP_PKEY *key, const char *typ, const char *kid, json_t *claims)
{
	char *token = NULL;

	CHECK_NUMBER(jose_token_sign(key, typ, kid, claims, &token, NULL), 0);
	json_decref(claims);
	return token;
}

static inline char *member_token(void)
{
	return sign(issuer, "at+jwt", "k1", claims_of(MEMBER, "policy"));
}

static inline int check_member(const char *token, struct err *err)
{
	return check_as(WEB_MEMBER, "Bearer", token, NULL, NULL, err);
}

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

/* An auth that knows nothing yet, and the issuer that it will ask. */
static inline void setup(void)
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
	conf.edge_names = mem_strdup("other.test 10.0.2.2:8443");
	conf.peers_dir = mem_strdup(folder);
	conf.certreg_url = mem_printf("unix:%s", socket_path);
	auth = auth_new("policy", &conf, &err);
	CHECK_TEXT(err.code, "");
	fetch = fetch_new(&(struct fetch_conf) { 0 });
	issuer_pid = start_issuer();
}

static inline void teardown(void)
{
	static const char *const files[] = { "state.json", "s", "service.key", "policy.pem" };

	kill(issuer_pid, SIGKILL);
	waitpid(issuer_pid, NULL, 0);
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
	free(conf.edge_names);
	free(conf.peers_dir);
	free(conf.certreg_url);
	free(state_path);
	free(socket_path);
}

#endif
