/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a sandbox. A QEMU can rewrite its own arguments, so the one that was launched is
 * known by its pid, start time and boot of the host, noted where it cannot write. Beside it (a
 * crash between launch and note, a launcher that was slow) all processes are looked through for the
 * sandbox's name in their arguments.
 */
#ifndef PROVISIONER_VM_PROCESS_H
#define PROVISIONER_VM_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"

struct vm_process {
	const char *note;	   /* file */
	const char *program;	   /* part of an argument: "qemu-system" */
	const char *option, *name; /* somewhere behind it: "-name", the sandbox's id */
};

/* Notes which process this pid is now. */
int vm_process_note(const char *pid_file, pid_t pid, struct err *err);
/* A living one, the noted one first; 0 when there is none. */
int vm_process_find(const struct vm_process *process, pid_t *ret_pid, struct err *err);
/* Whether that process ends by itself within so many milliseconds. */
bool vm_process_ends(pid_t pid, int limit_ms);
/* SIGTERM, 5 seconds, SIGKILL, for each that is found; returns when none is left. */
int vm_process_end(const struct vm_process *process, struct err *err);

/* Ids of sandboxes whose files below this folder stand in the arguments of a living process: calls
 * back for each, more than once where there are several. */
int vm_process_list(const char *folder,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err);

#endif
