/* SPDX-License-Identifier: Apache-2.0 */
/* Who is asked for what before a body is taken, and how much of bodies the edge takes at all. */
#include <fcntl.h>

#include "lib/auth.h"
#include "tests/unit/web_fixture.h"

#define POST(path) "POST " path " HTTP/1.1\r\nHost: x\r\n"
#define GOOD "Authorization: good\r\n"
#define BODY_BYTES 40000
#define ROOM_BYTES 100000

static _Atomic int checks, runs;
static _Atomic bool revoked;

static int authorise(struct web_req *req, enum web_access access, const char *scope,
	const struct principal **ret_principal, struct err *err)
{
	static const struct principal somebody = { .kind = WEB_MEMBER, .subject = "mbr_1" };
	const char *credential = web_header(req, "Authorization");

	(void)access;
	(void)scope;
	checks++;
	if (!credential || strcmp(credential, "good") != 0)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.missing", "not good");
	*ret_principal = &somebody;
	return 0;
}

static int recheck(struct web_req *req, struct err *err)
{
	CHECK_TEXT(req->principal->subject, "mbr_1");
	return revoked ? err_set(err, ERR_UNAUTHENTICATED, "auth.revoked", "revoked") : 0;
}

static int admit(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct principal *principal;

	if (authorise(req, WEB_REGISTRY, NULL, &principal, err) == 0)
		return 0;
	web_header_add(res, "WWW-Authenticate", "Strange");
	return -1;
}

static json_t *problem(const struct err *err, int status)
{
	return json_pack("{s:s, s:i}", "foreign", err->code, "status", status);
}

static int count(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	runs++;
	res->json = json_pack("{s:I}", "bytes", (json_int_t)req->body_len);
	return 0;
}

#define ROUTE(text, who, most)                                                                     \
	{                                                                                          \
		.method = "POST", .path = (text), .access = (who), .max_body = (most),             \
		.handle = count                                                                    \
	}

static const struct web_route routes[] = {
	ROUTE("/member", WEB_MEMBER, BODY_BYTES),
	ROUTE("/foreign", WEB_REGISTRY, BODY_BYTES),
	ROUTE("/public", WEB_PUBLIC, BODY_BYTES),
	ROUTE("/big", WEB_MEMBER, 64 << 20),
	{ .method = NULL },
};

static const struct lane_conf lanes[] = { { .name = "db", .threads = 2, .queue = 64 },
	{ .name = NULL } };

static void start(void)
{
	checks = runs = 0;
	revoked = false;
}

/* The answer is there while the body is not. */
static char *ask_without_body(const char *head)
{
	return client_ask(head, NULL);
}

static void test_refused_with_the_head(void)
{
	static const char *const heads[] = {
		POST("/member") "Content-Length: 40000\r\n\r\n0123456789",
		POST("/member") "Content-Length: 40000\r\nExpect: 100-continue\r\n\r\n",
		POST("/member") "Authorization: bad\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0",
	};

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		auto_free char *answer = ask_without_body(heads[i]);

		CHECK(strncmp(answer, "HTTP/1.1 401 ", 13) == 0);
		CHECK_HAS(answer, "auth.missing");
		CHECK_HAS(answer, "Connection: close");
		CHECK(!strstr(answer, "nothing more came"));
	}
	CHECK_NUMBER(checks, 3);
	CHECK_NUMBER(runs, 0);
}

/* Asked once, however the body comes: a proof is good for one look. */
static void test_admitted(void)
{
	auto_free char *body = mem_alloc(BODY_BYTES + 1);
	auto_free char *answer = NULL, *go_on = NULL;
	int fd = client_open();

	memset(body, 'x', BODY_BYTES);
	client_send(fd, POST("/member") GOOD "Content-Length: 40000\r\n"
					     "Expect: 100-continue\r\n\r\n");
	go_on = client_read(fd, "\r\n\r\n");
	CHECK_TEXT(go_on, "HTTP/1.1 100 Continue\r\n\r\n");
	client_send(fd, body);
	answer = client_read(fd, "}");
	CHECK_HAS(answer, "{\"bytes\":40000}");
	client_send(fd, POST("/member") GOOD "Transfer-Encoding: chunked\r\n\r\n9c40\r\n");
	client_send(fd, body);
	client_send(fd, "\r\n0\r\n\r\n" POST("/member") GOOD "Content-Length: 3\r\n\r\nabc");
	free(take_ptr(answer));
	answer = client_read(fd, "{\"bytes\":3}");
	CHECK_HAS(answer, "{\"bytes\":40000}");
	CHECK_NUMBER(checks, 3);
	close(fd);
}

static void test_revoked_while_the_body_came(void)
{
	auto_free char *answer = NULL;
	int fd = client_open();

	client_send(fd, POST("/member") GOOD "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n");
	free(client_read(fd, "\r\n\r\n"));
	revoked = true;
	client_send(fd, "0123456789");
	answer = client_read(fd, "}");
	CHECK_HAS(answer, "HTTP/1.1 401 ");
	CHECK_HAS(answer, "auth.revoked");
	CHECK_NUMBER(runs, 0);
	close(fd);
}

