/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom-relay --to HOST:PORT [--sandbox ID] [--uid U --gid G]
 *
 * The sandbox's one way out: accepts on the listener that strongroom-launch opened inside the VM's
 * empty network namespace (descriptor 3) and relays each connection to the edge, and nowhere else.
 * Ends with the VM (descriptor 4 is its pidfd), outlives the provisioner. TLS runs end to end
 * between agent and edge: it sees ciphertext only. HOST may be a name: it is looked up for each
 * connection, as the edge's address may change while a VM lives.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <getopt.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/mem.h"

#define LISTENER_FD 3
#define VM_FD 4
#define WINDOW_BYTES (256u * 1024)
#define MAX_CONNECTIONS 64

/* Without a byte in either direction. */
static const struct timeval idle = { .tv_sec = 300 };

struct relay {
	struct event_base *base;
	struct evdns_base *names; /* NULL: `host` is an address */
	char *host;
	int port;
	unsigned connections;
};

struct pair {
	struct relay *relay;
	struct bufferevent *side[2]; /* agent, edge */
	bool ended[2];		     /* that side sends no more */
};

static void drop(struct pair *pair)
{
	pair->relay->connections--;
	bufferevent_free(pair->side[0]);
	bufferevent_free(pair->side[1]);
	free(pair);
}

static size_t side_of(const struct pair *pair, const struct bufferevent *from)
{
	return from == pair->side[0] ? 0 : 1;
}

/* When everything that a side sent before its end is written, the other side learns of the end. */
static void hand_on_end(struct pair *pair, size_t from)
{
	struct bufferevent *to = pair->side[1 - from];

	if (!pair->ended[from] || evbuffer_get_length(bufferevent_get_output(to)) > 0)
		return;
	if (pair->ended[0] && pair->ended[1])
		drop(pair);
	else
		shutdown(bufferevent_getfd(to), SHUT_WR);
}

/* Moves bytes across; stops reading while the other side does not take them. */
static void on_read(struct bufferevent *from, void *arg)
{
	struct pair *pair = arg;
	struct bufferevent *to = pair->side[1 - side_of(pair, from)];
	struct evbuffer *out = bufferevent_get_output(to);

	evbuffer_add_buffer(out, bufferevent_get_input(from));
	bufferevent_set_timeouts(to, &idle, NULL); /* it is not idle for being silent */
	if (evbuffer_get_length(out) >= WINDOW_BYTES)
		bufferevent_disable(from, EV_READ);
}

static void on_drained(struct bufferevent *to, void *arg)
{
	struct pair *pair = arg;
	size_t from = 1 - side_of(pair, to);

	if (!pair->ended[from])
		bufferevent_enable(pair->side[from], EV_READ);
	hand_on_end(pair, from);
}

static void on_event(struct bufferevent *from, short what, void *arg)
{
	struct pair *pair = arg;
	size_t side = side_of(pair, from);

	if (what & BEV_EVENT_CONNECTED)
		return;
	if (!(what & BEV_EVENT_EOF)) {
		drop(pair);
		return;
	}
	pair->ended[side] = true;
	hand_on_end(pair, side);
}

static struct bufferevent *add_side(struct pair *pair, evutil_socket_t fd)
{
	struct bufferevent *side =
		bufferevent_socket_new(pair->relay->base, fd, BEV_OPT_CLOSE_ON_FREE);

	if (!side)
		abort();
	bufferevent_setcb(side, on_read, on_drained, on_event, pair);
	bufferevent_set_timeouts(side, &idle, NULL);
	bufferevent_enable(side, EV_READ | EV_WRITE);
	return side;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
	int len, void *arg)
{
	struct relay *relay = arg;
	struct pair *pair;

	(void)listener;
	(void)from;
	(void)len;
	if (relay->connections >= MAX_CONNECTIONS) {
		evutil_closesocket(fd);
		return;
	}
	relay->connections++;
	pair = mem_alloc(sizeof(*pair));
	pair->relay = relay;
	pair->side[0] = add_side(pair, fd);
	pair->side[1] = add_side(pair, -1);
	if (bufferevent_socket_connect_hostname(
		    pair->side[1], relay->names, AF_UNSPEC, relay->host, relay->port) < 0)
		drop(pair);
}

static void on_vm_ended(evutil_socket_t fd, short what, void *arg)
{
	struct relay *relay = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(relay->base);
}

static bool is_address(const char *host)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return evutil_inet_pton(AF_INET, host, bytes) == 1 ||
	       evutil_inet_pton(AF_INET6, host, bytes) == 1;
}

static int serve(struct relay *relay)
{
	struct evconnlistener *listener;
	struct event *vm;

	relay->base = event_base_new();
	if (!relay->base)
		return 1;
	if (!is_address(relay->host)) {
		relay->names = evdns_base_new(relay->base, EVDNS_BASE_INITIALIZE_NAMESERVERS);
		if (!relay->names)
			return 1;
	}
	evutil_make_socket_nonblocking(LISTENER_FD);
	listener = evconnlistener_new(
		relay->base, on_accept, relay, LEV_OPT_CLOSE_ON_FREE, 0, LISTENER_FD);
	vm = event_new(relay->base, VM_FD, EV_READ, on_vm_ended, relay);
	if (!listener || !vm || event_add(vm, NULL) < 0)
		return 1;
	event_base_dispatch(relay->base);
	return 0;
}

static int become(long uid, long gid)
{
	const struct rlimit none = { 0, 0 };

	if (gid > 0 &&
		(setgroups(0, NULL) < 0 || setresgid((gid_t)gid, (gid_t)gid, (gid_t)gid) < 0))
		return -1;
	if (uid > 0 && setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) < 0)
		return -1;
	if (setrlimit(RLIMIT_CORE, &none) < 0 || chdir("/") < 0 ||
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* "host:port", "[::1]:port" */
static int parse_edge(const char *text, struct relay *relay)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	char *end;

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len == 0)
		return -1;
	relay->host = mem_strndup(text, len);
	relay->port = (int)strtol(colon + 1, &end, 10);
	return *end == '\0' && relay->port > 0 && relay->port < 65536 ? 0 : -1;
}

static int parse(int argc, char **argv, struct relay *relay, long *ret_uid, long *ret_gid)
{
	static const struct option names[] = {
		{ "to", required_argument, NULL, 't' },
		{ "sandbox", required_argument, NULL, 's' }, /* stands in the process list only */
		{ "uid", required_argument, NULL, 'u' },
		{ "gid", required_argument, NULL, 'g' },
		{ 0 },
	};
	int choice, rc = -1;

	while ((choice = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (choice == 't')
			rc = parse_edge(optarg, relay);
		else if (choice == 'u')
			*ret_uid = strtol(optarg, NULL, 10);
		else if (choice == 'g')
			*ret_gid = strtol(optarg, NULL, 10);
		else if (choice != 's')
			return -1;
	}
	return rc;
}

int main(int argc, char **argv)
{
	struct relay relay = { .base = NULL };
	long uid = 0, gid = 0;
	sigset_t none;
	pid_t pid;

	if (parse(argc, argv, &relay, &uid, &gid) < 0) {
		fputs("usage: strongroom-relay --to HOST:PORT [--sandbox ID] [--uid U --gid G]\n",
			stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL); /* our caller's threads block what its loop takes */
	if (become(uid, gid) < 0) {
		perror("strongroom-relay");
		return 1;
	}
	pid = fork(); /* whoever started us waits for this process only */
	if (pid != 0) {
		free(relay.host);
		return pid < 0;
	}
	setsid();
	return serve(&relay);
}
