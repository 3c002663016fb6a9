/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_main(): from arguments to a running service and back. Starting and stopping mirror each
 * other. Secrets of the process never reach a core file: no core, not dumpable.
 */
#include "lib/service.h"

#include <getopt.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/db.h"
#include "lib/error_text.h"
#include "lib/fetch.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service_inner.h"
#include "lib/wake.h"

#define KEPT_BYTES (1024 * 1024)
#define MAX_HEAPS 4
#define VERSION "0.1.0"
#define MAX_TOPICS 16
#define ALIGNMENT 16u
#define FIRST_PAUSE_MS 100
#define MAX_PAUSE_MS 5000

enum { EXIT_CLEAN = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct arguments {
	const char *config;
	bool check_config;
	bool migrate;
	bool version;
};

#define ROW(name, fallback_text, help_text)                                                        \
	{                                                                                          \
		.key = #name, .type = CONF_TEXT, .offset = offsetof(struct service_conf, name),    \
		.fallback = (fallback_text), .help = (help_text)                                   \
	}

static const struct conf_item common_rows[] = {
	ROW(listen, NULL, "unix:/path or tcp:address:port"),
	ROW(tls_cert, "", "certificate chain in PEM (TCP), shown to who asks us and whom we ask"),
	ROW(tls_key, "", "its key in PEM"),
	ROW(tls_peer_ca, "", "CA whose certificates the edge, the services and Redis must show"),
	ROW(base_url, "", "the edge's URL as clients see it"),
	ROW(edge_names, "",
		"names (host:port, by spaces) of the edge beside base_url's, for which sandboxes "
		"may sign: guests reach it as 10.0.2.2:8443"),
	ROW(database, "", "libpq conninfo of the service's role; empty: no database"),
	ROW(migrate_database, "", "libpq conninfo of the schema's owner, for --migrate"),
	ROW(redis, "",
		"unix:/path, redis[s]://host:port or sentinel[s]://master@host:port,…; empty: "
		"wake-ups stay in the process"),
	ROW(redis_user, "", "user of Redis' ACL; empty: default"),
	ROW(redis_password_file, "", "file with its password; empty: none is asked for"),
	ROW(service_key, "", "PEM file of the key that signs our assertions"),
	ROW(peers_dir, "", "folder with the other services' public keys, <name>.pem"),
	ROW(log_level, "info", "error, warn, info or debug"),
	ROW(certreg_url, "", "unix:/path or https://host"),
	ROW(provisioner_url, "", "unix:/path or https://host"),
	ROW(registry_gw_url, "", "unix:/path or https://host"),
	ROW(policy_url, "", "unix:/path or https://host"),
	ROW(orchestrator_url, "", "unix:/path or https://host"),
	{ "start_wait", CONF_MS, offsetof(struct service_conf, start_wait_ms), "0s",
		"how long the database and its tables may be missing at the start" },
	{ "retention_beat", CONF_MS, offsetof(struct service_conf, retention_beat_ms), "10m",
		"how often what is past its time is forgotten" },
	{ "workers", CONF_COUNT, offsetof(struct service_conf, workers), "4",
		"threads that take the steps of long processes" },
	{ "rate_per_key", CONF_COUNT, offsetof(struct service_conf, rate_per_key), "500",
		"requests per second of one API key, certificate or sandbox; 0: any" },
	{ "rate_per_source", CONF_COUNT, offsetof(struct service_conf, rate_per_source), "100",
		"attempts per second of one address to get a token; 0: any" },
};

/* Both structs in one block, so that one table can fill them. */
struct loaded {
	struct conf_item *rows;
	void *block;
};

/* --- workers --- */

struct worker *service_worker_new(void *arg)
{
	struct service_state *state = arg;
	struct service_worker *worker = mem_alloc(sizeof(*worker));
	const struct service_conf *conf = &state->conf;
	const struct fetch_conf fetch = {
		.ca_file = *conf->tls_peer_ca ? conf->tls_peer_ca : NULL,
		.client_cert = *conf->tls_cert ? conf->tls_cert : NULL,
		.client_key = *conf->tls_key ? conf->tls_key : NULL,
		.user_agent = state->service->name,
	};

