/* SPDX-License-Identifier: Apache-2.0 */
/* Queries to another service: what is sent, and whose fault a refusal is. The test forks the other
 * service. */
#include "lib/peer.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/auth.h"
#include "lib/cert.h"
#include "lib/fetch.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "tests/unit/check.h"

static char folder[] = "/tmp/test_peer.XXXXXX";
static char *socket_path;

/* "… /internal/404 …" is answered with that status; the body holds the token that came. */
static void serve(int listener)
{
	for (;;) {
		auto_fd int fd = accept(listener, NULL, NULL);
		auto_free char *body = NULL, *answer = NULL;
		char request[4096] = "", token[2048] = "";
		const char *header;

		if (read(fd, request, sizeof(request) - 1) <= 0)
			continue;
		header = strstr(request, "\r\nAuthorization: Bearer ");
		if (!header || sscanf(header + 24, "%2047[^\r]", token) != 1)
			continue;
		body = mem_printf("{\"code\":\"thing.reason\",\"token\":\"%s\"}", token);
		answer = mem_printf("HTTP/1.1 %.3s X\r\nConnection: close\r\nContent-Length: "
				    "%zu\r\n\r\n%s",
			strstr(request, "/internal/") + strlen("/internal/"), strlen(body), body);
		send(fd, answer, strlen(answer), MSG_NOSIGNAL);
	}
}

static pid_t start_peer(void)
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

static void test_answer(struct worker *worker, EVP_PKEY *key)
{
	auto_json json_t *answer = NULL, *claims = NULL;

	CHECK_NUMBER(peer_get(worker, PEER_POLICY, "/internal/200", &answer, NULL), 0);
	CHECK_NUMBER(jose_token_verify(key, "strongroom-service+jwt", false,
			     json_text(answer, "token"), &claims, NULL),
		0);
	CHECK_TEXT(json_text(claims, "aud"), "policy");
	CHECK_TEXT(json_text(claims, "sub"), "certreg");
	json_decref(take_ptr(answer));
	CHECK_NUMBER(peer_post(worker, PEER_POLICY, "/internal/200", &answer, NULL), 0);
	CHECK(json_text(answer, "token"));
}

static void test_refusals(struct worker *worker)
{
	static const struct {
		const char *path;
		enum err_kind kind;
	} refusals[] = { { "/internal/404", ERR_NOT_FOUND }, { "/internal/401", ERR_UPSTREAM },
		{ "/internal/403", ERR_UPSTREAM }, { "/internal/400", ERR_UPSTREAM },
		{ "/internal/500", ERR_UPSTREAM }, { "/internal/503", ERR_UNAVAILABLE } };
	json_t *answer = NULL;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		CHECK_FAILS(peer_get(worker, PEER_POLICY, refusals[i].path, &answer, &err), &err,
			"thing.reason");
		CHECK_NUMBER(err.kind, refusals[i].kind);
	}
	CHECK_FAILS(peer_get(worker, PEER_CERTREG, "/x", &answer, &err), &err, "fetch.bad_url");
	CHECK_FAILS(peer_get(worker, PEER_ORCHESTRATOR, "/x", &answer, &err), &err,
		"upstream.unreachable");
	CHECK(answer == NULL);
}

int main(void)
{
	auto_free char *key_path = NULL, *pem = NULL, *url = NULL;
	struct service_conf conf = { 0 };
	struct worker worker = { .conf = &conf };
	auto_key EVP_PKEY *key = NULL;
	pid_t server;

	if (!mkdtemp(folder))
		abort();
	socket_path = mem_printf("%s/s", folder);
	key_path = mem_printf("%s/key", folder);
	url = mem_printf("unix:%s", socket_path);
	CHECK_NUMBER(cert_key_new(&key, NULL), 0);
	CHECK_NUMBER(cert_key_write(key, &pem, NULL), 0);
	CHECK_NUMBER(buf_write_file(key_path, pem, strlen(pem), 0600, NULL), 0);
	conf.service_key = key_path;
	conf.policy_url = url;
	conf.orchestrator_url = (char[]) { "unix:/nonexistent/s" };
	worker.auth = auth_new("certreg", &conf, NULL);
	worker.fetch = fetch_new(&(struct fetch_conf) { 0 });
	server = start_peer();
	test_answer(&worker, key);
	test_refusals(&worker);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	auth_free(worker.auth);
	fetch_free(worker.fetch);
	unlink(key_path);
	unlink(socket_path);
	rmdir(folder);
	free(socket_path);
	CHECK_DONE();
}
