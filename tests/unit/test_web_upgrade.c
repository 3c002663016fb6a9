/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that a route takes over: bytes as they are in both directions, each with its own end
 * and its own back-pressure. */
#include "tests/unit/web_stream_fixture.h"

#define LOAD_BYTES (16u * 1024 * 1024)
#define IDLE_MS 700
#define LONG_MS 600000

struct mirror {
	bool blocked;
	bool silent; /* ends its own side at once, and only counts */
	bool fails;
	bool stuck; /* takes nothing */
};

static _Atomic size_t counted;

static int mirror_begin(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err)
{
	struct mirror *mirror = mem_alloc(sizeof(*mirror));

	(void)res;
	(void)err;
	mirror->silent = web_query(req, "silent") != NULL;
	mirror->stuck = web_query(req, "stuck") != NULL;
	mirror->fails = web_query(req, "fails") != NULL;
	begun++;
	*ret_ctx = mirror;
	return 0;
}

static int mirror_relay(struct web_stream *stream, void *ctx, struct err *err)
{
	const struct mirror *mirror = ctx;

	if (mirror->fails)
		return err_set(err, ERR_UPSTREAM, "upstream.test", "the upstream is away");
	web_stream_upgrade(stream, mirror->stuck ? LONG_MS : IDLE_MS);
	if (mirror->silent)
		web_stream_reply_end(stream);
	return 0;
}

static int mirror_body(struct web_stream *stream, void *ctx, struct evbuffer *in, struct err *err)
{
	struct mirror *mirror = ctx;

	(void)err;
	counted += evbuffer_get_length(in);
	if (mirror->stuck)
		return 0;
	if (mirror->silent)
		evbuffer_drain(in, evbuffer_get_length(in));
	else if (!mirror->blocked)
		mirror->blocked = !web_stream_reply_data(stream, in);
	else
		counted -= evbuffer_get_length(in); /* it comes again */
	return 0;
}

static void mirror_drained(struct web_stream *stream, void *ctx)
{
	((struct mirror *)ctx)->blocked = false;
	web_stream_resume(stream);
}

static void mirror_end(struct web_stream *stream, void *ctx)
{
	const struct mirror *mirror = ctx;

	ended++;
	if (!mirror->silent)
		web_stream_reply_end(stream);
	web_stream_upgrade_done(stream);
}

static void mirror_release(void *ctx)
{
	free(ctx);
	released++;
}

static const struct web_stream_ops mirror_ops = { .begin = mirror_begin,
	.relay = mirror_relay,
	.body = mirror_body,
	.end = mirror_end,
	.drained = mirror_drained,
	.gone = count_gone,
	.release = mirror_release,
	.upgrade = "mirror" };

static const struct web_route routes[] = {
	{ .method = "GET", .path = "/mirror", .stream = &mirror_ops },
	{ .method = NULL },
};

#define UPGRADE "Host: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: mirror\r\n\r\n"

static int open_mirror(const char *query)
{
	int fd = client_open();
	auto_free char *request = mem_printf("GET /mirror%s HTTP/1.1\r\n" UPGRADE, query);
	auto_free char *head = NULL;

	client_send(fd, request);
	head = client_read(fd, "\r\n\r\n");
	CHECK_HAS(head, "HTTP/1.1 101 Switching Protocols\r\n");
	CHECK_HAS(head, "Connection: Upgrade\r\nUpgrade: mirror\r\n");
	CHECK(!strstr(head, "close") && !strstr(head, "chunked") && !strstr(head, "Length"));
	return fd;
}

static void test_bytes_and_ends(void)
{
	auto_free char *first = NULL;
	auto_free char *rest = NULL;
	int fd;

	reset();
	fd = open_mirror("");
	client_send(fd, "GET / HTTP/1.1\r\n\r\n"); /* bytes like others */
	first = client_read(fd, "\r\n\r\n");
	CHECK_TEXT(first, "GET / HTTP/1.1\r\n\r\n");
	client_send(fd, "last words");
	shutdown(fd, SHUT_WR);
	rest = client_read(fd, NULL);
	CHECK_TEXT(rest, "last words");
	wait_for_release(1);
	CHECK_NUMBER(ended, 1);
	CHECK_NUMBER(gone, 0);
	close(fd);
}

/* They wait in the server's buffer until the route has taken over. */
static void test_bytes_behind_the_head(void)
{
	auto_free char *answer = NULL;

	reset();
	answer = client_ask("GET /mirror HTTP/1.1\r\n" UPGRADE "early", "early");
	CHECK_HAS(answer, "\r\n\r\nearly");
	wait_for_release(1);
}

/* Its end reaches the client, whose own bytes and end go on to reach it. */
static void test_the_routes_end(void)
{
	int fd;
	auto_free char *nothing = NULL;

	reset();
	counted = 0;
	fd = open_mirror("?silent=1");
	nothing = client_read(fd, NULL);
	CHECK_TEXT(nothing, "");
	CHECK_NUMBER(released, 0);
	client_send(fd, "said to the silent");
	shutdown(fd, SHUT_WR);
	wait_for_release(1);
	CHECK_NUMBER(counted, strlen("said to the silent"));
	CHECK_NUMBER(ended, 1);
	close(fd);
}

