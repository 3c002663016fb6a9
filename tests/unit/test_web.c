/* SPDX-License-Identifier: Apache-2.0 */
/* Buffered requests at the edge: routes, bodies, keep-alive, limits, lanes. */
#include <fcntl.h>
#include <sched.h>

#include "tests/unit/web_fixture.h"

#define GET_HELLO "GET /v1/hello HTTP/1.1\r\nHost: x\r\n"

static int hello(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *name = web_query(req, "name");

	(void)err;
	res->json = json_pack("{s:s, s:s}", "hello", name ? name : "world", "path", req->path);
	return 0;
}

static int item(struct web_req *req, struct web_res *res, struct err *err)
{
	if (strcmp(web_param(req, "id"), "missing") == 0)
		return err_set(
			err, ERR_NOT_FOUND, "item.missing", "no item '%s'", web_param(req, "id"));
	if (strcmp(web_param(req, "id"), "secret") == 0)
		return err_set(err, ERR_INTERNAL, "item.broken", "a detail for the log only");
	res->json = json_pack("{s:s}", "item", web_param(req, "id"));
	return 0;
}

static int cancel(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	res->status = 202;
	res->json = json_pack("{s:s}", "cancelled", web_param(req, "id"));
	return 0;
}

static int rest(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	res->json = json_pack("{s:s}", "rest", web_param(req, "rest"));
	return 0;
}

static int echo(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	res->text = arena_dup(req->arena, req->body, req->body_len);
	res->text_len = req->body_len;
	res->content_type = "application/octet-stream";
	return 0;
}

static int json_echo(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	res->json = json_incref(req->json);
	res->status = 201;
	web_header_add(res, "Location", "/v1/json/1\r\nEvil: yes");
	return 0;
}

static int file(struct web_req *req, struct web_res *res, struct err *err)
{
	FILE *temporary = tmpfile();

	(void)req;
	(void)err;
	for (int i = 0; i < 100000; i++)
		fprintf(temporary, "%06d,", i);
	fflush(temporary);
	res->file_fd = fcntl(fileno(temporary), F_DUPFD_CLOEXEC, 0);
	fclose(temporary);
	res->file_offset = 7;
	res->file_len = 699993;
	res->content_type = "text/csv";
	return 0;
}

static int empty(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)req;
	(void)err;
	res->status = 204;
	return 0;
}

static int turn(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)req;
	(void)err;
	res->json = json_pack("{s:i}", "turn", sched_getscheduler(0));
	return 0;
}

/* Holds its worker until the test lets it go. */
static pthread_mutex_t hold_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t hold_changed = PTHREAD_COND_INITIALIZER;
static int held;
static bool let_go;

static int hold(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)req;
	(void)err;
	pthread_mutex_lock(&hold_mutex);
	held++;
	pthread_cond_broadcast(&hold_changed);
	while (!let_go)
		pthread_cond_wait(&hold_changed, &hold_mutex);
	pthread_mutex_unlock(&hold_mutex);
	res->json = json_pack("{s:b}", "held", 1);
	return 0;
}

static const struct web_route routes[] = {
	{ .method = "GET", .path = "/v1/{rest...}", .handle = rest },
	{ .method = "GET", .path = "/v2/{rest...}/tail/{id}", .handle = rest },
	{ .method = "GET", .path = "/v2/{rest...}/tail/", .handle = rest },
	{ .method = "GET", .path = "/v1/items/{id}", .handle = item },
	{ .method = "POST", .path = "/v1/items/{id}:cancel", .handle = cancel },
	{ .method = "GET", .path = "/v1/hello", .handle = hello },
	{ .method = "GET", .path = "/v2/", .handle = hello },
	{ .method = "POST", .path = "/v1/echo", .max_body = 1000, .handle = echo },
	{ .method = "POST",
		.path = "/v1/json",
		.max_body = 1000,
		.json = true,
		.handle = json_echo },
	{ .method = "GET", .path = "/v1/file", .handle = file },
	{ .method = "DELETE", .path = "/v1/empty", .handle = empty },
	{ .method = "GET", .path = "/v1/hold", .lane = "slow", .handle = hold },
	{ .method = "GET", .path = "/v1/turn", .handle = turn },
	{ .method = "GET", .path = "/v1/turn/loop", .lane = "loop", .handle = turn },
	{ .method = "GET", .path = "/v1/member", .access = WEB_MEMBER, .handle = hello },
	{ .method = NULL },
};

