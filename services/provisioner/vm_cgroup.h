/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a control group, whoever started them and whatever they became: what a container
 * runtime that was killed half-way leaves is known by nothing else.
 */
#ifndef PROVISIONER_VM_CGROUP_H
#define PROVISIONER_VM_CGROUP_H

#include "lib/err.h"

/* Kills them all and removes the group from every hierarchy; fine when there is none. `name` is one
 * that nobody else has. */
int vm_cgroup_end(const char *name, struct err *err);

#endif
