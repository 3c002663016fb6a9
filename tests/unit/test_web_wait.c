/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting at the edge: parked requests, rings, deadlines, event streams, and the drain at the end.
 */
#include "tests/unit/web_fixture.h"

#include "lib/auth.h"
#include "lib/id.h"

#define PARK_MS 400

#define FLOOD 4000
#define FLOOD_EVENT_BYTES 1000

static _Atomic bool revoked;
static _Atomic int state;
static _Atomic int runs;

/* Waits until `state` is at least ?from. */
static int wait_for(struct web_req *req, struct web_res *res, struct err *err)
{
	long long wait_ms;

	if (web_wait_ms(req, &wait_ms, err) < 0)
		return -1;
	runs++;
	res->json = json_pack("{s:i}", "state", state);
	if (!web_query(req, "from") || state < (int)strtol(web_query(req, "from"), NULL, 10))
		web_park(req, res, "key", wait_ms);
	return 0;
}

/* The ring comes while the handler still runs, after it looked. */
static int ring_inside(struct web_req *req, struct web_res *res, struct err *err)
{
	int seen = state;

	(void)err;
	res->json = json_pack("{s:i}", "seen", seen);
	if (seen > 0)
		return 0;
	state = 1;
	web_server_ring(fixture_server, "inside");
	usleep(20000);
	web_park(req, res, "inside", 3000);
	return 0;
}

static int fail_later(struct web_req *req, struct web_res *res, struct err *err)
{
	if (state > 0)
		return err_set(err, ERR_CONFLICT, "test.late", "failed on the second run");
	web_park(req, res, "key", 2000);
	return 0;
}

/* One event for each step of `state` that the client has not seen; ends at 5. */
static int events(struct web_req *req, struct web_res *res, struct err *err)
{
	(void)err;
	res->sse = true;
	for (long long id = req->last_event_id + 1; id <= state; id++)
		web_event(req, res, id, "step", json_pack("{s:I}", "step", id));
	if (state < 5)
		web_park(req, res, "key", 3000);
	return 0;
}

/* Far more than one run may add; ends without waiting for anything. */
static int flood(struct web_req *req, struct web_res *res, struct err *err)
{
	static const char filler[FLOOD_EVENT_BYTES + 1] = { [0 ... FLOOD_EVENT_BYTES - 1] = 'x' };

	(void)err;
	runs++;
	res->sse = true;
	for (long long id = req->last_event_id + 1; id <= FLOOD; id++)
		web_event(req, res, id, "step", json_string(filler));
	return 0;
}

static int authorise(struct web_req *req, enum web_access access, const char *scope,
	const struct principal **ret_principal, struct err *err)
{
	static const struct principal somebody = { .kind = WEB_MEMBER, .subject = "mbr_1" };

	(void)req;
	(void)access;
	(void)scope;
	(void)err;
	*ret_principal = &somebody;
	return 0;
}

static int recheck(struct web_req *req, struct err *err)
{
	(void)req;
	return revoked ? err_set(err, ERR_UNAUTHENTICATED, "auth.revoked", "revoked") : 0;
}

static const struct web_route routes[] = {
	{ .method = "GET", .path = "/mine/wait", .access = WEB_MEMBER, .handle = wait_for },
	{ .method = "GET", .path = "/mine/events", .access = WEB_MEMBER, .handle = events },
	{ .method = "GET", .path = "/flood", .handle = flood },
	{ .method = "GET", .path = "/wait", .handle = wait_for },
	{ .method = "GET", .path = "/inside", .handle = ring_inside },
	{ .method = "GET", .path = "/fail", .handle = fail_later },
	{ .method = "GET", .path = "/events", .handle = events },
	{ .method = NULL },
};

static const struct lane_conf lanes[] = { { .name = "db", .threads = 2, .queue = 64 },
	{ .name = NULL } };

