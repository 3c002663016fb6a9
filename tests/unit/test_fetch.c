/* SPDX-License-Identifier: Apache-2.0 */
/* fetch against a small HTTP server on a unix socket, which the test forks: one connection at a
 * time. */
#include "lib/fetch.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define BIG_BYTES (5u << 20)

static char folder[] = "/tmp/test_fetch.XXXXXX";
static char *socket_path;

/* --- the server's side --- */

static void reply(int fd, const char *status, const char *headers, const char *body, size_t len)
{
	auto_free char *head =
		mem_printf("HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, len, headers);

	if (send(fd, head, strlen(head), MSG_NOSIGNAL) < 0)
		return;
	while (len > 0) {
		ssize_t done = send(fd, body, len, MSG_NOSIGNAL);

		if (done <= 0)
			return;
		body += done;
		len -= (size_t)done;
	}
}

/* Head and body of one request in `text`; false at the end of the connection. */
static bool read_request(int fd, char *text, size_t size, char **ret_body)
{
	size_t len = 0, want = 0;

	*ret_body = NULL;
	while (!*ret_body || strlen(*ret_body) < want) {
		ssize_t got = read(fd, text + len, size - 1 - len);
		const char *length;

		if (got <= 0)
			return false;
		len += (size_t)got;
		text[len] = '\0';
		*ret_body = strstr(text, "\r\n\r\n");
		if (!*ret_body)
			continue;
		*ret_body += 4;
		length = strcasestr(text, "\r\nContent-Length:");
		want = length && length < *ret_body ? (size_t)strtol(length + 17, NULL, 10) : 0;
	}
	return true;
}

static void answer_oddly(int fd, const char *path)
{
	static const char *const odd[][2] = { { "/garbage", "this is no HTTP at all\r\n\r\n" },
		{ "/truncated", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort" },
		{ "/closed", "" } };
	char ignored;

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		if (strcmp(path, odd[i][0]) == 0) {
			send(fd, odd[i][1], strlen(odd[i][1]), MSG_NOSIGNAL);
			return;
		}
	}
	while (read(fd, &ignored, 1) > 0) /* "/slow": until the client gives up */
		;
}

/* false closes the connection. */
static bool answer(int fd, const char *text, const char *path, const char *body)
{
	static char big[BIG_BYTES];

	if (strcmp(path, "/echo") == 0)
		reply(fd, "200 OK", "", text, strlen(text));
	else if (strcmp(path, "/hello") == 0)
		reply(fd, "200 OK", "X-Word:  first \r\nx-other: second\r\n", "hello", 5);
	else if (strcmp(path, "/big") == 0)
		reply(fd, "200 OK", "", big, sizeof(big));
	else if (strcmp(path, "/json") == 0)
		reply(fd, "201 Created", "Content-Type: application/json\r\n", body, strlen(body));
	else if (strcmp(path, "/empty") == 0)
		reply(fd, "200 OK", "", "", 0);
	else if (strcmp(path, "/notjson") == 0)
		reply(fd, "200 OK", "", "<html>", 6);
	else if (strcmp(path, "/problem") == 0)
		reply(fd, "409 Conflict", "", body, strlen(body));
	else if (strcmp(path, "/moved") == 0)
		reply(fd, "302 Found", "Location: http://localhost/hello\r\n", "", 0);
	else
		return answer_oddly(fd, path), false;
	return true;
}

static void serve_connection(int fd)
{
	static char text[65536];
	char *body, path[64] = "";

	while (read_request(fd, text, sizeof(text), &body)) {
		if (sscanf(text, "%*s %63s", path) != 1 || !answer(fd, text, path, body))
			break;
	}
	close(fd);
}

static pid_t start_server(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		for (;;)
			serve_connection(accept(fd, NULL, NULL));
	}
	close(fd);
	return pid;
}

/* --- the tests --- */

static struct fetch_request get(const char *url)
{
	return (struct fetch_request) { .method = "GET", .url = url, .unix_socket = socket_path };
}

static void test_get(struct fetch *fetch)
{
	struct fetch_request req = get("/hello");
	auto_response res = { 0 };
	auto_free char *word = NULL, *other = NULL;

	CHECK_NUMBER(fetch_do(fetch, &req, &res, NULL), 0);
	CHECK_NUMBER(res.status, 200);
	CHECK_TEXT((char *)res.body.data, "hello");
	word = fetch_header(&res, "x-WORD");
	other = fetch_header(&res, "X-Other");
	CHECK_TEXT(word, "first ");
	CHECK_TEXT(other, "second");
	CHECK(fetch_header(&res, "X-Wor") == NULL);
}

