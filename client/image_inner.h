/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner digest of layers that were compressed while they were encrypted, as buildah and podman
 * do when they push out of their store: it is then the digest of what is behind the compression.
 */
#ifndef STRONGROOM_CLIENT_IMAGE_INNER_H
#define STRONGROOM_CLIENT_IMAGE_INNER_H

#include "lib/digest.h"
#include "lib/err.h"

/* Whether the gzip or zstd file in `fd` is a compressed form of what has that digest:
 * image.inner_digest. *ret_digest: its own. */
int image_inner_check(int fd, const char *expected, char ret_digest[DIGEST_TEXT_SIZE],
	struct err *err) __attribute__((warn_unused_result));

#endif
