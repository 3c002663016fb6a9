/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a sandbox. A QEMU can rewrite its own arguments, so the one that was launched is
 * known by its pid, start time and boot of the host, noted where it cannot write. Beside it (a
 * crash between launch and note, a launcher that was slow) all processes are looked through for the
 * sandbox's id in their arguments.
 */
#ifndef PROVISIONER_VM_PROCESS_H
#define PROVISIONER_VM_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"

/* Notes which process this pid is now. */
int vm_process_note(const char *pid_file, pid_t pid, struct err *err);
/* A living QEMU of this sandbox, the noted one first; 0 when there is none. */
int vm_process_find(const char *pid_file, const char *sandbox_id, pid_t *ret_pid, struct err *err);
/* SIGTERM, 5 seconds, SIGKILL, for each that is found; returns when none is left. */
int vm_process_end(const char *pid_file, const char *sandbox_id, struct err *err);

#endif