static const struct lane_conf lanes[] = { { .name = "db", .threads = 2, .queue = 64 },
	{ .name = "slow", .threads = 1, .queue = 1 }, { .name = NULL } };

static void check_answer(const char *request, const char *status, const char *part)
{
	auto_free char *closing = mem_printf("%s", request);
	auto_free char *answer = client_ask(closing, part);

	if (strncmp(answer + 9, status, 3) != 0 || !strstr(answer, part))
		printf("--- asked:\n%s\n--- got:\n%s\n", request, answer);
	CHECK(strncmp(answer, "HTTP/1.1 ", 9) == 0);
	CHECK(strncmp(answer + 9, status, 3) == 0);
	CHECK(strstr(answer, part) != NULL);
}

static void test_routes(void)
{
	check_answer(GET_HELLO "\r\n", "200", "{\"hello\":\"world\",\"path\":\"/v1/hello\"}");
	check_answer(
		"GET /v1/hello?name=a%20b%2Bc+d HTTP/1.1\r\nHost: x\r\n\r\n", "200", "\"a b+c d\"");
	check_answer("GET /v1/h%65llo HTTP/1.1\r\nHost: x\r\n\r\n", "200", "/v1/hello");
	check_answer("GET /v1/items/a HTTP/1.1\r\nHost: x\r\n\r\n", "200", "{\"item\":\"a\"}");
	check_answer("GET /v1/a/b/ HTTP/1.1\r\nHost: x\r\n\r\n", "200", "{\"rest\":\"a/b/\"}");
	check_answer("GET /v2/a/b/tail/1 HTTP/1.1\r\nHost: x\r\n\r\n", "200", "{\"rest\":\"a/b\"}");
	check_answer("GET /v2/tail/tail/tail/ HTTP/1.1\r\nHost: x\r\n\r\n", "200",
		"{\"rest\":\"tail/tail\"}");
	check_answer("GET /v2/tail/1 HTTP/1.1\r\nHost: x\r\n\r\n", "404", "request.no_route");
	check_answer("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", "200", "\"/v2/\"");
	check_answer("GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n", "404", "request.no_route");
	check_answer("POST /v1/items/a:cancel HTTP/1.1\r\nHost: x\r\n\r\n", "202",
		"{\"cancelled\":\"a\"}");
	check_answer("DELETE /v1/empty HTTP/1.1\r\nHost: x\r\n\r\n", "204", "\r\n\r\n");
	check_answer(
		"HEAD /v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", "200", "Content-Length: 36\r\n\r\n");
	check_answer("PUT /v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", "405", "Allow: GET, HEAD\r\n");
	check_answer(
		"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "404", "\"code\":\"request.no_route\"");
	check_answer(
		"GET /v1/member HTTP/1.1\r\nHost: x\r\n\r\n", "401", "WWW-Authenticate: Bearer");
	check_answer("GET /v1/items/missing HTTP/1.1\r\nHost: x\r\n\r\n", "404",
		"\"detail\":\"no item 'missing'\",\"code\":\"item.missing\"");
}

static void test_problem_hides_internals(void)
{
	auto_free char *answer =
		client_ask("GET /v1/items/secret HTTP/1.1\r\nHost: x\r\n\r\n", "\"request_id\"");

	CHECK_HAS(answer, "HTTP/1.1 500 ");
	CHECK_HAS(answer, "Content-Type: application/problem+json");
	CHECK_HAS(answer, "\"type\":\"urn:strongroom:error:item.broken\"");
	CHECK(!strstr(answer, "for the log only"));
}

