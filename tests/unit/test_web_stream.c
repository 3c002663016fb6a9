/* SPDX-License-Identifier: Apache-2.0 */
/* Streamed uploads: back-pressure, refusals, clients that leave; gone() and release() come as
 * promised. */
#include "tests/unit/web_stream_fixture.h"

#define UPLOAD_BYTES (8u * 1024 * 1024)

static _Atomic int refuse_at; /* bytes after which the route refuses; 0: never */
static _Atomic size_t most_waiting;

struct upload {
	struct event *timer;
	struct web_stream *stream;
	unsigned long long sum;
	size_t bytes;
	bool slow;
	bool ready;
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct upload *upload = arg;

	(void)fd;
	(void)what;
	upload->ready = true;
	web_stream_resume(upload->stream);
}

static int upload_begin(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err)
{
	struct upload *upload;

	if (web_query(req, "deny"))
		return err_set(err, ERR_FORBIDDEN, "upload.denied", "not you");
	if (web_query(req, "known")) {
		res->status = 201;
		res->json = json_pack("{s:b}", "known", 1);
		return 1;
	}
	upload = mem_alloc(sizeof(*upload));
	upload->slow = web_query(req, "slow") != NULL;
	begun++;
	*ret_ctx = upload;
	return 0;
}

static void take(struct upload *upload, struct evbuffer *in, size_t room)
{
	while (room > 0 && evbuffer_get_length(in) > 0) {
		unsigned char piece[4096];
		int got = evbuffer_remove(in, piece, room < sizeof(piece) ? room : sizeof(piece));

		for (int i = 0; i < got; i++)
			upload->sum += piece[i];
		upload->bytes += (size_t)got;
		room -= (size_t)got;
	}
}

/* A slow one takes 64 KiB at each beat of its timer. */
static int upload_body(struct web_stream *stream, void *ctx, struct evbuffer *in, struct err *err)
{
	const struct timeval beat = { .tv_usec = 1000 };
	struct upload *upload = ctx;

	if (evbuffer_get_length(in) > most_waiting)
		most_waiting = evbuffer_get_length(in);
	upload->stream = stream;
	if (refuse_at && upload->bytes >= (size_t)refuse_at)
		return err_set(err, ERR_UNPROCESSABLE, "upload.refused", "not these bytes");
	if (!upload->slow) {
		take(upload, in, SIZE_MAX);
		return 0;
	}
	if (upload->ready)
		take(upload, in, 65536);
	upload->ready = false;
	if (!upload->timer)
		upload->timer = evtimer_new(web_stream_base(stream), on_timer, upload);
	evtimer_add(upload->timer, &beat);
	return 0;
}

static int upload_finish(struct web_req *req, struct web_res *res, void *ctx, struct err *err)
{
	const struct upload *upload = ctx;

	(void)req;
	(void)err;
	finished++;
	res->status = 201;
	res->json = json_pack(
		"{s:I, s:I}", "bytes", (json_int_t)upload->bytes, "sum", (json_int_t)upload->sum);
	return 0;
}

static void upload_release(void *ctx)
{
	struct upload *upload = ctx;

	if (upload->timer)
		event_free(upload->timer);
	free(upload);
	released++;
}

static const struct web_stream_ops upload_ops = { .begin = upload_begin,
	.body = upload_body,
	.finish = upload_finish,
	.gone = count_gone,
	.release = upload_release };

static const struct web_route routes[] = {
	{ .method = "PUT", .path = "/upload", .stream = &upload_ops },
	{ .method = NULL },
};

static void start_over(void)
{
	reset();
	refuse_at = 0;
	most_waiting = 0;
}

struct bytes {
	int fd;
	bool chunked;
	size_t len;
	unsigned long long sum;
};

static void *send_bytes(void *arg)
{
	struct bytes *bytes = arg;
	unsigned char piece[10000];

	for (size_t done = 0; done < bytes->len;) {
		size_t len = bytes->len - done < sizeof(piece) ? bytes->len - done : sizeof(piece);
		char size[16];

		for (size_t i = 0; i < len; i++) {
			piece[i] = (unsigned char)((done + i) * 7);
			bytes->sum += piece[i];
		}
		snprintf(size, sizeof(size), "%zx\r\n", len);
		if (bytes->chunked)
			client_send(bytes->fd, size);
		client_send_bytes(bytes->fd, piece, len);
		if (bytes->chunked)
			client_send(bytes->fd, "\r\n");
		done += len;
	}
	if (bytes->chunked)
		client_send(bytes->fd, "0\r\n\r\n");
	return NULL;
}

static void check_upload(const char *query, bool chunked)
{
	struct bytes bytes = { .fd = client_open(), .chunked = chunked, .len = UPLOAD_BYTES };
	auto_free char *head =
		mem_printf("PUT /upload?%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", query);
	auto_free char *expected = NULL;
	auto_free char *answer = NULL;

	start_over();
	client_send(bytes.fd, head);
	if (chunked)
		client_send(bytes.fd, "Transfer-Encoding: chunked\r\n\r\n");
	else
		client_send(bytes.fd, "Content-Length: 8388608\r\n\r\n");
	send_bytes(&bytes);
	answer = client_read(bytes.fd, NULL);
	expected = mem_printf("{\"bytes\":%u,\"sum\":%llu}", UPLOAD_BYTES, bytes.sum);
	CHECK_HAS(answer, "HTTP/1.1 201 ");
	CHECK_HAS(answer, expected);
	wait_for_release(1);
	CHECK_NUMBER(gone, 0);
	CHECK_NUMBER(finished, 1);
	CHECK(most_waiting <= 1024 * 1024);
	close(bytes.fd);
}

