/* SPDX-License-Identifier: Apache-2.0 */
/* Its own token and connections, apart from the job's: those belong to the job's thread. */
#include "agent/egress.h"

#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/api.h"
#include "agent/edge.h"
#include "lib/json.h"
#include "lib/mem.h"

#define PROTOCOL "strongroom-egress"
#define IDLE_MS (5 * 60 * 1000)
#define CONNECT_MS 10000
#define MAX_LIVE 16u /* as the orchestrator has it, for one run */

struct egress {
	const struct work *work;
	struct edge *edge;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t ended; /* a thread of egress_connect() */
	struct api api;
	json_t *used;
	int live[MAX_LIVE]; /* our ends of its sockets; 0: free */
	unsigned n_live;
	bool is_over; /* nothing is opened any more */
};

struct connection {
	struct egress *egress;
	struct fetch_tunnel *tunnel;
	char *target;
	int fd;	   /* the listener, then who came */
	int *live; /* its place in egress->live */
};

int egress_new(const struct machine *machine, const struct work *work, struct egress **ret_egress,
	struct err *err)
{
	struct egress *egress = mem_alloc(sizeof(*egress));

	if (edge_new(machine->initdata, &egress->edge, err) < 0) {
		free(egress);
		return -1;
	}
	egress->work = work;
	egress->used = json_array();
	api_init(&egress->api, egress->edge, machine, "orchestrator");
	pthread_mutex_init(&egress->lock, NULL);
	pthread_cond_init(&egress->ended, NULL);
	*ret_egress = egress;
	return 0;
}

void egress_end(struct egress *egress)
{
	pthread_mutex_lock(&egress->lock);
	egress->is_over = true;
	for (size_t i = 0; i < MAX_LIVE; i++)
		if (egress->live[i])
			shutdown(egress->live[i], SHUT_RDWR);
	while (egress->n_live > 0)
		pthread_cond_wait(&egress->ended, &egress->lock);
	pthread_mutex_unlock(&egress->lock);
}

bool egress_is_over(struct egress *egress)
{
	bool is_over;

	pthread_mutex_lock(&egress->lock);
	is_over = egress->is_over;
	pthread_mutex_unlock(&egress->lock);
	return is_over;
}

void egress_free(struct egress *egress)
{
	if (!egress)
		return;
	egress_end(egress);
	pthread_cond_destroy(&egress->ended);
	pthread_mutex_destroy(&egress->lock);
	api_release(&egress->api);
	edge_free(egress->edge);
	json_decref(egress->used);
	free(egress);
}

/* --- a tunnel --- */

static int try_open(struct egress *egress, const char *target, struct fetch_tunnel **ret_tunnel,
	struct err *err)
{
	size_t host = strcspn(target, ":");
	auto_free char *path = mem_printf("/v1/agent/egress?target=%.*s%%3A%s&run=%s&fence=%lld",
		(int)host, target, target[host] ? target + host + 1 : "", egress->work->run,
		egress->work->fence);
	const struct fetch_request req = { .method = "GET", .url = path };
	struct api_signed request = { 0 };
	int rc;

	pthread_mutex_lock(&egress->lock);
	rc = egress->is_over ? err_set(err, ERR_GONE, "egress.ended", "the app is over")
			     : api_sign(&egress->api, &req, &request, err);
	pthread_mutex_unlock(&egress->lock);
	if (rc == 0)
		rc = fetch_tunnel_open(edge_fetch(egress->edge), request.url, request.headers,
			PROTOCOL, ret_tunnel, err);
	api_signed_release(&request);
	return rc;
}

int egress_open(struct egress *egress, const char *target, struct fetch_tunnel **ret_tunnel,
	struct err *err)
{
	struct err failure = { 0 };

	if (try_open(egress, target, ret_tunnel, &failure) == 0)
		return 0;
	if (failure.kind == ERR_UNAUTHENTICATED) {
		pthread_mutex_lock(&egress->lock);
		api_forget_token(&egress->api);
		pthread_mutex_unlock(&egress->lock);
		if (try_open(egress, target, ret_tunnel, &failure) == 0)
			return 0;
	}
	*err = failure;
	return -1;
}

/* --- what has gone through --- */

static void add(json_t *entry, const char *name, long long more)
{
	json_int_t sum = json_integer_value(json_object_get(entry, name)) + more;

	json_object_set_new(entry, name, json_integer(sum));
}

static void note(struct egress *egress, const char *target, const struct fetch_pump *pump)
{
	json_t *entry = NULL;

	pthread_mutex_lock(&egress->lock);
	for (size_t i = 0; i < json_array_size(egress->used) && !entry; i++) {
		entry = json_array_get(egress->used, i);
		entry = json_text_is(entry, "target", target) ? entry : NULL;
	}
	if (!entry) {
		entry = json_pack("{s:s,s:i,s:i,s:i}", "target", target, "bytes_in", 0, "bytes_out",
			0, "connections", 0);
		json_array_append_new(egress->used, entry);
	}
	add(entry, "bytes_in", pump->bytes_in);
	add(entry, "bytes_out", pump->bytes_out);
	add(entry, "connections", 1);
	pthread_mutex_unlock(&egress->lock);
}