static void test_bodies(void)
{
	check_answer("POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "200",
		"\r\n\r\nhello");
	check_answer("POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "5;name=value\r\nhello\r\n3\r\n...\r\n0\r\nTrailer: x\r\n\r\n",
		"200", "\r\n\r\nhello...");
	check_answer("POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", "413",
		"request.body_too_large");
	check_answer("POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "fffffff\r\n"
		     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"408", "request.timeout");
	check_answer("POST /v1/items/a:cancel HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na",
		"413", "request.body_not_allowed");
	check_answer("POST /v1/json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		     "Content-Length: 7\r\n\r\n{\"a\":1}",
		"201", "\r\n\r\n{\"a\":1}");
	check_answer("POST /v1/json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
		     "Content-Length: 7\r\n\r\n{\"a\":1]",
		"400", "\"code\":\"json.");
	check_answer("POST /v1/json HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
		     "Content-Length: 2\r\n\r\n{}",
		"415", "request.not_json");
	check_answer("POST /v1/json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n",
		"400", "request.body_missing");
	check_answer(
		"POST /v1/echo HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n",
		"417", "request.bad_expect");
}

static void test_header_injection(void)
{
	auto_free char *answer = client_ask("POST /v1/json HTTP/1.1\r\nHost: x\r\n"
					    "Content-Type: application/json\r\n"
					    "Content-Length: 2\r\n\r\n{}",
		"\r\n\r\n{}");

	CHECK_HAS(answer, "Location: /v1/json/1\r\n");
	CHECK(!strstr(answer, "Evil"));
}

static void test_expect_continue(void)
{
	int fd = client_open();
	auto_free char *first = NULL;
	auto_free char *second = NULL;

	client_send(fd, "POST /v1/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
			"Content-Length: 4\r\n\r\n");
	first = client_read(fd, "\r\n\r\n");
	CHECK_TEXT(first, "HTTP/1.1 100 Continue\r\n\r\n");
	client_send(fd, "done");
	second = client_read(fd, "\r\n\r\ndone");
	CHECK_HAS(second, "HTTP/1.1 200 OK");
	close(fd);
}

static void test_ids(void)
{
	auto_free char *ours = client_ask(GET_HELLO
		"X-Request-Id: req_0190f1c2000070008000000000000001\r\n"
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
		"}");
	auto_free char *foreign = client_ask(
		GET_HELLO "X-Request-Id: hello\r\ntraceparent: 00-00-00-00\r\n\r\n", "}");

	CHECK_HAS(ours, "X-Request-Id: req_0190f1c2000070008000000000000001\r\n");
	CHECK_HAS(ours, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
	CHECK_HAS(foreign, "X-Request-Id: req_");
	CHECK_HAS(foreign, "traceparent: 00-");
	CHECK(!strstr(foreign, "00-00-00-00"));
}

static void test_keep_alive_and_pipelining(void)
{
	int fd = client_open();
	auto_free char *answers = NULL;
	const char *second;

	client_send(fd, "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
			"POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
			"3\r\ntwo\r\n0\r\n\r\n"
			"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" GET_HELLO
			"Connection: close\r\n\r\n" GET_HELLO "\r\n");
	answers = client_read(fd, NULL);
	close(fd);
	CHECK_HAS(answers, "\r\n\r\none");
	second = strstr(answers, "\r\n\r\ntwo");
	CHECK(second && strstr(second, "request.no_route") && strstr(second, "Connection: close"));
	CHECK(second && strstr(strstr(second, "{\"hello\""), "HTTP/1.1") == NULL);
}

static void test_http_1_0(void)
{
	auto_free char *answer = client_ask("GET /v1/hello HTTP/1.0\r\nHost: x\r\n\r\n", NULL);

	CHECK_HAS(answer, "Connection: close\r\n");
	CHECK_HAS(answer, "{\"hello\":\"world\"");
}

static void test_file(void)
{
	auto_free char *answer = client_ask(GET_HELLO
		"\r\nGET /v1/file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		NULL);
	const char *file_text = strstr(answer, "text/csv");

	CHECK_HAS(answer, "Content-Length: 699993\r\n");
	CHECK(file_text && strlen(strstr(file_text, "\r\n\r\n") + 4) == 699993);
	CHECK(file_text && strncmp(strstr(file_text, "\r\n\r\n") + 4, "000001,", 7) == 0);
	CHECK_TEXT(answer + strlen(answer) - 7, "099999,");
}

static void test_large_heads(void)
{
	auto_free char *padding = mem_alloc(40001);
	auto_free char *one = NULL;
	auto_free char *many = mem_printf("%s", GET_HELLO);

	memset(padding, 'a', 40000);
	one = mem_printf(GET_HELLO "X: %s\r\n\r\n", padding);
	check_answer(one, "431", "request.head_too_large");
	for (int i = 0; i < 101; i++) {
		char *longer = mem_printf("%sX-%d: a\r\n", many, i);

		free(many);
		many = longer;
	}
	check_answer(many, "431", "request.head_too_large");
	memset(padding, 'a', 40000);
	padding[32000] = '\0';
	free(take_ptr(one));
	one = mem_printf(GET_HELLO "X: %s\r\n\r\n", padding);
	check_answer(one, "200", "{\"hello\"");
}

static void test_slow_head(void)
{
	int fd = client_open();
	auto_free char *answer = NULL;

	client_send(fd, "GET /v1/hel");
	answer = client_read(fd, NULL);
	CHECK_HAS(answer, "HTTP/1.1 408 ");
	CHECK_HAS(answer, "request.timeout");
	close(fd);
}

static void test_idle_is_closed(void)
{
	int fd = client_open();
	auto_free char *answer = client_read(fd, NULL);

	CHECK_TEXT(answer, "");
	close(fd);
}

/* One held by the worker, one in the queue of one: the third is refused at once, and other lanes go
 * on. */
static void test_full_lane(void)
{
	static const char request[] =
		"GET /v1/hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	int first = client_open(), second = client_open(), third = client_open();
	auto_free char *answers[4] = { NULL };

	client_send(first, request);
	pthread_mutex_lock(&hold_mutex);
	while (held == 0)
		pthread_cond_wait(&hold_changed, &hold_mutex);
	pthread_mutex_unlock(&hold_mutex);
	client_send(second, request);
	answers[0] = client_ask(GET_HELLO "\r\n", "}");
	CHECK_HAS(answers[0], "200 OK");
	client_send(third, request);
	answers[1] = client_read(third, NULL);
	CHECK_HAS(answers[1], "HTTP/1.1 503 ");
	CHECK_HAS(answers[1], "Retry-After: 1\r\n");
	CHECK_HAS(answers[1], "\"code\":\"lane.full\"");
	pthread_mutex_lock(&hold_mutex);
	let_go = true;
	pthread_cond_broadcast(&hold_changed);
	pthread_mutex_unlock(&hold_mutex);
	answers[2] = client_read(first, NULL);
	answers[3] = client_read(second, NULL);
	CHECK_HAS(answers[2], "{\"held\":true}");
	CHECK_HAS(answers[3], "{\"held\":true}");
	close(first);
	close(second);
	close(third);
	free(answers[1]);
	free(answers[2]);
	free(answers[3]);
}

/* The loop lets its wakers go on; workers are woken as ever. */
static void test_who_waits_for_his_turn(void)
{
	auto_free char *batch = mem_printf("{\"turn\":%d}", SCHED_BATCH),
		       *other = mem_printf("{\"turn\":%d}", SCHED_OTHER);

	check_answer("GET /v1/turn/loop HTTP/1.1\r\nHost: x\r\n\r\n", "200", batch);
	check_answer("GET /v1/turn HTTP/1.1\r\nHost: x\r\n\r\n", "200", other);
}

int main(void)
{
	fixture_start(&(const struct web_conf) { .routes = routes,
		.lanes = lanes,
		.limits = { .head_ms = 300, .idle_ms = 400, .body_ms = 300, .tick_ms = 20 } });
	test_routes();
	test_problem_hides_internals();
	test_bodies();
	test_header_injection();
	test_expect_continue();
	test_ids();
	test_keep_alive_and_pipelining();
	test_http_1_0();
	test_file();
	test_large_heads();
	test_slow_head();
	test_idle_is_closed();
	test_full_lane();
	test_who_waits_for_his_turn();
	fixture_stop();
	CHECK_DONE();
}
