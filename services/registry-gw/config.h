/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's own configuration rows, and the uploads that this process writes now. */
#ifndef REGISTRY_GW_CONFIG_H
#define REGISTRY_GW_CONFIG_H

#include "services/registry-gw/quota.h"
#include "services/registry-gw/uses.h"
#include "services/registry-gw/writers.h"

struct cache;

struct registry_conf {
	char *socket;	   /* of the registry behind us */
	char *storage;	   /* its root directory; empty: not readable from here */
	char *secret_file; /* its http.secret; empty: unknown */
	char *instance;	   /* this copy's name, the same after a restart */
	struct quota_limits limits;
	long grace_ms;	      /* what nobody names is kept for so long */
	long collect_beat_ms; /* and looked for so often */
	long cache_bytes;
	struct cache *cache;
	struct writers writers;
	struct uses uses;
};

#endif
