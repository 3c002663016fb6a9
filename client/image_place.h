/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images on the disk by the names that people give: an OCI layout folder, or an OCI archive (a tar
 * of one). What is made gets its name when it is complete; until then it is in NAME.part.
 */
#ifndef STRONGROOM_CLIENT_IMAGE_PLACE_H
#define STRONGROOM_CLIENT_IMAGE_PLACE_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

/* The layout in `path`: itself, or unpacked below `work_dir` (which is made then). image.archive,
 * image.archive_unsafe; a docker archive is refused. The caller frees *ret_layout. */
int image_place_open(const char *path, const char *work_dir, char **ret_layout, struct err *err)
	__attribute__((warn_unused_result));

/* Which of a layout's images: the only one, or the one that is called so: by its digest or its
 * reference name. A descriptor, new reference. oci.ambiguous, oci.index */
int image_place_choose(const char *layout, const char *called, json_t **ret_descriptor,
	struct err *err) __attribute__((warn_unused_result));

/* The folder for what is to become `path`, 0700; `keeps`: with what an earlier try left there. The
 * caller frees *ret_work. image.exists */
int image_place_start(const char *path, bool keeps, char **ret_work, struct err *err)
	__attribute__((warn_unused_result));
/* The layout, which is below `work`, becomes `path`: an archive where that ends in .tar, else a
 * folder. `work` goes. */
int image_place_finish(const char *path, const char *work, const char *layout, struct err *err)
	__attribute__((warn_unused_result));

#endif
