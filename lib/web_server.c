/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The edge's loop: listener, tick, notes from other threads, drain. Notes come in on a lock-free
 * stack that is turned round when it is emptied; an eventfd wakes the loop for the first one only.
 */
#include "lib/web_server.h"

#include <event2/listener.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/http_conn.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/web_inner.h"

static const struct web_limits default_limits = {
	.max_connections = 4096,
	.head_ms = 10000,
	.idle_ms = 75000,
	.body_ms = 30000,
	.body_total_ms = 60000,
	.body_bytes = 64u << 20,
	.write_ms = 60000,
	.half_ms = 30000,
	.linger_ms = 2000,
	.beat_ms = 1000,
	.tick_ms = 100,
	.drain_ms = 25000,
};

struct ring_note {
	struct web_note note;
	char key[];
};

/* --- notes --- */

void web_server_post(struct web_server *server, struct web_note *note)
{
	struct web_note *before = atomic_load(&server->inbox);
	uint64_t one = 1;

	do {
		note->next = before;
	} while (!atomic_compare_exchange_weak(&server->inbox, &before, note));
	if (!before && write(server->inbox_fd, &one, sizeof(one)) < 0)
		abort();
}

static void run_notes(struct web_server *server)
{
	struct web_note *stack = atomic_exchange(&server->inbox, NULL);
	struct web_note *queue = NULL;

	while (stack) {
		struct web_note *next = stack->next;

		stack->next = queue;
		queue = stack;
		stack = next;
	}
	while (queue) {
		struct web_note *note = queue;

		queue = note->next;
		note->run(server, note);
	}
}

static void on_inbox(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	run_notes(arg);
}

static void on_ring(struct web_server *server, struct web_note *note)
{
	struct ring_note *ring = (struct ring_note *)note;

	web_park_ring(server, ring->key);
	free(ring);
}

void web_server_ring(struct web_server *server, const char *key)
{
	size_t size = strlen(key) + 1;
	struct ring_note *ring = mem_alloc(sizeof(*ring) + size);

	ring->note.run = on_ring;
	memcpy(ring->key, key, size);
	web_server_post(server, &ring->note);
}

/* --- stopping --- */

static void begin_drain(struct web_server *server)
{
	if (atomic_exchange(&server->draining, true))
		return;
	log_info("draining", NULL);
	server->drain_until_ms = clock_monotonic_ms() + server->conf.limits.drain_ms;
}

static void on_stop(struct web_server *server, struct web_note *note)
{
	(void)note;
	begin_drain(server);
}

void web_server_stop(struct web_server *server)
{
	if (!atomic_exchange(&server->stop_posted, true))
		web_server_post(server, &server->stop_note);
}

bool web_server_is_draining(const struct web_server *server)
{
	return atomic_load(&server->draining);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	begin_drain(arg);
}

static void drain(struct web_server *server, long long now_ms)
{
	unsigned busy =
		http_conn_close_idle(server) + server->n_calls; /* calls outlive their clients */

	if (busy > 0 && now_ms < server->drain_until_ms)
		return;
	if (busy > 0)
		log_warn("requests were cut off by the end of the drain", NULL);
	event_base_loopbreak(server->base);
}

/* --- gauges; registered once for the process, so never freed --- */

static struct metric *gauge(const char *name, const char *help, char *labels)
{
	struct metric *metric = mem_alloc(sizeof(*metric));

	metric->name = name;
	metric->help = help;
	metric->type = "gauge";
	metric->labels = labels;
	metric_register(metric);
	return metric;
}

static void add_gauges(struct web_server *server, size_t n_lanes)
{
	server->lane_gauges = mem_array(n_lanes, sizeof(struct metric *));
	for (size_t i = 0; i < n_lanes; i++)
		server->lane_gauges[i] =
			gauge("strongroom_lane_waiting_requests", "Requests in a lane's queue.",
				mem_printf("lane=\"%s\"", lane_name(server->lanes[i])));
	server->conns_gauge =
		gauge("strongroom_http_connections", "Open client connections.", mem_strdup(""));
	server->calls_gauge = gauge(
		"strongroom_http_requests_open", "Requests not yet answered.", mem_strdup(""));
}

static void set_gauges(const struct web_server *server)
{
	for (size_t i = 0; server->lanes[i]; i++)
		metric_set(server->lane_gauges[i], lane_depth(server->lanes[i]));
	metric_set(server->conns_gauge, server->n_conns);
	metric_set(server->calls_gauge, server->n_calls);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct web_server *server = arg;
	long long now = clock_monotonic_ms();

	(void)fd;
	(void)what;
	web_park_tick(server, now);
	http_conn_tick(server, now);
	set_gauges(server);
	if (server->listener)
		evconnlistener_enable(server->listener);
	if (server->local_listener)
		evconnlistener_enable(server->local_listener);
	if (atomic_load(&server->draining))
		drain(server, now);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	http_conn_reap(arg);
}

/* --- life --- */

static void set_limits(struct web_limits *limits)
{
	const struct web_limits *fallback = &default_limits;

	limits->max_connections =
		limits->max_connections ? limits->max_connections : fallback->max_connections;
	limits->head_ms = limits->head_ms ? limits->head_ms : fallback->head_ms;
	limits->idle_ms = limits->idle_ms ? limits->idle_ms : fallback->idle_ms;
	limits->body_ms = limits->body_ms ? limits->body_ms : fallback->body_ms;
	limits->body_total_ms =
		limits->body_total_ms ? limits->body_total_ms : fallback->body_total_ms;
	limits->body_bytes = limits->body_bytes ? limits->body_bytes : fallback->body_bytes;
	limits->write_ms = limits->write_ms ? limits->write_ms : fallback->write_ms;
	limits->half_ms = limits->half_ms ? limits->half_ms : fallback->half_ms;
	limits->linger_ms = limits->linger_ms ? limits->linger_ms : fallback->linger_ms;
	limits->beat_ms = limits->beat_ms ? limits->beat_ms : fallback->beat_ms;
	limits->tick_ms = limits->tick_ms ? limits->tick_ms : fallback->tick_ms;
	limits->drain_ms = limits->drain_ms ? limits->drain_ms : fallback->drain_ms;
}

