/* SPDX-License-Identifier: Apache-2.0 */
/* The edge in this process on a unix socket, and clients that speak raw bytes to it. */
#ifndef STRONGROOM_WEB_FIXTURE_H
#define STRONGROOM_WEB_FIXTURE_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/web_server.h"
#include "tests/unit/check.h"

#define PATIENCE_MS 5000

struct worker {
	int number;
};

static struct web_server *fixture_server;
static pthread_t fixture_thread;
static char fixture_path[64];

static struct worker *fixture_worker_new(void *arg)
{
	(void)arg;
	return mem_alloc(sizeof(struct worker));
}

static void fixture_worker_free(struct worker *worker)
{
	free(worker);
}

static void *fixture_main(void *arg)
{
	(void)arg;
	web_server_run(fixture_server);
	return NULL;
}

static inline void fixture_start(const struct web_conf *conf)
{
	struct web_conf filled = *conf;
	char address[80];
	struct err err;

	log_open("test", LOG_LEVEL_ERROR);
	filled.worker_new = fixture_worker_new;
	filled.worker_free = fixture_worker_free;
	snprintf(fixture_path, sizeof(fixture_path), "/tmp/strongroom-web-%d.sock", (int)getpid());
	snprintf(address, sizeof(address), "unix:%s", fixture_path);
	fixture_server = web_server_new(&filled, &err);
	if (!fixture_server || web_server_listen(fixture_server, address, NULL, &err) < 0) {
		printf("%s: %s\n", err.code, err.detail);
		exit(1);
	}
	pthread_create(&fixture_thread, NULL, fixture_main, NULL);
}

static void fixture_stop(void)
{
	web_server_stop(fixture_server);
	pthread_join(fixture_thread, NULL);
	web_server_free(fixture_server);
}

/* --- clients --- */

static inline int client_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture_path);
	CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

static inline void client_send_bytes(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t done = send(fd, at, len, MSG_NOSIGNAL);

		if (done <= 0)
			return;
		at += done;
		len -= (size_t)done;
	}
}

static inline void client_send(int fd, const char *text)
{
	client_send_bytes(fd, text, strlen(text));
}

/* Reads until `until` was seen (NULL: until the end) into a text that the caller frees. */
static inline char *client_read(int fd, const char *until)
{
	size_t len = 0, size = 65536;
	char *text = mem_alloc(size);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	while (poll(&poll_fd, 1, PATIENCE_MS) > 0) {
		ssize_t got = recv(fd, text + len, size - 1 - len, 0);

		if (got <= 0)
			return text;
		len += (size_t)got;
		text[len] = '\0';
		if (until && strstr(text, until))
			return text;
		if (size - len < 4096)
			text = mem_grow(text, size *= 2, 1);
	}
	len += (size_t)snprintf(text + len, size - len, "[nothing more came in time]");
	return text;
}

/* One connection: sends, reads to the end of `until`, closes. */
static inline char *client_ask(const char *request, const char *until)
{
	int fd = client_open();
	char *answer;

	client_send(fd, request);
	answer = client_read(fd, until);
	close(fd);
	return answer;
}

#define CHECK_HAS(text, part)                                                                      \
	do {                                                                                       \
		const char *check_text = (text);                                                   \
		check_count++;                                                                     \
		if (!strstr(check_text, (part))) {                                                 \
			check_failures++;                                                          \
			printf("%s:%d: no \"%s\" in:\n%s\n", __FILE__, __LINE__, (part),           \
				check_text);                                                       \
		}                                                                                  \
	} while (0)

#endif