struct load {
	int fd;
	char bytes[LOAD_BYTES];
};

static void *send_load(void *arg)
{
	const struct load *load = arg;

	client_send_bytes(load->fd, load->bytes, LOAD_BYTES);
	shutdown(load->fd, SHUT_WR);
	return NULL;
}

/* The client sends far more than anybody keeps before it reads: each side waits for the other. */
static void test_back_pressure(void)
{
	auto_free struct load *load = mem_alloc(sizeof(*load));
	auto_free char *echo = NULL;
	pthread_t sender;
	size_t before = 1;

	for (size_t i = 0; i < LOAD_BYTES; i++)
		load->bytes[i] = (char)('a' + i % 23);
	reset();
	counted = 0;
	load->fd = open_mirror("");
	pthread_create(&sender, NULL, send_load, load);
	for (int i = 0; i < 200 && counted != before; i++) {
		before = counted ? counted : 1;
		usleep(20000);
	}
	CHECK(counted > 0 && counted < LOAD_BYTES / 4);
	echo = client_read(load->fd, NULL);
	pthread_join(sender, NULL);
	CHECK_NUMBER(strlen(echo), LOAD_BYTES);
	CHECK(memcmp(echo, load->bytes, LOAD_BYTES) == 0);
	wait_for_release(1);
	CHECK_NUMBER(gone, 0);
	close(load->fd);
}

static void test_idle(void)
{
	auto_free char *nothing = NULL;
	auto_free char *echo = NULL;
	int fd;

	reset();
	fd = open_mirror("");
	for (int i = 0; i < 4; i++) { /* longer together than may pass without a byte */
		usleep(IDLE_MS / 2 * 1000);
		client_send(fd, "x");
		free(take_ptr(echo));
		echo = client_read(fd, "x");
		CHECK_TEXT(echo, "x");
	}
	nothing = client_read(fd, NULL);
	CHECK_TEXT(nothing, "");
	wait_for_release(1);
	CHECK_NUMBER(gone, 1);
	close(fd);
}

static void test_client_leaves(void)
{
	int fd;

	reset();
	fd = open_mirror("");
	close(fd);
	wait_for_release(1);
}

/* Behind bytes that wait, which nobody reads for as long as the other side may be idle. */
static void test_client_leaves_behind_bytes(void)
{
	int fd;

	reset();
	counted = 0;
	fd = open_mirror("?stuck=1");
	client_send(fd, "x");
	while (counted == 0)
		usleep(1000);
	client_send(fd, "more than is taken");
	close(fd);
	wait_for_release(1);
	CHECK_NUMBER(gone, 1);
}

static void test_what_is_no_upgrade(void)
{
	static const char *const heads[] = {
		"GET /mirror HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /mirror HTTP/1.1\r\nHost: x\r\nUpgrade: mirror\r\n\r\n",
		"GET /mirror HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\r\n",
		"GET /mirror HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"GET /mirror HTTP/1.1\r\nHost: x\r\nConnection: not-upgrade\r\nUpgrade: "
		"mirror\r\n\r\n",
		"GET /mirror HTTP/1.0\r\n" UPGRADE,
		"GET /mirror HTTP/1.1\r\nContent-Length: 1\r\n" UPGRADE "x",
	};

	reset();
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		auto_free char *answer = client_ask(heads[i], "\"request_id\"");

		CHECK_HAS(answer, " 426 Upgrade Required\r\n");
		CHECK_HAS(answer, "\r\nUpgrade: mirror\r\n");
		CHECK_HAS(answer, "request.no_upgrade");
	}
	CHECK_NUMBER(begun, 0);
}

static void test_failure_before(void)
{
	auto_free char *answer = NULL;

	reset();
	answer = client_ask("GET /mirror?fails=1 HTTP/1.1\r\n" UPGRADE, "\"request_id\"");
	CHECK_HAS(answer, "HTTP/1.1 502 ");
	wait_for_release(1);
}

/* One that is open when the server stops is cut at the end of the drain. */
static void test_stop(void)
{
	int fd;

	reset();
	fd = open_mirror("");
	fixture_stop();
	CHECK_NUMBER(released, 1);
	close(fd);
}

int main(void)
{
	fixture_start(&(const struct web_conf) { .routes = routes,
		.lanes = lanes,
		.limits = { .body_ms = 50,
			.write_ms = 50,
			.tick_ms = 20,
			.drain_ms = 100,
			.half_ms = IDLE_MS,
			.linger_ms = 200 } });
	test_bytes_and_ends();
	test_bytes_behind_the_head();
	test_the_routes_end();
	test_back_pressure();
	test_idle();
	test_client_leaves();
	test_client_leaves_behind_bytes();
	test_what_is_no_upgrade();
	test_failure_before();
	test_stop();
	CHECK_DONE();
}
