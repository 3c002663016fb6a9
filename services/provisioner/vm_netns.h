/* SPDX-License-Identifier: Apache-2.0 */
/* A listener inside another process's network namespace. */
#ifndef PROVISIONER_VM_NETNS_H
#define PROVISIONER_VM_NETNS_H

#include <sys/types.h>

#include "lib/err.h"

/* Gives lo that address and listens there. The caller closes *ret_listener, and stays where it is.
 */
int vm_netns_listen(
	pid_t pid, const char *address, unsigned port, int *ret_listener, struct err *err);

#endif
