/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All layers of an image as one new gzip-compressed layer: what the upper ones hide is gone, a file
 * with 32 random bytes is added (trust.md 7: its digest tells nothing about the contents), names
 * are sorted, and times, owners' names and compression depend on nothing but the image.
 */
#ifndef STRONGROOM_CLIENT_IMAGE_SQUASH_H
#define STRONGROOM_CLIENT_IMAGE_SQUASH_H

#include "client/image.h"
#include "client/image_source.h"

#define IMAGE_SALT ".strongroom-salt"
#define IMAGE_SALT_SIZE 32u

/* Writes the layer to `fd`; ret_diff_id is of the tar in it. image.layer */
int image_squash(const struct image_source *source, int fd, image_progress *progress,
	void *progress_arg, char ret_diff_id[DIGEST_TEXT_SIZE], struct err *err)
	__attribute__((warn_unused_result));

#endif
