/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a sandbox, found by its id in their arguments: a pid is never believed by
 * itself. QEMU's is remembered in a file; without one (a crash between launch and note) all
 * processes are looked through.
 */
#ifndef PROVISIONER_VM_PROCESS_H
#define PROVISIONER_VM_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"

/* Notes the pid. */
int vm_process_note(const char *pid_file, pid_t pid, struct err *err);
/* The living QEMU of this sandbox; 0 when there is none. */
int vm_process_find(const char *pid_file, const char *sandbox_id, pid_t *ret_pid, struct err *err);
/* SIGTERM, 5 seconds, SIGKILL; returns when it is gone. */
int vm_process_end(const char *pid_file, const char *sandbox_id, struct err *err);

#endif
