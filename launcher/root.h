/* SPDX-License-Identifier: Apache-2.0 */
/* The only files that a caged program sees. */
#ifndef STRONGROOM_LAUNCHER_ROOT_H
#define STRONGROOM_LAUNCHER_ROOT_H

#include <stddef.h>

#define ROOT_MAX 32u

enum root_kind {
	ROOT_READ,   /* file or folder, read-only; what lies in it may be executed */
	ROOT_WRITE,  /* file or folder; nothing in it is executed */
	ROOT_DEVICE, /* a device */
};

struct root_entry {
	enum root_kind kind;
	const char *path; /* absolute; the same inside */
};

/* In a mount namespace of our own: makes an empty root, puts these in it and leaves the old one.
 * -1: errno, and what it is about in *ret_what. */
int root_enter(const struct root_entry *entries, size_t count, const char **ret_what);

#endif
