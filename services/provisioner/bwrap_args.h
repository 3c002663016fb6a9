/* SPDX-License-Identifier: Apache-2.0 */
/* An OCI configuration of runc_bundle.c's own, said in bubblewrap's words. */
#ifndef PROVISIONER_BWRAP_ARGS_H
#define PROVISIONER_BWRAP_ARGS_H

#include <jansson.h>

#include "lib/err.h"

enum { BWRAP_FD_SECCOMP = 3, BWRAP_FD_INFO = 4 }; /* as the arguments have them */

/* A list of texts, the program first; its --hostname is the sandbox's id, by which it is found. */
json_t *bwrap_args(const char *program, const json_t *config, const char *folder, const char *id);
/* A file with the filter as the kernel takes it. */
int bwrap_seccomp(const json_t *config, int *ret_fd, struct err *err);

#endif