	worker->state = state;
	worker->worker.db = *conf->database ? db_new(conf->database) : NULL;
	worker->worker.fetch = fetch_new(&fetch);
	worker->worker.conf = conf;
	worker->worker.auth = state->auth;
	worker->worker.wake = state->wake;
	worker->worker.audit = state->audit;
	worker->worker.program = state->program_conf;
	return &worker->worker;
}

void service_worker_free(struct worker *worker)
{
	db_free(worker->db);
	fetch_free(worker->fetch);
	free((struct service_worker *)worker);
}

/* --- hooks of the edge and of the wake-ups --- */

static int authorise(struct web_req *req, enum web_access access, const char *scope,
	const struct principal **ret_principal, struct err *err)
{
	if (!req->worker->auth)
		return err_set(
			err, ERR_UNAVAILABLE, "auth.epoch_stale", "certreg_url is not configured");
	return auth_check(req->worker->auth, req, access, scope, ret_principal, err);
}

static int recheck(struct web_req *req, struct err *err)
{
	return auth_recheck(req->worker->auth, req->principal, err);
}

static void on_begin(struct web_req *req)
{
	if (req->worker->db)
		db_set_caller(req->worker->db, req);
}

static void on_end(struct web_req *req, const struct err *err)
{
	if (!req->worker->db)
		return;
	if (err)
		audit_refused(req, err);
	db_set_caller(req->worker->db, NULL);
}

static void on_wake(void *arg, const char *topic, const char *key)
{
	struct service_state *state = arg;

	service_loops_ring(state, topic);
	if (strcmp(topic, "web") != 0)
		return;
	pthread_mutex_lock(&state->server_mutex);
	if (state->server)
		web_server_ring(state->server, key);
	pthread_mutex_unlock(&state->server_mutex);
}

static void open_wake(struct service_state *state)
{
	const struct service_conf *conf = &state->conf;
	const char *topics[MAX_TOPICS] = { "web" };
	size_t count = 1;

	for (size_t n = 0; n < state->n_threads; n++) {
		const char *topic = state->threads[n].loop.topic;
		bool known = !topic;

		for (size_t i = 0; i < count && !known; i++)
			known = strcmp(topics[i], topic) == 0;
		if (!known && count < MAX_TOPICS)
			topics[count++] = topic;
	}
	state->redis = (struct redis_conf) { conf->redis, conf->redis_user,
		conf->redis_password_file, conf->tls_peer_ca, conf->tls_cert, conf->tls_key };
	state->wake = wake_new(&state->redis, topics, count, on_wake, state);
}

/* --- start and stop --- */

static void harden(void)
{
	const struct rlimit none = { 0, 0 };
	struct rlimit files;

	setrlimit(RLIMIT_CORE, &none);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* the default would be 1024 connections */
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	prctl(PR_SET_DUMPABLE, 0);
	umask(0077);
}

/* Calls `step` until it does not fail for want of something that may come yet, with pauses that
 * grow, for `start_wait` at most. */
static int wait_for(struct service_state *state,
	int (*step)(struct service_state *state, struct err *err), struct err *err)
{
	long long until_ms = clock_monotonic_ms() + state->conf.start_wait_ms;
	long pause_ms = FIRST_PAUSE_MS;

	while (step(state, err) < 0) {
		if (err->kind != ERR_UNAVAILABLE || clock_monotonic_ms() + pause_ms > until_ms)
			return -1;
		log_failure("waits for what it needs to start", err);
		err_clear(err);
		usleep((useconds_t)pause_ms * 1000);
		pause_ms = pause_ms * 2 < MAX_PAUSE_MS ? pause_ms * 2 : MAX_PAUSE_MS;
	}
	return 0;
}

static int check_start(struct service_state *state, struct err *err)
{
	const struct service *service = state->service;
	struct worker *worker = service_worker_new(state);
	int result = 0;

	if (worker->db && service->migrations)
		result = db_migrated(worker->db, service->name, service->migrations, err);
	if (result == 0 && service->init)
		result = service->init(worker, err);
	service_worker_free(worker);
	return result;
}

static int open_server(struct service_state *state, struct err *err)
{
	const struct service_conf *conf = &state->conf;
	const struct web_tls tls = { conf->tls_cert, conf->tls_key, conf->tls_peer_ca };
	const struct service *service = state->service;
	const char *local = service->local_listen ? service->local_listen(state->program_conf) : "";
	struct web_server *server;

	state->routes = service_ops_routes(state->service->routes);
	state->lanes = service_ops_lanes(state->service->lanes);
	server = web_server_new(&(const struct web_conf) { .routes = state->routes,
					.lanes = state->lanes,
					.worker_new = service_worker_new,
					.worker_free = service_worker_free,
					.worker_arg = state,
					.authorise = authorise,
					.recheck = recheck,
					.admit = state->service->admit,
					.problem = state->service->problem,
					.begin = on_begin,
					.end = on_end,
					.help = error_text_help,
					.stop_on_signals = true },
		err);
	if (!server)
		return -1;
	pthread_mutex_lock(&state->server_mutex);
	state->server = server;
	pthread_mutex_unlock(&state->server_mutex);
	if (web_server_listen(server, conf->listen, &tls, err) < 0)
		return -1;
	return *local ? web_server_listen_local(server, local, err) : 0;
}

static int start(struct service_state *state, struct err *err)
{
	pthread_mutex_init(&state->server_mutex, NULL);
	if (*state->conf.certreg_url) {
		state->auth = auth_new(state->service->name, &state->conf, err);
		if (!state->auth)
			return -1;
	}
	state->audit = audit_new();
	service_loops_prepare(state);
	open_wake(state);
	if (wait_for(state, check_start, err) < 0)
		return -1;
	return open_server(state, err);
}

static void stop(struct service_state *state)
{
	struct web_server *server;

	pthread_mutex_lock(&state->server_mutex);
	server = take_ptr(state->server);
	pthread_mutex_unlock(&state->server_mutex);
	web_server_free(server);
	wake_free(state->wake);
	if (state->service->deinit)
		state->service->deinit(state->program_conf);
	audit_free(state->audit);
	auth_free(state->auth);
	free(state->threads);
	free(state->lanes);
	free(state->routes);
	pthread_mutex_destroy(&state->server_mutex);
}

/* What was only counted so far. */
static void tell_rest(struct service_state *state)
{
	struct worker *worker = service_worker_new(state);
	struct err err = { .kind = ERR_NONE };

	if (worker->db && audit_flush(worker, true, &err) < 0)
		log_failure("audit records are lost", &err);
	err_clear(&err);
	if (state->service->tell_rest && state->service->tell_rest(worker, &err) < 0)
		log_failure("counts are lost", &err);
	service_worker_free(worker);
}

static int run(struct service_state *state)
{
	struct err err = { .kind = ERR_NONE };
	int result = start(state, &err);

	if (result < 0) {
		log_failure("cannot start", &err);
	} else {
		service_loops_start(state);
		log_info("listening", "address", state->conf.listen, "version", VERSION, NULL);
		web_server_run(state->server);
		service_loops_stop(state);
		tell_rest(state);
	}
	stop(state);
	log_info("stopped", NULL);
	return result < 0 ? EXIT_FAILED : EXIT_CLEAN;
}

static int migrate(struct service_state *state, struct err *err)
{
	const struct service_conf *conf = &state->conf;
	const char *owner = *conf->migrate_database ? conf->migrate_database : conf->database;

	if (!state->service->migrations || !*owner)
		return 0;
	return db_migrate(owner, state->service->name, state->service->migrations, err);
}

static int run_migrations(struct service_state *state)
{
	struct err err = { .kind = ERR_NONE };

	if (wait_for(state, migrate, &err) == 0)
		return EXIT_CLEAN;
	log_failure("cannot migrate", &err);
	return EXIT_FAILED;
}

/* --- arguments and configuration --- */

static int parse_arguments(int argc, char **argv, struct arguments *ret_arguments)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "migrate", no_argument, NULL, 'm' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c')
			ret_arguments->config = optarg;
		else if (option == 'k')
			ret_arguments->check_config = true;
		else if (option == 'm')
			ret_arguments->migrate = true;
		else if (option == 'v')
			ret_arguments->version = true;
		else
			return -1;
	}
	return optind == argc ? 0 : -1;
}

