/* SPDX-License-Identifier: Apache-2.0 */
/* Tunnels whose one end is away while the other does not read. */
#include "lib/fetch_tunnel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/fetch.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define GRACE_MS 200
#define PATIENCE_S 20 /* then the test is killed: the end was not seen */

static int listener = -1;

/* Grants the upgrade and reads no more; the caller closes. */
static void *serve(void *arg)
{
	static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
				     "Upgrade: test\r\n\r\n";
	int *fd = arg;
	char head[4096];

	*fd = accept(listener, NULL, NULL);
	CHECK(recv(*fd, head, sizeof(head), 0) > 0);
	CHECK(send(*fd, answer, sizeof(answer) - 1, 0) == (ssize_t)sizeof(answer) - 1);
	return NULL;
}

static char *listen_local(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
	return mem_printf("http://127.0.0.1:%d/", ntohs(address.sin_port));
}

/* The tunnel's own end, which is not ours to see, by its other one. */
static int socket_to(int server)
{
	struct sockaddr_in theirs, ours;

	for (int fd = 0; fd < 256; fd++) {
		socklen_t len = sizeof(ours), their_len = sizeof(theirs);

		if (getpeername(server, (struct sockaddr *)&theirs, &their_len) == 0 &&
			getsockname(fd, (struct sockaddr *)&ours, &len) == 0 &&
			ours.sin_family == AF_INET && ours.sin_port == theirs.sin_port)
			return fd;
	}
	return -1;
}

/* Otherwise newer kernels find room for what they had none for a moment before, for megabytes. */
static void bound_buffers(int server)
{
	const int room = 16 * 1024;

	CHECK(setsockopt(server, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) == 0);
	CHECK(setsockopt(socket_to(server), SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
}

static struct fetch_tunnel *open_tunnel(const struct fetch *fetch, int *ret_server)
{
	auto_free char *url = listen_local();
	struct fetch_tunnel *tunnel = NULL;
	pthread_t thread;

	pthread_create(&thread, NULL, serve, ret_server);
	CHECK(fetch_tunnel_open(fetch, url, NULL, "test", &tunnel, NULL) == 0);
	pthread_join(thread, NULL);
	close(listener);
	bound_buffers(*ret_server);
	return tunnel;
}

struct pumped {
	struct fetch_tunnel *tunnel;
	struct fetch_pump pump;
};

static void *run_pump(void *arg)
{
	struct pumped *pumped = arg;

	fetch_tunnel_pump(pumped->tunnel, &pumped->pump);
	return NULL;
}

/* Until nothing moves any more: the pump itself has bytes that it cannot get rid of. */
static size_t fill(int app)
{
	static const char data[65536];
	const struct timeval patience = { .tv_usec = 200 * 1000 };
	size_t sent = 0;
	ssize_t done;

	setsockopt(app, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while ((done = send(app, data, sizeof(data), MSG_NOSIGNAL)) > 0)
		sent += (size_t)done;
	return sent;
}

/* A connection of the app's by TCP. */
static void connect_pair(int ret_pair[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	auto_free char *url = listen_local();

	CHECK(url && getsockname(listener, (struct sockaddr *)&address, &len) == 0);
	ret_pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(ret_pair[1], (struct sockaddr *)&address, len) == 0);
	ret_pair[0] = accept(listener, NULL, NULL);
	close(listener);
}

/* Whether the pump leaves them there, bytes that it could have had for a while. */
static bool stay(int fd)
{
	const struct timespec moment = { .tv_nsec = 1000 * 1000 };
	int waiting = 1;

	for (int i = 0; i < 200 && waiting > 0; i++) {
		nanosleep(&moment, NULL);
		CHECK(ioctl(fd, FIONREAD, &waiting) == 0);
	}
	return waiting > 0;
}

/* The end comes behind all that the app sent, of which the pump takes no more than the server does.
 */
static void test_a_close_behind_bytes(void)
{
	static const char data[65536];
	const struct fetch_conf conf = { .user_agent = "test" };
	struct fetch *fetch = fetch_new(&conf);
	int server = -1, pair[2];
	struct pumped pumped = { .pump = { .idle_ms = 600 * 1000, .grace_ms = GRACE_MS } };
	pthread_t thread;

	alarm(PATIENCE_S);
	connect_pair(pair);
	pumped.tunnel = open_tunnel(fetch, &server);
	pumped.pump.fd = pair[0];
	pthread_create(&thread, NULL, run_pump, &pumped);
	do
		CHECK(send(pair[1], data, sizeof(data), MSG_NOSIGNAL) == sizeof(data));
	while (!stay(pair[0]));
	close(pair[1]);
	pthread_join(thread, NULL);
	alarm(0);
	close(pair[0]);
	close(server);
	fetch_tunnel_free(pumped.tunnel);
	fetch_free(fetch);
}

static void test_an_end_while_bytes_wait(bool is_ours)
{
	const struct fetch_conf conf = { .user_agent = "test" };
	struct fetch *fetch = fetch_new(&conf);
	int server = -1, pair[2];
	struct pumped pumped = { .pump = { .idle_ms = 600 * 1000, .grace_ms = GRACE_MS } };
	pthread_t thread;
	size_t sent;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	pumped.tunnel = open_tunnel(fetch, &server);
	pumped.pump.fd = pair[0];
	pthread_create(&thread, NULL, run_pump, &pumped);
	sent = fill(pair[1]);
	if (is_ours)
		shutdown(pair[0], SHUT_RDWR);
	else
		close(pair[1]);
	alarm(PATIENCE_S);
	pthread_join(thread, NULL);
	alarm(0);
	CHECK(pumped.pump.bytes_out > 0 && (size_t)pumped.pump.bytes_out < sent);
	if (is_ours)
		close(pair[1]);
	close(pair[0]);
	close(server);
	fetch_tunnel_free(pumped.tunnel);
	fetch_free(fetch);
}

int main(void)
{
	test_an_end_while_bytes_wait(false);
	test_an_end_while_bytes_wait(true);
	test_a_close_behind_bytes();
	CHECK_DONE();
}
