/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP client on libcurl, blocking, for worker threads, the agent and the CLI. A `struct fetch`
 * owns one handle with its connections and belongs to one thread. Addresses:
 * https://host[:port]/path, or unix:/socket with a path behind it (fetch_request.unix_socket). TLS
 * is verified against `ca_file` and/or the pinned CA key; no proxy environment, no redirects,
 * connect and total time-outs always.
 */
#ifndef STRONGROOM_FETCH_H
#define STRONGROOM_FETCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "lib/err.h"

struct fetch;

struct fetch_conf {
	const char *ca_file;	 /* PEM bundle; NULL: the system's */
	const char *ca_pem;	 /* instead of ca_file: the certificates themselves, or NULL */
	const char *ca_spki;	 /* "sha256:…" of the CA's SPKI that must be in the chain, or NULL
				    (agent) */
	const char *client_cert; /* PEM files of our own certificate and its key, shown to who asks;
				    both or none */
	const char *client_key;
	const char *tls13_ciphers; /* NULL: default */
	const char *user_agent;
	long connect_timeout_ms; /* 0: 5000 */
};

struct fetch *fetch_new(const struct fetch_conf *conf);
void fetch_free(struct fetch *fetch);

struct fetch_request {
	const char *method;	 /* "GET" */
	const char *url;	 /* http(s)://host/path?query, or /path with unix_socket */
	const char *unix_socket; /* path, or NULL */
	const char *resolved;	 /* "host:port:address,…": where the host is, and nowhere else; or
				    NULL */
	const char
		*abstract_socket; /* name of one that leads to the host (TLS ends there), or NULL */
	const char *const *headers; /* "Name: value", ends with NULL; may be NULL */
	const void *body;
	size_t body_len;
	int body_fd; /* instead of body: streamed from body_offset for body_len bytes; 0 = none, so
			fd 0 is not usable */
	long long body_offset;
	/* Instead of body, for one of unknown length: fills `data`, waiting for what is to come; 0
	 * ends it, -1 stops. */
	long long (*source)(void *arg, void *data, size_t size, struct err *err);
	void *source_arg;
	long timeout_ms;     /* 0: 30000; -1: none, but stalls over 60 s end it */
	size_t max_response; /* cap of a buffered answer; 0: 4 MiB */
	/* Streamed answer: called for each piece of a 2xx body; -1 stops. With NULL the body is
	 * buffered, and a refusal's always is. */
	int (*sink)(void *arg, const void *data, size_t len, struct err *err);
	void *sink_arg;
	void (*progress)(void *arg, long long done, long long total);
	void *progress_arg;
};

struct fetch_response {
	long status;
	struct buf body;    /* release with fetch_response_release() */
	struct buf headers; /* raw lines; look up with fetch_header() */
};

/* 0 for any HTTP answer, whatever its status; -1 upstream.unreachable, upstream.timeout,
 * upstream.tls, ... */
int fetch_do(struct fetch *fetch, const struct fetch_request *req, struct fetch_response *ret_res,
	struct err *err) __attribute__((warn_unused_result));
/* Value of a header (arena-less copy, caller frees) or NULL. */
char *fetch_header(const struct fetch_response *res, const char *name);
/* The same of one that may come several times: its n-th line from 0. */
char *fetch_header_at(const struct fetch_response *res, const char *name, size_t n);
void fetch_response_release(struct fetch_response *res);
#define auto_response __attribute__((cleanup(fetch_response_release))) struct fetch_response

/* JSON in, JSON out: status >= 400 becomes an error with the problem's own code and detail.
 * body may be NULL; ret_json may be NULL, and is NULL after an empty answer. `headers` as above,
 * without content type. */
int fetch_json(struct fetch *fetch, struct fetch_request *req, const json_t *body,
	json_t **ret_json, long *ret_status, struct err *err) __attribute__((warn_unused_result));

/* Joins a configured base, "unix:/socket" or "https://host[:port]", with `path` ("/internal/v1/…")
 * for a fetch_request: the caller frees *ret_url; *ret_socket points into `base` or is NULL.
 * fetch.bad_url. */
int fetch_split_url(const char *base, const char *path, char **ret_url, const char **ret_socket,
	struct err *err);

#endif
