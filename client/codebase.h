/* SPDX-License-Identifier: Apache-2.0 */
/* Cloning a git repository at a ref, on libgit2. Credentials never stand in the address. */
#ifndef STRONGROOM_CLIENT_CODEBASE_H
#define STRONGROOM_CLIENT_CODEBASE_H

#include "lib/err.h"

struct codebase_conf {
	const char *url;
	const char *ref; /* branch, tag or commit; NULL: what HEAD of the repository says */
	const char *username;
	const char *password_file;
	const char *dest; /* must not exist */
};

/* Checks the ref out and gives the commit (40 hex digits). codebase.url, codebase.clone,
 * codebase.ref */
int codebase_clone(const struct codebase_conf *conf, char ret_commit[41], struct err *err);

#endif