static void test_request_as_sent(struct fetch *fetch)
{
	static const char *const headers[] = { "X-Mine: yes", NULL };
	struct fetch_request req = get("/echo");
	auto_response res = { 0 };
	const char *text;

	req.method = "PATCH";
	req.headers = headers;
	req.body = "some\nbytes";
	req.body_len = 10;
	CHECK_NUMBER(fetch_do(fetch, &req, &res, NULL), 0);
	text = (const char *)res.body.data;
	CHECK(strncmp(text, "PATCH /echo HTTP/1.1\r\n", 22) == 0);
	CHECK(strstr(text, "\r\nX-Mine: yes\r\n") != NULL);
	CHECK(strstr(text, "\r\nUser-Agent: test/1\r\n") != NULL);
	CHECK(strstr(text, "Content-Type") == NULL && strstr(text, "Expect") == NULL);
	CHECK(strstr(text, "\r\n\r\nsome\nbytes") != NULL);
}

static void test_body_from_file(struct fetch *fetch)
{
	char path[] = "/tmp/test_fetch_body.XXXXXX";
	auto_fd int fd = mkstemp(path);
	struct fetch_request req = get("/echo");
	auto_response res = { 0 }, failed = { 0 };
	struct err err;

	unlink(path);
	CHECK(write(fd, "0123456789", 10) == 10);
	req.method = "PUT";
	req.body_fd = fd;
	req.body_offset = 3;
	req.body_len = 4;
	CHECK_NUMBER(fetch_do(fetch, &req, &res, NULL), 0);
	CHECK(strstr((char *)res.body.data, "Content-Length: 4\r\n") != NULL);
	CHECK(strstr((char *)res.body.data, "\r\n\r\n3456") != NULL);
	req.body_len = 8; /* one more than the file holds */
	CHECK_FAILS(fetch_do(fetch, &req, &failed, &err), &err, "internal.system");
}

static int count_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	(void)data;
	(void)err;
	*(size_t *)arg += len;
	return 0;
}

static int refuse_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	(void)arg;
	(void)data;
	(void)len;
	return err_set(err, ERR_UNPROCESSABLE, "digest.mismatch", "no");
}

static void test_caps_and_sinks(struct fetch *fetch)
{
	struct fetch_request req = get("/big");
	auto_response res = { 0 }, streamed = { 0 };
	size_t count = 0;
	struct err err;

	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "upstream.too_large");
	CHECK(res.body.data == NULL);
	req.sink = count_bytes;
	req.sink_arg = &count;
	CHECK_NUMBER(fetch_do(fetch, &req, &streamed, &err), 0);
	CHECK_NUMBER(count, BIG_BYTES);
	CHECK_NUMBER(streamed.body.len, 0);
	req.sink = refuse_bytes;
	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "digest.mismatch");
	CHECK_NUMBER(err.kind, ERR_UNPROCESSABLE);
}

static void test_sink_gets_no_refusal(struct fetch *fetch)
{
	struct fetch_request req = get("/problem");
	auto_response res = { 0 };
	size_t count = 0;

	req.method = "POST";
	req.body = "{}";
	req.body_len = 2;
	req.sink = count_bytes;
	req.sink_arg = &count;
	CHECK_NUMBER(fetch_do(fetch, &req, &res, NULL), 0);
	CHECK_NUMBER(res.status, 409);
	CHECK_NUMBER(count, 0);
	CHECK_TEXT((char *)res.body.data, "{}");
}

static void test_redirects_stay(struct fetch *fetch)
{
	struct fetch_request req = get("/moved");
	auto_response res = { 0 };

	CHECK_NUMBER(fetch_do(fetch, &req, &res, NULL), 0);
	CHECK_NUMBER(res.status, 302);
}

static void test_failures(struct fetch *fetch)
{
	static const char *const injected[] = { "X-A: b\r\nX-Evil: 1", NULL };
	struct fetch_request req = get("/garbage");
	auto_response res = { 0 };
	long long start;
	struct err err;

	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "upstream.protocol");
	req.url = "/truncated";
	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "upstream.truncated");
	req.url = "/closed";
	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "upstream.unreachable");
	req.url = "/slow";
	req.timeout_ms = 200;
	start = clock_monotonic_ms();
	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "upstream.timeout");
	CHECK_NUMBER(err.kind, ERR_TIMEOUT);
	CHECK(clock_monotonic_ms() - start >= 200);
	req = get("hello");
	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "fetch.bad_url");
	req = get("/hello");
	req.headers = injected;
	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "fetch.bad_header");
	req = get("/hello");
	req.unix_socket = "/nonexistent/socket";
	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "upstream.unreachable");
	req = (struct fetch_request) { .method = "GET", .url = "file:///etc/passwd" };
	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "fetch.bad_url");
	req.url = "http://user:word@localhost/";
	CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "fetch.bad_url");
}

