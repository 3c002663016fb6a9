/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching what a user named, without lending him our place in the network: https only, to listed
 * ports, a host by name and without a user. The name is resolved once; every address of it must be
 * global unicast (after unmapping) or in a prefix that the operator lists, and the connection goes
 * to those addresses and no others. No proxy, at most three redirects, each checked the same;
 * caps on size and on the time of all together.
 */
#ifndef STRONGROOM_FETCH_NAMED_H
#define STRONGROOM_FETCH_NAMED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "lib/err.h"

#define FETCH_NAMED_ADDRESSES 16

struct fetch_named_conf {
	const char *ports;    /* "443,8000-8999" */
	const char *prefixes; /* further addresses that may be asked: "10.1.0.0/16,fd00::/8" */
	const char *ca_file;  /* NULL or "": the system's */
	size_t max_bytes;
	long timeout_ms;
};

/* The bytes of a 200 answer, NUL-terminated; the caller frees. url.malformed, url.refused (what may
 * not be asked, whether or not it is there), url.failed, url.too_large. */
int fetch_named(const struct fetch_named_conf *conf, const char *url, char **ret_data,
	size_t *ret_len, struct err *err) __attribute__((warn_unused_result));

/* Where a host is: at most FETCH_NAMED_ADDRESSES addresses, each of which may be asked. url.refused
 * when one may not, and alike when the name is unknown, so that nobody learns our names from it. Of
 * `conf` its prefixes count, and for what is in them alone its ports. Blocks. */
int fetch_named_resolve(const struct fetch_named_conf *conf, const char *host, const char *port,
	struct sockaddr_storage ret_addresses[FETCH_NAMED_ADDRESSES], size_t *ret_count,
	struct err *err) __attribute__((warn_unused_result));

/* Whether an address may be asked: it is a public one, or in a listed prefix at a listed port. */
bool fetch_named_allows(const struct fetch_named_conf *conf, const struct sockaddr *address);
/* Of the two lists: fetch.bad_prefix, fetch.bad_port, for the start of a program. */
int fetch_named_check_prefixes(const char *prefixes, struct err *err);
int fetch_named_check_ports(const char *ports, struct err *err);

#endif
