/* SPDX-License-Identifier: Apache-2.0 */
/* Streamed answers: relays with back-pressure in both directions, failures, clients that leave or
 * stall. */
#include "tests/unit/web_stream_fixture.h"

#define DOWNLOAD_BYTES (16ll * 1024 * 1024)

struct download {
	long long left;
	long long next;
	bool chunked;
	bool fails;
	bool cut;
};

static int download_begin(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err)
{
	struct download *download = mem_alloc(sizeof(*download));

	(void)res;
	(void)err;
	download->left = DOWNLOAD_BYTES;
	download->chunked = web_query(req, "chunked") != NULL;
	download->fails = web_query(req, "fails") != NULL;
	download->cut = web_query(req, "cut") != NULL;
	begun++;
	*ret_ctx = download;
	return 0;
}

static void pump(struct web_stream *stream, void *ctx)
{
	struct download *download = ctx;
	struct evbuffer *data = evbuffer_new();
	bool more = true;

	while (more && download->left > 0) {
		unsigned char piece[16384];

		for (size_t i = 0; i < sizeof(piece); i++)
			piece[i] = (unsigned char)('a' + download->next++ % 23);
		evbuffer_add(data, piece, sizeof(piece));
		download->left -= (long long)sizeof(piece);
		more = web_stream_reply_data(stream, data);
	}
	evbuffer_free(data);
	if (download->left == 0)
		web_stream_reply_end(stream);
}

static int download_relay(struct web_stream *stream, void *ctx, struct err *err)
{
	static const struct web_pair headers[] = { { "Content-Type", "text/plain" } };
	struct download *download = ctx;
	struct err cut;

	if (download->fails)
		return err_set(err, ERR_UPSTREAM, "upstream.test", "the upstream is away");
	web_stream_reply_head(stream, 200, headers, 1, download->chunked ? -1 : DOWNLOAD_BYTES);
	if (download->cut) {
		err_set(&cut, ERR_UPSTREAM, "upstream.test", "the upstream went away");
		web_stream_fail(stream, &cut);
		return 0;
	}
	pump(stream, ctx);
	return 0;
}

static void count_end(struct web_stream *stream, void *ctx)
{
	(void)stream;
	(void)ctx;
	ended++;
}

static void download_release(void *ctx)
{
	free(ctx);
	released++;
}

static const struct web_stream_ops download_ops = { .begin = download_begin,
	.relay = download_relay,
	.drained = pump,
	.end = count_end,
	.gone = count_gone,
	.release = download_release };

/* Answers with what is sent to it, as it comes. */
static int mirror_relay(struct web_stream *stream, void *ctx, struct err *err)
{
	(void)ctx;
	(void)err;
	web_stream_reply_head(stream, 200, NULL, 0, web_stream_length(stream));
	return 0;
}

static int mirror_body(struct web_stream *stream, void *ctx, struct evbuffer *in, struct err *err)
{
	(void)ctx;
	(void)err;
	web_stream_reply_data(stream, in);
	return 0;
}

static void mirror_end(struct web_stream *stream, void *ctx)
{
	(void)ctx;
	web_stream_reply_end(stream);
}

static const struct web_stream_ops mirror_ops = { .begin = download_begin,
	.relay = mirror_relay,
	.body = mirror_body,
	.end = mirror_end,
	.gone = count_gone,
	.release = download_release };

static const struct web_route routes[] = {
	{ .method = "GET", .path = "/download", .stream = &download_ops },
	{ .method = "POST", .path = "/mirror", .stream = &mirror_ops },
	{ .method = NULL },
};

static void check_download(const char *query, bool chunked)
{
	int fd = client_open();
	auto_free char *request = mem_printf("GET /download?%s HTTP/1.1\r\nHost: x\r\n"
					     "Connection: close\r\n\r\n",
		query);
	auto_free char *answer = NULL;
	const char *body;

	reset();
	client_send(fd, request);
	usleep(100000); /* the relay fills what it may, then waits for drained() */
	answer = client_read(fd, NULL);
	body = strstr(answer, "\r\n\r\n");
	CHECK_HAS(answer, "Content-Type: text/plain\r\n");
	if (!chunked) {
		CHECK_NUMBER(strlen(body + 4), DOWNLOAD_BYTES);
		CHECK(strncmp(body + 4, "abcdefghijklmnopqrstuvwabc", 26) == 0);
	} else {
		CHECK(strncmp(body + 4, "4000\r\nabcdef", 12) == 0);
		CHECK_TEXT(answer + strlen(answer) - 7, "\r\n0\r\n\r\n");
	}
	wait_for_release(1);
	CHECK_NUMBER(gone, 0);
	close(fd);
}

static void test_downloads(void)
{
	check_download("", false);
	check_download("chunked=1", true);
}

static void test_download_fails(void)
{
	auto_free char *before = NULL;
	auto_free char *after = NULL;

	reset();
	before = client_ask("GET /download?fails=1 HTTP/1.1\r\nHost: x\r\n\r\n", "\"request_id\"");
	CHECK_HAS(before, "HTTP/1.1 502 ");
	after = client_ask("GET /download?cut=1 HTTP/1.1\r\nHost: x\r\n\r\n", NULL);
	CHECK(!strstr(after, "[nothing"));
	wait_for_release(2);
}

static void test_client_leaves_a_download(void)
{
	int fd = client_open();

	reset();
	client_send(fd, "GET /download HTTP/1.1\r\nHost: x\r\n\r\n");
	free(client_read(fd, "abc"));
	close(fd);
	wait_for_release(1);
	CHECK_NUMBER(gone, 1);
}

/* Takes nothing of what it asked for. */
static void test_client_stalls_a_download(void)
{
	int fd = client_open();

	reset();
	client_send(fd, "GET /download HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for_release(1);
	CHECK_NUMBER(gone, 1);
	close(fd);
}

static void test_mirror(void)
{
	int fd = client_open();
	auto_free char *first = NULL;
	auto_free char *second = NULL;

	reset();
	client_send(fd, "POST /mirror HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
	first = client_read(fd, "hello");
	CHECK_HAS(first, "Content-Length: 10\r\n");
	client_send(fd, "there");
	second = client_read(fd, "there");
	free(take_ptr(first));
	client_send(fd, "POST /mirror HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
			"2\r\nab\r\n0\r\n\r\n");
	first = client_read(fd, "2\r\nab\r\n0\r\n\r\n");
	CHECK_HAS(first, "Transfer-Encoding: chunked\r\n");
	wait_for_release(2);
	CHECK_NUMBER(gone, 0);
	close(fd);
}

int main(void)
{
	fixture_start(&(const struct web_conf) { .routes = routes,
		.lanes = lanes,
		.limits = { .body_ms = 500,
			.write_ms = 500,
			.tick_ms = 20,
			.drain_ms = 100,
			.linger_ms = 200 } });
	test_downloads();
	test_download_fails();
	test_client_leaves_a_download();
	test_client_stalls_a_download();
	test_mirror();
	fixture_stop();
	CHECK_DONE();
}
