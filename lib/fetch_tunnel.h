/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to an HTTP server that becomes another protocol's (RFC 9110 7.8): asked for by GET
 * with Upgrade, raw bytes both ways behind the 101. TLS and pins are a `struct fetch`'s.
 */
#ifndef STRONGROOM_FETCH_TUNNEL_H
#define STRONGROOM_FETCH_TUNNEL_H

#include "lib/err.h"
#include "lib/fetch.h"

struct fetch_tunnel;

/* `fetch` is only read, and may be several threads' at once. An answer other than 101 becomes the
 * error that it says (fetch_json()); upstream.* when there is none. */
int fetch_tunnel_open(const struct fetch *fetch, const char *url, const char *const *headers,
	const char *protocol, struct fetch_tunnel **ret_tunnel, struct err *err)
	__attribute__((warn_unused_result));
void fetch_tunnel_free(struct fetch_tunnel *tunnel);

struct fetch_pump {
	int fd;		    /* a connected socket; who wants an end sooner shuts it down */
	const void *before; /* bytes that were read from fd already, or NULL */
	size_t before_len;
	long idle_ms;
	long grace_ms;		       /* the same once fd ended; 0: 5000 */
	long long bytes_in, bytes_out; /* filled: from the server and to it */
};

/* Until the server ends, or nothing moves for `idle_ms`. TLS through libcurl cannot end one
 * direction only: when fd ends, the server is not told, and has `grace_ms` more for its answer, or
 * to take what waits for it.
 * fd stays open. */
void fetch_tunnel_pump(struct fetch_tunnel *tunnel, struct fetch_pump *pump);

#endif
