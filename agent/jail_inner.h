/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the two sides of a jail: jail.c (agent) and jail_child.c (helper inside). For these
 * files only. */
#ifndef STRONGROOM_JAIL_INNER_H
#define STRONGROOM_JAIL_INNER_H

#include "agent/jail.h"

/* What the helper finds open: 0 is /dev/null, 1 and 2 are the app's output, these two, and nothing
 * else. */
#define JAIL_FD_CONF 3
#define JAIL_FD_STATUS 4

enum jail_report_kind {
	JAIL_LISTENS, /* comes with the sockets of conf.ports; the app is not started yet */
	JAIL_FAILED,  /* the cage could not be built; `detail` says where, `value` is errno */
	JAIL_NO_APP,  /* argv[0] could not be executed */
	JAIL_ENDED,   /* `value` is the app's wait status */
};

struct jail_report {
	enum jail_report_kind kind;
	int value;
	char detail[120];
};

/* The configuration travels as JSON in a memfd. A read one is freed with jail_conf_free(). */
int jail_conf_write(const struct jail_conf *conf, int *ret_fd, struct err *err);
int jail_conf_read(int fd, struct jail_conf **ret_conf, struct err *err);
void jail_conf_free(struct jail_conf *conf);

/* --- cgroup v2 --- */
int jail_cgroup_make(const char *path, const struct jail_limits *limits, struct err *err);
int jail_cgroup_open(const char *path, struct err *err);
void jail_cgroup_kill(const char *path);
/* Counter `key` of a flat-keyed file ("memory.events" "oom_kill"), 0 when absent. */
long long jail_cgroup_count(const char *path, const char *file, const char *key);
void jail_cgroup_remove(const char *path);

/* --- inside --- */
/* Builds the mounts and pivots into the image. *ret_proc: a writable /proc that is attached
 * nowhere. */
int jail_mounts_build(const struct jail_conf *conf, int *ret_proc, struct err *err);
/* Everything that the app must not have: capabilities, privilege by exec, limits beyond its own. */
int jail_drop_capabilities(struct err *err);
int jail_seccomp_load(struct err *err);

#endif