static void start(long beat_ms)
{
	state = 0;
	runs = 0;
	fixture_start(&(const struct web_conf) { .routes = routes,
		.lanes = lanes,
		.limits = { .beat_ms = beat_ms, .tick_ms = 20 },
		.authorise = authorise,
		.recheck = recheck });
}

static void wait_for_runs(int number)
{
	for (int i = 0; i < 500 && runs < number; i++)
		usleep(10000);
	CHECK(runs >= number);
}

static void test_woken_by_ring(void)
{
	int fd = client_open();
	auto_free char *answer = NULL;
	long long before = clock_monotonic_ms();

	client_send(fd, "GET /wait?wait=30s&from=1 HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for_runs(1);
	usleep(50000);
	state = 1;
	web_server_ring(fixture_server, "another");
	web_server_ring(fixture_server, "key");
	answer = client_read(fd, "}");
	CHECK_HAS(answer, "{\"state\":1}");
	CHECK(clock_monotonic_ms() - before < 3000);
	CHECK_NUMBER(runs, 2);
	close(fd);
}

static void test_beat_finds_what_no_ring_told(void)
{
	int fd = client_open();
	auto_free char *answer = NULL;

	client_send(fd, "GET /wait?wait=30s&from=1 HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for_runs(1);
	state = 1;
	answer = client_read(fd, "}");
	CHECK_HAS(answer, "{\"state\":1}");
	close(fd);
}

/* The answer filled last goes out, and the connection serves the next request. */
static void test_deadline(void)
{
	int fd = client_open();
	long long before = clock_monotonic_ms();
	auto_free char *answer = NULL;

	client_send(fd, "GET /wait?wait=400ms HTTP/1.1\r\nHost: x\r\n\r\n"
			"GET /wait?wait=0s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	answer = client_read(fd, NULL);
	CHECK(clock_monotonic_ms() - before >= PARK_MS);
	CHECK_HAS(answer, "200 OK");
	CHECK_HAS(strstr(answer, "}"), "{\"state\"");
	close(fd);
	free(take_ptr(answer));
	answer = client_ask("GET /wait?wait=soon HTTP/1.1\r\nHost: x\r\n\r\n", "}");
	CHECK_HAS(answer, "request.bad_wait");
}

static void test_ring_during_the_run_is_not_lost(void)
{
	long long before = clock_monotonic_ms();
	auto_free char *answer = NULL;

	state = 0;
	answer = client_ask("GET /inside HTTP/1.1\r\nHost: x\r\n\r\n", "}");
	CHECK_HAS(answer, "{\"seen\":1}");
	CHECK(clock_monotonic_ms() - before < 1500);
}

static void test_late_failure(void)
{
	int fd = client_open();
	auto_free char *answer = NULL;

	state = 0;
	client_send(fd, "GET /fail HTTP/1.1\r\nHost: x\r\n\r\n");
	usleep(50000);
	state = 1;
	web_server_ring(fixture_server, "key");
	answer = client_read(fd, "}");
	CHECK_HAS(answer, "HTTP/1.1 409 ");
	CHECK_HAS(answer, "test.late");
	close(fd);
}

static void test_client_leaves(void)
{
	int fd = client_open();

	state = 0;
	runs = 0;
	client_send(fd, "GET /wait?wait=30s HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for_runs(1);
	close(fd);
	usleep(100000);
	runs = 0;
	web_server_ring(fixture_server, "key");
	usleep(100000);
	CHECK_NUMBER(runs, 0);
}

static void test_events(void)
{
	int fd = client_open();
	auto_free char *first = NULL;
	auto_free char *rest = NULL;

	state = 2;
	client_send(fd, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
	first = client_read(fd, "id: 2\nevent: step\ndata: {\"step\":2}\n\n");
	CHECK_HAS(first, "Content-Type: text/event-stream\r\n");
	CHECK_HAS(first, "id: 1\nevent: step\ndata: {\"step\":1}\n\n");
	state = 3;
	web_server_ring(fixture_server, "key");
	free(take_ptr(first));
	first = client_read(fd, "\"step\":3}\n\n");
	CHECK(!strstr(first, "\"step\":2}"));
	state = 5;
	web_server_ring(fixture_server, "key");
	rest = client_read(fd, "\r\n0\r\n\r\n");
	CHECK_HAS(rest, "\"step\":4}");
	CHECK_HAS(rest, "\"step\":5}");
	close(fd);
}

static void test_events_go_on_where_they_were(void)
{
	auto_free char *answer = client_ask(
		"GET /events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 4\r\n\r\n", "\r\n0\r\n\r\n");

	CHECK(!strstr(answer, "\"step\":4}"));
	CHECK_HAS(answer, "\"step\":5}");
}

/* Who waits or listens is asked again before each run. */
static void test_revoked(void)
{
	int fd = client_open(), stream = client_open();
	auto_free char *answer = NULL, *events_end = NULL;

	state = 1;
	runs = 0;
	client_send(fd, "GET /mine/wait?wait=30s&from=9 HTTP/1.1\r\nHost: x\r\n\r\n");
	client_send(stream, "GET /mine/events HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for_runs(1);
	free(client_read(stream, "\"step\":1}\n\n"));
	revoked = true;
	web_server_ring(fixture_server, "key");
	answer = client_read(fd, "}");
	CHECK_HAS(answer, "HTTP/1.1 401 ");
	CHECK_HAS(answer, "auth.revoked");
	events_end = client_read(stream, "\r\n0\r\n\r\n");
	CHECK_HAS(events_end, "event: auth.revoked\ndata: {\"type\":");
	CHECK(!strstr(events_end, "id: "));
	CHECK_NUMBER(runs, 1);
	revoked = false;
	close(fd);
	close(stream);
}

/* A client that is slow to read gets all events, each once and in order. */
static void test_more_events_than_fit(void)
{
	int fd = client_open();
	auto_free char *answer = NULL;
	const char *at;

	runs = 0;
	client_send(fd, "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
	wait_for_runs(1);
	answer = client_read(fd, "\r\n0\r\n\r\n");
	at = answer;
	for (int id = 1; id <= FLOOD && at; id++) {
		at = strstr(at + 1, "id: ");
		if (!at || strtol(at + 4, NULL, 10) != id)
			break;
		CHECK(id < FLOOD || !strstr(at + 1, "id: "));
	}
	CHECK(at && strtol(at + 4, NULL, 10) == FLOOD);
	CHECK_HAS(answer, "\r\n0\r\n\r\n");
	CHECK(runs > 2);
	close(fd);
}

/* What waits is answered at a stop, and nobody is served after it. */
static void test_drain(void)
{
	int fd = client_open(), stream = client_open();
	auto_free char *answer = NULL;
	auto_free char *ended = NULL;

	state = 0;
	runs = 0;
	client_send(fd, "GET /wait?wait=60s HTTP/1.1\r\nHost: x\r\n\r\n");
	client_send(stream, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
	free(client_read(stream, "\r\n\r\n"));
	wait_for_runs(1);
	usleep(50000);
	fixture_stop();
	answer = client_read(fd, NULL);
	ended = client_read(stream, NULL);
	CHECK_HAS(answer, "Connection: close");
	CHECK_HAS(answer, "{\"state\":0}");
	CHECK_HAS(ended, "0\r\n\r\n");
	CHECK(access(fixture_path, F_OK) != 0);
	close(fd);
	close(stream);
}

int main(void)
{
	start(60000);
	test_woken_by_ring();
	test_deadline();
	test_ring_during_the_run_is_not_lost();
	test_late_failure();
	test_client_leaves();
	test_events();
	test_events_go_on_where_they_were();
	test_revoked();
	test_more_events_than_fit();
	test_drain();
	start(100);
	test_beat_finds_what_no_ring_told();
	fixture_stop();
	CHECK_DONE();
}