static void test_json(struct fetch *fetch)
{
	struct fetch_request req = get("/json");
	auto_json json_t *body = json_pack("{s:s, s:i}", "a", "b", "n", 7);
	auto_json json_t *answer_body = NULL;
	json_t *nothing = body;
	long status = 0;
	struct err err;

	req.method = "POST";
	CHECK_NUMBER(fetch_json(fetch, &req, body, &answer_body, &status, &err), 0);
	CHECK_NUMBER(status, 201);
	CHECK(json_equal(body, answer_body));
	req = get("/empty");
	CHECK_NUMBER(fetch_json(fetch, &req, NULL, &nothing, NULL, &err), 0);
	CHECK(nothing == NULL);
	req = get("/notjson");
	CHECK_FAILS(fetch_json(fetch, &req, NULL, &nothing, NULL, &err), &err, "upstream.not_json");
	req = get("/echo");
	CHECK_NUMBER(fetch_json(fetch, &req, NULL, NULL, NULL, &err), 0);
}

static void test_problems(struct fetch *fetch)
{
	struct fetch_request req = get("/problem");
	auto_json json_t *problem = json_pack("{s:s, s:s, s:[{s:s, s:s, s:s}]}", "code",
		"run.exists", "detail", "it\x1b[2J is there", "errors", "pointer", "/name", "code",
		"field.value", "detail", "taken");
	auto_json json_t *strange = json_pack("{s:s}", "code", "Not A Code\n");
	struct err err;

	req.method = "POST";
	CHECK_FAILS(fetch_json(fetch, &req, problem, NULL, NULL, &err), &err, "run.exists");
	CHECK_NUMBER(err.kind, ERR_CONFLICT);
	CHECK_TEXT(err.detail, "it?[2J is there");
	CHECK_NUMBER(err.n_fields, 1);
	CHECK_TEXT(err.fields[0].pointer, "/name");
	CHECK_TEXT(err.fields[0].detail, "taken");
	CHECK_FAILS(fetch_json(fetch, &req, strange, NULL, NULL, &err), &err, "upstream.status");
	CHECK_NUMBER(err.kind, ERR_CONFLICT);
	CHECK_NUMBER(fetch_json(fetch, &req, NULL, NULL, NULL, NULL), -1);
}

static void test_split(void)
{
	const char *socket = "x";
	auto_free char *local = NULL, *remote = NULL;
	char *none = NULL;
	struct err err;

	CHECK_NUMBER(fetch_split_url("unix:/run/a.sock", "/internal/x", &local, &socket, &err), 0);
	CHECK_TEXT(local, "/internal/x");
	CHECK_TEXT(socket, "/run/a.sock");
	CHECK_NUMBER(fetch_split_url("https://h:1/", "/p?q=1", &remote, &socket, &err), 0);
	CHECK_TEXT(remote, "https://h:1/p?q=1");
	CHECK(socket == NULL);
	CHECK_FAILS(fetch_split_url("ftp://h", "/p", &none, &socket, &err), &err, "fetch.bad_url");
	CHECK_FAILS(fetch_split_url("", "/p", &none, &socket, &err), &err, "fetch.bad_url");
}

/* Takes two connections and closes them within the handshake: one with bytes unread, one without.
 */
static pid_t start_cutter(unsigned *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char hello[65536];
	pid_t pid;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 8) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		abort();
	*ret_port = ntohs(address.sin_port);
	pid = fork();
	for (size_t i = 0; pid == 0 && i < 2; i++) {
		int connection = accept(fd, NULL, NULL);

		alarm(30);
		if (read(connection, hello, i ? sizeof(hello) : 1) < 0)
			abort();
		close(connection);
	}
	if (pid == 0)
		_exit(0);
	close(fd);
	return pid;
}

/* A server that dies in the handshake is away; it has not shown a wrong certificate. */
static void test_cut_handshake(struct fetch *fetch)
{
	unsigned port;
	pid_t cutter = start_cutter(&port);
	auto_free char *url = mem_printf("https://127.0.0.1:%u/", port);

	for (int i = 0; i < 2; i++) {
		struct fetch_request req = { .method = "GET", .url = url };
		struct fetch_response res;
		struct err err = { 0 };

		CHECK_FAILS(fetch_do(fetch, &req, &res, &err), &err, "upstream.unreachable");
	}
	kill(cutter, SIGKILL);
	waitpid(cutter, NULL, 0);
}

static void run(struct fetch *fetch)
{
	test_get(fetch);
	test_request_as_sent(fetch);
	test_body_from_file(fetch);
	test_caps_and_sinks(fetch);
	test_sink_gets_no_refusal(fetch);
	test_redirects_stay(fetch);
	test_failures(fetch);
	test_json(fetch);
	test_problems(fetch);
	test_split();
	test_cut_handshake(fetch);
}

int main(void)
{
	struct fetch_conf conf = { .user_agent = "test/1" };
	struct fetch *fetch;
	pid_t server;

	/* a proxy that nobody serves: it must not be asked */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	if (!mkdtemp(folder))
		abort();
	socket_path = mem_printf("%s/s", folder);
	server = start_server();
	fetch = fetch_new(&conf);
	run(fetch);
	fetch_free(fetch);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(socket_path);
	rmdir(folder);
	free(socket_path);
	CHECK_DONE();
}
