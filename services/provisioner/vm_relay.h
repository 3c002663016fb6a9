/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's one way out, whatever it runs in: strongroom-relay under a uid of its own. */
#ifndef PROVISIONER_VM_RELAY_H
#define PROVISIONER_VM_RELAY_H

#include <sys/types.h>

#include "services/provisioner/config.h"

/* With the listener as 3 and the pidfd of `vm` as 4; it ends with that process and outlives us. */
int vm_relay_start(const struct provisioner_conf *conf, const char *id, uid_t vm_uid,
	int low_listener, pid_t vm, struct err *err);

#endif
