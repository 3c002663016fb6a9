/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bubblewrap in runc's place: what runc_bundle.h describes, as arguments, ids, a system call filter
 * and a control group. The user namespace with its ids and the network are made here, as bubblewrap
 * maps a single id only. /tmp and /run are not noexec then: bubblewrap's tmpfs cannot be.
 */
#ifndef PROVISIONER_BWRAP_H
#define PROVISIONER_BWRAP_H

#include "services/provisioner/runc_bundle.h"

/* A process in its namespaces that waits to become bubblewrap, and ends when it is let fall. */
struct bwrap {
	pid_t pid;
	int go, info; /* our ends */
};

/* `*ret_bwrap` is to be released in any case. */
int bwrap_create(const char *program, const struct runc_bundle *bundle, const char *console,
	struct bwrap *ret_bwrap, struct err *err);
/* Lets it go on; the pid of the agent. sandbox.bwrap */
int bwrap_start(struct bwrap *bwrap, pid_t *ret_agent, struct err *err);
void bwrap_release(struct bwrap *bwrap);
#define auto_bwrap __attribute__((cleanup(bwrap_release))) struct bwrap

#endif
