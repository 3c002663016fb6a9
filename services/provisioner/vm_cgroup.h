/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a control group, whoever started them and whatever they became: what a container
 * runtime that was killed half-way leaves is known by nothing else.
 */
#ifndef PROVISIONER_VM_CGROUP_H
#define PROVISIONER_VM_CGROUP_H

#include <sys/types.h>

#include "lib/err.h"

/* Makes the group with its limits, where the host has such, and puts the process into it. */
int vm_cgroup_begin(const char *name, pid_t pid, long long memory, long long pids, struct err *err);
/* Kills them all and removes the group from every hierarchy; fine when there is none. `name` is one
 * that nobody else has. */
int vm_cgroup_end(const char *name, struct err *err);

#endif
