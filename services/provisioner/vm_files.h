/* SPDX-License-Identifier: Apache-2.0 */
/* Files and descriptors of a sandbox. Folders that a sandbox's user may write to are met by root
 * here only after its processes have ended, and links in them are never followed. */
#ifndef PROVISIONER_VM_FILES_H
#define PROVISIONER_VM_FILES_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"

int vm_files_folder(const char *path, mode_t mode, struct err *err); /* fine when it is there */
/* A file for the VM's user (0600) in a folder that is not his: for one boot, so nothing waits until
 * a disk has it, or for as long as the folder is there. */
int vm_files_make(const char *path, const void *data, size_t len, uid_t uid, struct err *err);
int vm_files_keep(const char *path, const void *data, size_t len, uid_t uid, struct err *err);
/* The whole tree becomes that user's. */
int vm_files_give(const char *path, uid_t uid, struct err *err);
/* The whole tree goes; fine when it is not there. */
int vm_files_remove(const char *path, struct err *err);
/* A console that is written by appending begins anew when it is longer. */
void vm_files_cap(const char *path, long long max_bytes);
/* Calls back for each entry whose name is a sandbox's id; fine when there is no folder. */
int vm_files_list(const char *path,
	int (*on_id)(void *arg, const char *sandbox_id, struct err *err), void *arg,
	struct err *err);
/* Above the numbers that a child's files take (dup2 of one to itself would keep close-on-exec);
 * closes `fd`. -1: errno. */
int vm_files_raise(int fd);

#endif
