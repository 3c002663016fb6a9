/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OCI bundle of a sandbox that is an ordinary process: an empty root with the host's /usr and
 * libraries read-only, the agent of the guest's build, initdata and enrolment secret; a user
 * namespace of its own, no host capability, limits as a cgroup, a list of refused system calls.
 */
#ifndef PROVISIONER_RUNC_BUNDLE_H
#define PROVISIONER_RUNC_BUNDLE_H

#include <stdint.h>

#include "services/provisioner/driver.h"

/* Ids inside: 0 is the agent, RUNC_APP_FIRST on are those of the apps' cage (agent/jail.h). */
#define RUNC_CGROUP "strongroom-%s" /* of a sandbox's id */
#define RUNC_APP_FIRST 100000u
#define RUNC_APP_COUNT 65536u

struct runc_bundle {
	const char *folder; /* of the sandbox; config.json and root/ come into it */
	const char *agent;  /* program to copy in */
	const struct driver_spec *spec;
	uid_t uid;     /* of the agent on the host */
	uid_t app_uid; /* of the first of the app's ids */
};

/* Those that anything in there can ever have, a bit each. */
uint64_t runc_bundle_capabilities(void);
/* config.json, and all of it with what it points to. */
json_t *runc_bundle_config(const struct runc_bundle *bundle);
int runc_bundle_write(const struct runc_bundle *bundle, struct err *err);

#endif