static size_t program_offset(void)
{
	return (sizeof(struct service_conf) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void join_rows(const struct service *service, struct loaded *loaded)
{
	size_t count = ARRAY_LEN(common_rows), own = 0;

	while (service->config && service->config[own].key)
		own++;
	loaded->rows = mem_array(count + own + 1, sizeof(*loaded->rows));
	memcpy(loaded->rows, common_rows, sizeof(common_rows));
	for (size_t i = 0; i < own; i++) {
		loaded->rows[count + i] = service->config[i];
		loaded->rows[count + i].offset += program_offset();
	}
	loaded->block = mem_alloc(program_offset() + service->config_size);
}

static int load(
	const struct service *service, const struct arguments *arguments, struct loaded *loaded)
{
	struct err err = { .kind = ERR_NONE };
	const struct service_conf *conf = loaded->block;
	enum log_level level;

	if (conf_load(loaded->rows, loaded->block, arguments->config, &err) < 0) {
		if (arguments->check_config)
			conf_print(loaded->rows, NULL, stdout);
		fprintf(stderr, "%s: %s: %s\n", service->name, err.code, err.detail);
		return -1;
	}
	if (log_level_parse(conf->log_level, &level) < 0) {
		fprintf(stderr, "%s: conf.value: log_level '%s' is unknown\n", service->name,
			conf->log_level);
		conf_release(loaded->rows, loaded->block);
		return -1;
	}
	log_open(service->name, level);
	return 0;
}

static int act(const struct service *service, const struct arguments *arguments,
	const struct loaded *loaded)
{
	struct service_state state = { .service = service };

	state.conf = *(const struct service_conf *)loaded->block;
	state.program_conf = (char *)loaded->block + program_offset();
	if (arguments->check_config) {
		conf_print(loaded->rows, loaded->block, stdout);
		return EXIT_CLEAN;
	}
	return arguments->migrate ? run_migrations(&state) : run(&state);
}

/* Pieces of bodies are freed and taken again all the time: a heap that gives each back to the
 * kernel faults them in anew, which was a quarter of a relay's CPU time. Few heaps, since each
 * keeps some of it. */
static void keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
	mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
	mallopt(M_ARENA_MAX, MAX_HEAPS);
}

int service_main(const struct service *service, int argc, char **argv)
{
	struct arguments arguments = { .config = NULL };
	struct loaded loaded;
	int result = EXIT_USAGE;

	if (parse_arguments(argc, argv, &arguments) < 0) {
		fprintf(stderr,
			"usage: %s [--config FILE] [--check-config | --migrate | --version]\n",
			argv[0]);
		return EXIT_USAGE;
	}
	if (arguments.version) {
		printf("strongroom-%s %s\n", service->name, VERSION);
		return EXIT_CLEAN;
	}
	harden();
	keep_memory();
	join_rows(service, &loaded);
	if (load(service, &arguments, &loaded) == 0) {
		result = act(service, &arguments, &loaded);
		conf_release(loaded.rows, loaded.block);
	}
	free(loaded.rows);
	free(loaded.block);
	return result;
}
