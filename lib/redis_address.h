/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where Redis is: unix:/path | redis://host:port | rediss://host:port (TLS) |
 * sentinel://master@host:port,host:port… | sentinels://… (Sentinels and master by TLS). A port may
 * be left out (6379; Sentinels 26379); an IPv6 address stands in brackets.
 */
#ifndef STRONGROOM_REDIS_ADDRESS_H
#define STRONGROOM_REDIS_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

#define REDIS_MAX_HOSTS 16

struct redis_host {
	char *name;
	char port[6];
};

struct redis_address {
	char *path;   /* of a unix socket; else NULL, and there are hosts */
	char *master; /* its name, when the hosts are Sentinels; else there is one host */
	struct redis_host hosts[REDIS_MAX_HOSTS];
	size_t n_hosts;
	bool tls;
};

/* redis.bad_address. Release in either case. */
int redis_address_parse(const char *text, struct redis_address *ret_address, struct err *err);
void redis_address_release(struct redis_address *address);

#endif
