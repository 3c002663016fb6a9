/* SPDX-License-Identifier: Apache-2.0 */
/* From a folder with a Containerfile to an archive, by docker, podman or buildah. */
#ifndef STRONGROOM_CLIENT_IMAGE_BUILD_H
#define STRONGROOM_CLIENT_IMAGE_BUILD_H

#include "lib/err.h"

/* The first engine that works builds. *ret_archive, below `work_dir`: the caller frees and removes
 * it. image.no_containerfile, image.no_engine, image.build_failed */
int image_build(const char *context, const char *containerfile, const char *work_dir,
	char **ret_archive, struct err *err) __attribute__((warn_unused_result));

#endif
