/* SPDX-License-Identifier: Apache-2.0 */
/* The orchestrator's own configuration rows. */
#ifndef ORCHESTRATOR_CONFIG_H
#define ORCHESTRATOR_CONFIG_H

#include <stddef.h>

#include "lib/service.h"

struct tunnels;

struct orchestrator_conf {
	char *objects_dir;
	long object_quota_bytes;
	long object_retention_days;
	char *fetch_ports, *fetch_prefixes;
	struct tunnels *tunnels; /* init() makes them */
};

#endif
