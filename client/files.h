/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of a project: making them, digesting, copying and removing trees. Symbolic links are
 * never followed. */
#ifndef STRONGROOM_CLIENT_FILES_H
#define STRONGROOM_CLIENT_FILES_H

#include <stdbool.h>

#include "lib/digest.h"
#include "lib/err.h"

/* Like mkdir -p; `mode` for those that are made. */
int files_make_dirs(const char *path, unsigned mode, struct err *err);
/* Digest over names, kinds, x bits and contents, `.git` left out; of a file: its content. Code
 * files.kind on anything but files, folders and links. */
int files_tree_digest(const char *path, char ret_digest[DIGEST_TEXT_SIZE], struct err *err);
/* `to` is made by this call; it is complete or absent. */
int files_tree_copy(const char *from, const char *to, struct err *err);
int files_tree_remove(const char *path, struct err *err); /* absent is fine */
/* A file without a name below `dir`, 0600: for plaintext that must not stay. -1 or the descriptor.
 */
int files_unnamed(const char *dir, struct err *err);
/* Relative, no empty, "." or ".." part; one slash may end it. */
#define FILES_MAX_NAME 4000u
bool files_is_plain_name(const char *name);
int files_write_all(int fd, const void *data, size_t len, struct err *err);

#endif
