/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The uids of the VMs: each sandbox of a host has one of its own from its first start to its
 * removal, or a compromised QEMU could read and trace another tenant's; and one more for its relay,
 * VM_USERS above it, or it could trace that and connect elsewhere; and one for its vTPM, above
 * that, or it could change the PCRs. Kept as links
 * "<uid> -> <sandbox id>" in a folder that is the provisioner's alone.
 */
#ifndef PROVISIONER_VM_USER_H
#define PROVISIONER_VM_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"
#include "services/provisioner/config.h"

#define VM_USERS 256u

/* Whether 3 * VM_USERS uids and gids from `first` on are nobody else's: sandbox.bad_uids when they
 * reach below 1000, beyond what a uid can be, or to a user or group of this host. */
int vm_user_check(long first, struct err *err);
/* The sandbox's uid, one of VM_USERS from `first` on; takes a free one if it has none yet. */
int vm_user_take(
	const char *folder, uid_t first, const char *sandbox_id, uid_t *ret_uid, struct err *err);
/* Who a sandbox's processes run as: its uid when this service is root, else this service's own; and
 * the end of that. */
bool vm_is_root(void);
int vm_user_of(const struct provisioner_conf *conf, const char *sandbox_id, uid_t *ret_uid,
	struct err *err);
int vm_user_give_back(const struct provisioner_conf *conf, const char *sandbox_id, struct err *err);
/* Whose uids are taken: calls back for each sandbox's id. */
int vm_user_list(const struct provisioner_conf *conf,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err);
/* Gives it back; fine when there is none. */
int vm_user_release(const char *folder, uid_t first, const char *sandbox_id, struct err *err);

#endif