static void test_uploads(void)
{
	check_upload("", false);
	check_upload("", true);
	check_upload("slow=1", false);
	check_upload("slow=1", true);
}

static void test_small_uploads_keep_the_connection(void)
{
	int fd = client_open();
	auto_free char *answers = NULL;

	start_over();
	client_send(fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n\1"
			"PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
			"chunked\r\n\r\n1\r\n\2\r\n0\r\n\r\n"
			"PUT /upload HTTP/1.1\r\nHost: x\r\n\r\n"
			"PUT /upload?known=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	answers = client_read(fd, NULL);
	CHECK_HAS(answers, "{\"bytes\":1,\"sum\":1}");
	CHECK_HAS(answers, "{\"bytes\":1,\"sum\":2}");
	CHECK_HAS(answers, "{\"bytes\":0,\"sum\":0}");
	CHECK_HAS(answers, "{\"known\":true}");
	wait_for_release(3);
	close(fd);
}

static void test_refused_before_the_body(void)
{
	int fd = client_open();
	auto_free char *answer = NULL;

	start_over();
	client_send(fd, "PUT /upload?deny=1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
			"Content-Length: 100\r\n\r\n");
	answer = client_read(fd, NULL);
	CHECK(strncmp(answer, "HTTP/1.1 403 ", 13) == 0);
	CHECK_HAS(answer, "Connection: close");
	CHECK_NUMBER(released, 0);
	close(fd);
}

static void test_expect_continue(void)
{
	int fd = client_open();
	auto_free char *first = NULL;
	auto_free char *second = NULL;

	start_over();
	client_send(fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
			"Content-Length: 1\r\n\r\n");
	first = client_read(fd, "\r\n\r\n");
	CHECK_TEXT(first, "HTTP/1.1 100 Continue\r\n\r\n");
	client_send(fd, "\3");
	second = client_read(fd, "}");
	CHECK_HAS(second, "{\"bytes\":1,\"sum\":3}");
	close(fd);
	wait_for_release(1);
}

static void test_body_refused_in_the_middle(void)
{
	struct bytes bytes = { .fd = client_open(), .len = UPLOAD_BYTES };
	pthread_t thread;
	auto_free char *answer = NULL;

	start_over();
	refuse_at = 100000;
	client_send(bytes.fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n");
	pthread_create(&thread, NULL, send_bytes, &bytes);
	answer = client_read(bytes.fd, "\"request_id\"");
	CHECK_HAS(answer, "HTTP/1.1 422 ");
	CHECK_HAS(answer, "upload.refused");
	wait_for_release(1);
	CHECK_NUMBER(gone, 1);
	CHECK_NUMBER(finished, 0);
	shutdown(bytes.fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(bytes.fd);
}

static void test_client_gone_in_the_middle(void)
{
	static const char *const queries[] = { "", "slow=1" };

	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		struct bytes bytes = { .fd = client_open(), .len = 300000 };
		auto_free char *head = mem_printf(
			"PUT /upload?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n",
			queries[i]);

		start_over();
		client_send(bytes.fd, head);
		send_bytes(&bytes);
		close(bytes.fd);
		wait_for_release(1);
		CHECK_NUMBER(gone, 1);
		CHECK_NUMBER(finished, 0);
	}
}

static void test_client_too_slow(void)
{
	int fd = client_open();
	auto_free char *answer = NULL;

	start_over();
	client_send(fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nfew");
	answer = client_read(fd, NULL);
	CHECK(!strstr(answer, "[nothing"));
	wait_for_release(1);
	CHECK_NUMBER(gone, 1);
	close(fd);
}

/* A byte now and then is as good as none. */
static void test_client_drips(void)
{
	struct pollfd poll_fd = { .fd = client_open(), .events = POLLIN };
	int sent = 0;

	start_over();
	client_send(poll_fd.fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
	while (sent < 200 && poll(&poll_fd, 1, 50) == 0)
		sent += send(poll_fd.fd, "x", 1, MSG_NOSIGNAL) == 1;
	CHECK(sent < 200);
	wait_for_release(1);
	CHECK_NUMBER(gone, 1);
	close(poll_fd.fd);
}

static void test_bad_chunk_in_the_middle(void)
{
	int fd = client_open();
	auto_free char *answer = NULL;

	start_over();
	client_send(fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
			"3\r\nabc\r\nzz\r\n");
	answer = client_read(fd, NULL);
	CHECK_HAS(answer, "request.bad_framing");
	wait_for_release(1);
	CHECK_NUMBER(gone, 1);
	close(fd);
}

/* A stop in the middle: the route hears of it. */
static void test_stop_in_the_middle(void)
{
	int fd = client_open();

	start_over();
	client_send(fd, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nfew");
	for (int i = 0; i < 500 && !begun; i++)
		usleep(1000);
	fixture_stop();
	CHECK_NUMBER(gone, 1);
	CHECK_NUMBER(released, 1);
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
	test_uploads();
	test_small_uploads_keep_the_connection();
	test_refused_before_the_body();
	test_expect_continue();
	test_body_refused_in_the_middle();
	test_client_gone_in_the_middle();
	test_client_too_slow();
	test_client_drips();
	test_bad_chunk_in_the_middle();
	test_stop_in_the_middle();
	CHECK_DONE();
}
