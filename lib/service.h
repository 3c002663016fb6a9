/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service's main() is tables and service_main(): arguments (--config FILE, --check-config,
 * --migrate, --version), configuration, logging, database, lanes, listener, signals, /healthz
 * /readyz /metrics, background loops, graceful drain on SIGTERM. Exit codes: 0 clean, 1 failed, 2
 * bad arguments or configuration.
 *
 * Configuration every service has (service.c adds these rows): listen (unix:/path or
 * tcp:address:port), tls_cert, tls_key, tls_peer_ca (TCP: of the listener, and of what this service
 * asks itself), base_url, database (libpq conninfo), migrate_database (owner's conninfo), redis
 * (lib/redis_address.h; empty: none) with redis_user and redis_password_file (TLS with the files of
 * TCP), service_key (PEM file), peers_dir (public keys of the other services, <name>.pem),
 * certreg_url / provisioner_url / registry_gw_url / policy_url / orchestrator_url (unix:/path or
 * https://…), log_level, start_wait (how long the database, its tables and certreg may be missing
 * at the start), retention_beat (how often what is past its time is forgotten), workers (threads of
 * each pool).
 */
#ifndef STRONGROOM_SERVICE_H
#define STRONGROOM_SERVICE_H

#include "lib/conf.h"
#include "lib/lane.h"
#include "lib/web.h"

struct db;
struct sql;
struct fetch;
struct audit;
struct auth;
struct wake;

/* The configuration rows that all services share; filled before init() is called. */
struct service_conf {
	char *listen, *tls_cert, *tls_key, *tls_peer_ca, *base_url, *database, *migrate_database;
	char *redis, *redis_user, *redis_password_file, *service_key, *peers_dir, *log_level;
	char *certreg_url, *provisioner_url, *registry_gw_url, *policy_url, *orchestrator_url;
	char *edge_names; /* host[:port] of the edge beside base_url's, by spaces */
	long start_wait_ms;
	long retention_beat_ms;
	long workers;			    /* threads of each loop that is a pool */
	long rate_per_key, rate_per_source; /* requests per second; 0: any (lib/limit.h) */
};

/* What one worker thread owns. Nothing in it is shared with another thread. */
struct worker {
	struct db *db; /* connects on first use, reconnects by itself; NULL without a database */
	struct fetch *fetch; /* HTTP to the other services */
	const struct service_conf *conf;
	struct auth *auth;   /* shared, internally synchronised */
	struct wake *wake;   /* shared, internally synchronised: ring after a commit */
	struct audit *audit; /* shared, internally synchronised: what is only counted */
	void *program;	     /* the program's own configuration struct (const after start) */
};

/* A long process (style 2): called in a thread of its own with its own worker, at each ring of
 * `topic` and at the slow beat; does all that is due and returns. Must be idempotent. */
struct service_loop {
	const char *name;
	const char *topic; /* NULL: beat only */
	long beat_ms;
	int (*run)(struct worker *worker, struct err *err);
	bool is_pool; /* conf.workers threads at once: `run` claims what it does, piece by piece */
};

struct migration {
	const char *name; /* "0001_init" */
	const char *sql;
};

struct service {
	const char *name;		/* also the schema and the database role */
	const struct conf_item *config; /* own rows, ends with key NULL; may be NULL */
	size_t config_size;
	const struct lane_conf *lanes;	    /* ends with name NULL */
	const struct web_route *routes;	    /* ends with method NULL */
	const struct service_loop *loops;   /* ends with name NULL; may be NULL */
	const struct migration *migrations; /* ends with name NULL; may be NULL */
	/* What is past its time goes, at the beat of retention, in every copy: statements without
	 * parameters in the sweep's scope, ends with NULL; then what is more than a row. Both may
	 * be NULL. */
	const struct sql *const *forgets;
	int (*forget)(struct worker *worker, struct err *err);
	int (*init)(struct worker *worker,
		struct err *err); /* once, after migration check, before listening; may be NULL */
	/* At a stop, when nobody is served any more: writes what was only counted so far; may be
	 * NULL. */
	int (*tell_rest)(struct worker *worker, struct err *err);
	void (*deinit)(void *program); /* what init() made, at the very end; may be NULL */
	/* Where programs of this host find the routes WEB_LOCAL ("tcp:127.0.0.1:port"); "":
	 * nowhere. May be NULL. */
	const char *(*local_listen)(const void *program);
	/* See struct web_conf; may be NULL. */
	web_handler *admit;
	web_problem *problem;
};

int service_main(const struct service *service, int argc, char **argv);

#endif
