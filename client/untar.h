/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacking the output of a stranger's program: regular files and folders only, below one new
 * folder. */
#ifndef STRONGROOM_CLIENT_UNTAR_H
#define STRONGROOM_CLIENT_UNTAR_H

#include "lib/err.h"

#define UNTAR_MAX_FILES 100000
#define UNTAR_MAX_BYTES (64LL << 30)

/* Reads a tar from `fd` (from its start) into `dest`, which must be an empty folder. output.unsafe
 * names the entry: links, devices, absolute names, "..", names twice, too many or too large. */
int untar(int fd, const char *dest, struct err *err) __attribute__((warn_unused_result));

#endif
