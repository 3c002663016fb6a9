/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that two parsers in a row could read differently. Each is followed by a good request on
 * the same connection: that one must never be answered, because nothing behind a refused head may
 * be taken for a request.
 */
#include "tests/unit/web_fixture.h"

#define GET_HELLO "GET /v1/hello HTTP/1.1\r\nHost: x\r\n"

static int hello(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	res->json = json_pack("{s:s}", "hello", req->path);
	return 0;
}

static int item(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	res->json = json_pack("{s:s}", "item", web_param(req, "id"));
	return 0;
}

static const struct web_route routes[] = {
	{ .method = "GET", .path = "/v1/hello", .handle = hello },
	{ .method = "GET", .path = "/v1/items/{id}", .handle = item },
	{ .method = "POST", .path = "/v1/echo", .max_body = 1000, .handle = hello },
	{ .method = NULL },
};

static const struct lane_conf lanes[] = { { .name = "db", .threads = 2, .queue = 64 },
	{ .name = NULL } };

struct hostile {
	const char *bytes;
	size_t len; /* 0: of the text */
	const char *status;
	const char *code;
};

static const struct hostile corpus[] = {
	{ "GET /v1/hello HTTP/1.1\r\n\r\n", 0, "400", "request.bad_host" },
	{ "GET /v1/hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 0, "400", "request.bad_host" },
	{ "GET /v1/hello HTTP/1.1\r\nHost: a, b\r\n\r\n", 0, "400", "request.bad_host" },
	{ "GET /v1/hello HTTP/1.1\r\nHost: x\r\nX:\r\nHost: y\r\n\r\n", 0, "400",
		"request.bad_host" },
	{ "GET /v1/hello HTTP/1.1\r\nHost:\r\n\r\n", 0, "400", "request.bad_host" },
	{ GET_HELLO "X: a\r\n b\r\n\r\n", 0, "400", "request.malformed" },
	{ GET_HELLO "X: a\r\n\tb\r\n\r\n", 0, "400", "request.malformed" },
	{ "GET /v1/hello HTTP/1.1\r\nX: a\0b\r\nHost: x\r\n\r\n", 43, "400", "request.malformed" },
	{ "GET /v1/hello HTTP/1.1\nHost: x\n\n", 0, "400", "request.malformed" },
	{ GET_HELLO "X: a\n\r\n", 0, "400", "request.malformed" },
	{ GET_HELLO "X: a\rb\r\n\r\n", 0, "400", "request.malformed" },
	{ GET_HELLO "X : a\r\n\r\n", 0, "400", "request.malformed" },
	{ GET_HELLO "X\r\n\r\n", 0, "400", "request.malformed" },
	{ GET_HELLO ": a\r\n\r\n", 0, "400", "request.malformed" },
	{ "\r\n" GET_HELLO "\r\n", 0, "400", "request.malformed" },
	{ "POST /v1/echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
		"400", "request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: "
	  "3\r\n\r\n"
	  "0\r\n\r\n",
		0, "400", "request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n"
	  "0\r\n\r\n",
		0, "400", "request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		0, "400", "request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc", 0, "400",
		"request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 0, "400",
		"request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc", 0, "400",
		"request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", 0, "400",
		"request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 0, "400", "request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 0,
		"400", "request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999999999\r\n\r\n", 0,
		"400", "request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, "
	  "chunked\r\n\r\n0\r\n\r\n",
		0, "400", "request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0,
		"400", "request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 0, "400",
		"request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
	  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		0, "400", "request." },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n3\r\nabc\n\r0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n "
	  "3\r\nabc\r\n0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n",
		0, "400", "request.bad_framing" },
	{ "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n",
		0, "400", "request.bad_framing" },
	{ "BREW /v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.unknown_method" },
	{ "get /v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.unknown_method" },
	{ "PROPFIND /v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.unknown_method" },
	{ "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.unknown_method" },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, "400", "request.malformed" },
	{ "GET /v1/hello HTTP/1.2\r\nHost: x\r\n\r\n", 0, "505", "request.bad_version" },
	{ "GET /v1/hello HTTP/2.0\r\nHost: x\r\n\r\n", 0, "505", "request.bad_version" },
	{ "GET /v1/hello\r\n\r\n", 0, "400", "request.malformed" },
	{ "GET  /v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request." },
	{ "GET /v1/hello  HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request." },
	{ "GET http://x/v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_target" },
	{ "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_target" },
	{ "GET /v1/hello#a HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_target" },
	{ "GET /v1/items/a%2Fb HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/items/a%5cb HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/items/a%00b HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/items/a%0d%0ab HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/items/%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/items/../hello HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/./hello HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET //v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1//hello HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/items/%ff HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/items/%c0%ae HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/items/%zz HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/items/a% HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_path" },
	{ "GET /v1/hello?name=%00 HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_query" },
	{ "GET /v1/hello?name=%ff HTTP/1.1\r\nHost: x\r\n\r\n", 0, "400", "request.bad_query" },
	{ GET_HELLO "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 0, "400",
		"request.repeated_header" },
	{ "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11, "400", "request.malformed" },
};

/* Nothing behind a refused request may be read as another one. */
static void test_hostile(void)
{
	static const char smuggled[] = "GET /v1/items/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

	for (size_t i = 0; i < ARRAY_LEN(corpus); i++) {
		const struct hostile *entry = &corpus[i];
		auto_free char *answer = NULL;
		bool good;
		int fd = client_open();

		client_send_bytes(fd, entry->bytes, entry->len ? entry->len : strlen(entry->bytes));
		client_send(fd, smuggled);
		shutdown(fd, SHUT_WR);
		answer = client_read(fd, NULL);
		close(fd);
		good = strncmp(answer, "HTTP/1.1 ", 9) == 0 &&
		       strncmp(answer + 9, entry->status, 3) == 0 && strstr(answer, entry->code) &&
		       !strstr(answer, "{\"item\":\"smuggled\"}");
		if (!good)
			printf("--- corpus %zu:\n%s\n--- got:\n%s\n", i, entry->bytes, answer);
		CHECK(good);
	}
}

/* The test's own foundation: the same second request is answered behind a good first one. */
static void test_second_request_is_answered(void)
{
	auto_free char *answers =
		client_ask(GET_HELLO "\r\nGET /v1/items/smuggled HTTP/1.1\r\nHost: x\r\n"
				     "Connection: close\r\n\r\n",
			NULL);

	CHECK_HAS(answers, "{\"item\":\"smuggled\"}");
}

int main(void)
{
	fixture_start(&(const struct web_conf) { .routes = routes,
		.lanes = lanes,
		.limits = { .head_ms = 300, .body_ms = 300, .tick_ms = 20 } });
	test_second_request_is_answered();
	test_hostile();
	fixture_stop();
	CHECK_DONE();
}
