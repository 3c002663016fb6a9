/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of an image archive, without using one name of it: what an OCI layout has goes to its
 * place in a layout, all else to numbered files, and a table says which name became which file.
 */
#ifndef STRONGROOM_CLIENT_IMAGE_UNPACK_H
#define STRONGROOM_CLIENT_IMAGE_UNPACK_H

#include <jansson.h>

#include "lib/err.h"

#define IMAGE_MAX_ENTRIES 20000
#define IMAGE_MAX_BYTES (64LL << 30)

/* `dir` is made by this call. *ret_names: name -> path of the file, json_decref. Symbolic links
 * (docker's archives have some, to layers they hold twice) become a name of what they point to when
 * that is in the archive. image.archive, image.archive_unsafe */
int image_unpack(const char *archive, const char *dir, json_t **ret_names, struct err *err)
	__attribute__((warn_unused_result));

#endif