json_t *egress_used(struct egress *egress)
{
	json_t *used;

	if (!egress)
		return json_array();
	pthread_mutex_lock(&egress->lock);
	used = json_deep_copy(egress->used);
	pthread_mutex_unlock(&egress->lock);
	return used;
}

void egress_close(struct egress *egress, const char *target, struct fetch_tunnel *tunnel,
	const struct fetch_pump *pump)
{
	fetch_tunnel_free(tunnel);
	note(egress, target, pump);
}

void egress_pump(struct egress *egress, const char *target, struct fetch_tunnel *tunnel,
	struct fetch_pump *pump)
{
	pump->idle_ms = IDLE_MS;
	fetch_tunnel_pump(tunnel, pump);
	egress_close(egress, target, tunnel, pump);
}

/* --- a socket --- */

static void forget(struct connection *connection)
{
	struct egress *egress = connection->egress;

	pthread_mutex_lock(&egress->lock);
	*connection->live = 0;
	egress->n_live--;
	close(connection->fd);
	pthread_cond_broadcast(&egress->ended);
	pthread_mutex_unlock(&egress->lock);
	free(connection->target);
	free(connection);
}

static bool is_ours(int fd)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid();
}

/* From the listener to the one connection: false when none comes. */
static bool take_one(struct connection *connection)
{
	struct pollfd ready = { .fd = connection->fd, .events = POLLIN };
	int fd = poll(&ready, 1, CONNECT_MS) > 0 ? accept4(connection->fd, NULL, NULL, SOCK_CLOEXEC)
						 : -1;
	bool is_good;

	if (fd < 0)
		return false;
	pthread_mutex_lock(&connection->egress->lock);
	close(connection->fd);
	connection->fd = *connection->live = fd;
	is_good = !connection->egress->is_over && is_ours(fd);
	pthread_mutex_unlock(&connection->egress->lock);
	return is_good;
}

static void *carry(void *arg)
{
	struct connection *connection = arg;
	struct fetch_pump pump;

	if (take_one(connection)) {
		pump = (struct fetch_pump) { .fd = connection->fd };
		egress_pump(connection->egress, connection->target, connection->tunnel, &pump);
	} else {
		fetch_tunnel_free(connection->tunnel);
	}
	forget(connection);
	return NULL;
}

static int remember(struct connection *connection, struct err *err)
{
	struct egress *egress = connection->egress;

	pthread_mutex_lock(&egress->lock);
	for (size_t i = 0; i < MAX_LIVE && !connection->live; i++)
		connection->live = egress->live[i] ? NULL : &egress->live[i];
	if (connection->live) {
		*connection->live = connection->fd;
		egress->n_live++;
	}
	pthread_mutex_unlock(&egress->lock);
	return connection->live ? 0
				: err_set(err, ERR_LIMITED, "egress.busy",
					  "more than %u connections at once", MAX_LIVE);
}

/* A name of the kernel's choice. */
static int listen_local(int *ret_fd, char ret_name[EGRESS_NAME_SIZE], struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(address.sun_family);
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 1) < 0)
		return err_errno(err, "listen for a connection");
	len = sizeof(address);
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return err_errno(err, "getsockname");
	snprintf(ret_name, EGRESS_NAME_SIZE, "%.*s",
		(int)(len - offsetof(struct sockaddr_un, sun_path) - 1), address.sun_path + 1);
	*ret_fd = take_fd(fd);
	return 0;
}

/* Takes the connection over, also when it fails. */
static int start(struct connection *connection, struct err *err)
{
	pthread_t thread;

	if (remember(connection, err) < 0) {
		fetch_tunnel_free(connection->tunnel);
		close(connection->fd);
		free(connection->target);
		free(connection);
		return -1;
	}
	if (pthread_create(&thread, NULL, carry, connection) == 0) {
		pthread_detach(thread);
		return 0;
	}
	fetch_tunnel_free(connection->tunnel);
	forget(connection);
	return err_set(err, ERR_INTERNAL, "internal.system", "no thread for a connection");
}

int egress_connect(
	struct egress *egress, const char *target, char ret_name[EGRESS_NAME_SIZE], struct err *err)
{
	struct connection *connection;
	struct fetch_tunnel *tunnel;
	int fd = -1;

	if (egress_open(egress, target, &tunnel, err) < 0)
		return -1;
	if (listen_local(&fd, ret_name, err) < 0) {
		fetch_tunnel_free(tunnel);
		return -1;
	}
	connection = mem_alloc(sizeof(*connection));
	*connection = (struct connection) {
		.egress = egress, .tunnel = tunnel, .target = mem_strdup(target), .fd = fd
	};
	return start(connection, err);
}
