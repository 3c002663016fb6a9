/* SPDX-License-Identifier: Apache-2.0 */
/* More connections than there is room for: who only waits gives way, who has a request does not. */
#include "tests/unit/web_fixture.h"

#define ROOM 16
#define CROWD 200

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int holds;
static bool let_go;

static int hello(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	res->json = json_pack("{s:s}", "hello", req->path);
	return 0;
}

static int hold(struct web_req *req, struct web_res *res, struct err *err)
{
	pthread_mutex_lock(&mutex);
	holds++;
	pthread_cond_broadcast(&changed);
	while (!let_go)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
	return hello(req, res, err);
}

static const struct web_route routes[] = {
	{ .method = "GET", .path = "/v1/hello", .handle = hello },
	{ .method = "GET", .path = "/v1/hold", .handle = hold, .lane = "slow" },
	{ .method = NULL },
};

static const struct lane_conf lanes[] = { { .name = "db", .threads = 1, .queue = 64 },
	{ .name = "slow", .threads = ROOM, .queue = 64 }, { .name = NULL } };

static void check_hello(void)
{
	auto_free char *answer =
		client_ask("GET /v1/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);

	CHECK_HAS(answer, "HTTP/1.1 200 ");
}

static void check_crowd(const char *first_bytes)
{
	int fds[CROWD];
	auto_free char *rest = NULL;

	for (int i = 0; i < CROWD; i++) {
		fds[i] = client_open();
		client_send(fds[i], first_bytes);
		if (i % 50 == 0)
			check_hello();
	}
	check_hello();
	rest = client_read(fds[0], NULL); /* the oldest gave way, without a word */
	CHECK_TEXT(rest, "");
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
}

static void hold_one(int fd, int number)
{
	struct timespec until;
	int late = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	client_send(fd, "GET /v1/hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	pthread_mutex_lock(&mutex);
	while (holds < number && !late)
		late = pthread_cond_timedwait(&changed, &mutex, &until);
	CHECK(holds >= number);
	pthread_mutex_unlock(&mutex);
}

/* All room is taken by requests: newcomers are told, and nobody is sent away. */
static void test_requests_stay(void)
{
	int fds[ROOM];
	auto_free char *refusal = NULL;

	for (int i = 0; i < ROOM; i++) {
		fds[i] = client_open();
		hold_one(fds[i], i + 1);
	}
	refusal = client_ask("GET /v1/hello HTTP/1.1\r\nHost: x\r\n\r\n", NULL);
	CHECK_HAS(refusal, "HTTP/1.1 503 ");
	pthread_mutex_lock(&mutex);
	let_go = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < ROOM; i++) {
		auto_free char *answer = client_read(fds[i], NULL);

		CHECK_HAS(answer, "{\"hello\"");
		close(fds[i]);
	}
}

int main(void)
{
	fixture_start(&(const struct web_conf) {
		.routes = routes, .lanes = lanes, .limits = { .max_connections = ROOM } });
	check_crowd("");
	check_crowd("GET /v1/hel");
	test_requests_stay();
	fixture_stop();
	CHECK_DONE();
}