static void start_lanes(struct web_server *server)
{
	const struct web_conf *conf = &server->conf;
	size_t count = 0;

	while (conf->lanes[count].name)
		count++;
	server->lanes = mem_array(count + 1, sizeof(struct lane *));
	for (size_t i = 0; i < count; i++)
		server->lanes[i] = lane_new(
			&conf->lanes[i], conf->worker_new, conf->worker_free, conf->worker_arg);
	add_gauges(server, count);
}

static void on_round_end(evutil_socket_t fd, short what, void *arg)
{
	struct web_server *server = arg;

	(void)fd;
	(void)what;
	for (struct lane **lane = server->lanes; *lane; lane++)
		lane_wake(*lane);
}

static void add_events(struct web_server *server)
{
	struct timeval tick = { .tv_sec = server->conf.limits.tick_ms / 1000,
		.tv_usec = server->conf.limits.tick_ms % 1000 * 1000 };

	server->inbox_event =
		event_new(server->base, server->inbox_fd, EV_READ | EV_PERSIST, on_inbox, server);
	server->tick_event = event_new(server->base, -1, EV_PERSIST, on_tick, server);
	server->reap_event = event_new(server->base, -1, EV_PERSIST, on_reap, server);
	server->wake_event = event_new(server->base, -1, 0, on_round_end, server);
	event_add(server->inbox_event, NULL);
	event_add(server->tick_event, &tick);
	if (!server->conf.stop_on_signals)
		return;
	server->signal_events[0] = evsignal_new(server->base, SIGTERM, on_signal, server);
	server->signal_events[1] = evsignal_new(server->base, SIGINT, on_signal, server);
	event_add(server->signal_events[0], NULL);
	event_add(server->signal_events[1], NULL);
}

struct web_server *web_server_new(const struct web_conf *conf, struct err *err)
{
	struct web_server *server = mem_alloc(sizeof(*server));

	signal(SIGPIPE, SIG_IGN); /* a client that is gone is an error of write(2) */
	server->conf = *conf;
	set_limits(&server->conf.limits);
	server->stop_note.run = on_stop;
	TAILQ_INIT(&server->conns);
	TAILQ_INIT(&server->dead);
	TAILQ_INIT(&server->parked);
	server->base = event_base_new();
	server->inbox_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!server->base || server->inbox_fd < 0)
		abort();
	add_events(server);
	start_lanes(server);
	if (web_route_compile(server, err) < 0) {
		web_server_free(server);
		return NULL;
	}
	return server;
}

int web_server_listen(
	struct web_server *server, const char *address, const struct web_tls *tls, struct err *err)
{
	if (strncmp(address, "unix:", 5) == 0)
		server->listener = web_listen_unix(server, address + 5, err);
	else if (strncmp(address, "tcp:", 4) == 0)
		server->listener = web_listen_tcp(server, address + 4, tls, err);
	else
		return err_set(
			err, ERR_INTERNAL, "web.listen", "'%s' is neither unix: nor tcp:", address);
	return server->listener ? 0 : -1;
}

int web_server_listen_local(struct web_server *server, const char *address, struct err *err)
{
	if (strncmp(address, "tcp:", 4) != 0)
		return err_set(err, ERR_INTERNAL, "web.listen", "'%s' is not tcp:", address);
	server->local_listener = web_listen_tcp(server, address + 4, NULL, err);
	return server->local_listener ? 0 : -1;
}

/* A thread that is woken pushes its waker off the core: with all cores busy each request would be a
 * round of its own, and nothing would be asked of Postgres together. Who is SCHED_BATCH (sched(7))
 * waits for its turn instead, and finds all that came until then. Of what it starts only threads
 * that a lane adds (struct lane_conf) inherit that. */
static void let_wakers_go_on(void)
{
	const struct sched_param none = { 0 };

	if (sched_setscheduler(0, SCHED_BATCH, &none) < 0)
		log_debug("the loop is woken as others are", NULL);
}

void web_server_run(struct web_server *server)
{
	let_wakers_go_on();
	event_base_dispatch(server->base);
}

static void free_events(struct web_server *server)
{
	struct event *events[] = { server->inbox_event, server->tick_event, server->reap_event,
		server->wake_event, server->signal_events[0], server->signal_events[1] };

	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		if (events[i])
			event_free(events[i]);
	}
}

/* The other way round: nobody new, the clients, what the lanes still have, and what that leaves to
 * do. */
void web_server_free(struct web_server *server)
{
	if (!server)
		return;
	if (server->listener)
		evconnlistener_free(server->listener);
	if (server->local_listener)
		evconnlistener_free(server->local_listener);
	web_listen_remove(server);
	http_conn_close_all(server);
	for (struct lane **lane = server->lanes; *lane; lane++)
		lane_free(*lane);
	server->closed = true;
	run_notes(server);
	event_del(server->tick_event);
	event_del(server->wake_event); /* of lanes that are no more */
	event_base_loop(server->base, EVLOOP_NONBLOCK);
	free_events(server);
	event_base_free(server->base);
	close(server->inbox_fd);
	web_listen_release(server);
	web_route_release(server);
	free(server->lane_gauges);
	free(server->lanes);
	free(server);
}