/* Routes of a foreign protocol ask in their own words, and so does the edge for them. */
static void test_foreign(void)
{
	auto_free char *refused =
		ask_without_body(POST("/foreign") "Content-Length: 40000\r\n\r\n0123456789");
	auto_free char *large =
		ask_without_body(POST("/foreign") GOOD "Content-Length: 40001\r\n\r\n");
	auto_free char *plain = ask_without_body(POST("/public") "Content-Length: 40001\r\n\r\n");
	auto_free char *secret =
		ask_without_body(POST("/public") "Content-Length: 40000\r\n\r\n0123456789");

	CHECK_HAS(refused, "WWW-Authenticate: Strange");
	CHECK_HAS(refused, "{\"foreign\":\"auth.missing\",\"status\":401}");
	CHECK_HAS(refused, "Content-Type: application/json\r\n");
	CHECK_HAS(large, "{\"foreign\":\"request.body_too_large\",\"status\":413}");
	CHECK_HAS(plain, "application/problem+json");
	CHECK_HAS(secret, "HTTP/1.1 401 ");
	CHECK_HAS(secret, "auth.missing");
	CHECK_NUMBER(runs, 0);
}

/* A byte now and then does not hold a request open. */
static void test_drip(void)
{
	struct pollfd poll_fd = { .fd = client_open(), .events = POLLIN };
	auto_free char *answer = NULL;
	int sent = 0;

	client_send(poll_fd.fd, POST("/member") GOOD "Content-Length: 40000\r\n\r\n");
	while (sent < 200 && poll(&poll_fd, 1, 50) == 0)
		sent += send(poll_fd.fd, "x", 1, MSG_NOSIGNAL) == 1;
	CHECK(sent < 200);
	answer = client_read(poll_fd.fd, "}");
	CHECK_HAS(answer, "HTTP/1.1 408 ");
	CHECK_HAS(answer, "request.timeout");
	CHECK_NUMBER(runs, 0);
	close(poll_fd.fd);
}

/* Room is promised before the client is asked for the body, and comes back with its end. */
static void test_room(void)
{
	static const char head[] =
		POST("/public") GOOD "Content-Length: 40000\r\nExpect: 100-continue\r\n\r\n";
	int holders[] = { client_open(), client_open() };
	auto_free char *answer = NULL;

	for (size_t i = 0; i < ARRAY_LEN(holders); i++) {
		auto_free char *go_on = NULL;

		client_send(holders[i], head);
		go_on = client_read(holders[i], "\r\n\r\n");
		CHECK_HAS(go_on, "100 Continue");
	}
	answer = ask_without_body(head);
	CHECK(strncmp(answer, "HTTP/1.1 503 ", 13) == 0);
	CHECK_HAS(answer, "edge.overloaded");
	CHECK_HAS(answer, "Retry-After: 1");
	close(holders[0]);
	for (int i = 0; i < 500 && !strstr(answer, "100 Continue"); i++) {
		free(take_ptr(answer));
		answer = client_ask(head, "\r\n\r\n");
	}
	CHECK_HAS(answer, "100 Continue");
	close(holders[1]);
}

/* The word to go on may wait for its turn while the server looks for clients that take nothing. */
static void test_goes_on_at_any_tick(void)
{
	static const char head[] =
		POST("/public") GOOD "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n";

	for (int i = 0; i < 300; i++) {
		auto_free char *go_on = client_ask(head, "\r\n\r\n");

		CHECK_TEXT(go_on, "HTTP/1.1 100 Continue\r\n\r\n");
	}
}

/* Whoever is refused and looks only when all is sent finds the answer, and not a reset. */
static void test_all_sent_behind_a_refusal(void)
{
	auto_free char *piece = mem_alloc(65536);
	auto_free char *answer = NULL;
	size_t sent = 0;
	int fd = client_open();

	client_send(fd, POST("/big") "Content-Length: 16777216\r\n\r\n");
	while (sent < 16u << 20) {
		ssize_t done = send(fd, piece, 65536, MSG_NOSIGNAL);

		if (done < 0)
			break;
		sent += (size_t)done;
	}
	CHECK_NUMBER(sent, 16 << 20);
	answer = client_read(fd, NULL);
	CHECK_HAS(answer, "HTTP/1.1 401 ");
	CHECK_HAS(answer, "auth.missing");
	close(fd);
}

/* Whoever is refused and goes on sending for ever is not read out. */
static void test_flood_behind_a_refusal(void)
{
	struct pollfd poll_fd = { .fd = client_open(), .events = POLLOUT };
	auto_free char *piece = mem_alloc(65536);
	auto_free char *answer = NULL;
	size_t sent = 0;

	client_send(poll_fd.fd, POST("/big") "Content-Length: 67108864\r\n\r\n");
	fcntl(poll_fd.fd, F_SETFL, O_NONBLOCK);
	while (sent < 64u << 20 && poll(&poll_fd, 1, 200) > 0) {
		ssize_t done = send(poll_fd.fd, piece, 65536, MSG_NOSIGNAL);

		if (done < 0 && errno != EAGAIN)
			break;
		sent += done > 0 ? (size_t)done : 0;
	}
	CHECK(sent < 48u << 20);
	answer = client_read(poll_fd.fd, NULL);
	CHECK_HAS(answer, "HTTP/1.1 401 ");
	CHECK_HAS(answer, "auth.missing");
	close(poll_fd.fd);
}

int main(void)
{
	static void (*const tests[])(void) = { test_refused_with_the_head, test_admitted,
		test_revoked_while_the_body_came, test_foreign, test_drip, test_room,
		test_goes_on_at_any_tick, test_all_sent_behind_a_refusal,
		test_flood_behind_a_refusal };

	fixture_start(&(const struct web_conf) { .routes = routes,
		.lanes = lanes,
		.limits = { .body_ms = 2000,
			.body_total_ms = 1000,
			.body_bytes = ROOM_BYTES,
			.linger_ms = 3000,
			.tick_ms = 1 },
		.authorise = authorise,
		.recheck = recheck,
		.admit = admit,
		.problem = problem });
	for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
		start();
		tests[i]();
	}
	fixture_stop();
	CHECK_DONE();
}
