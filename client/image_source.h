/* SPDX-License-Identifier: Apache-2.0 */
/* An image as it came, whatever it came as: its config, and its layers as files, lowest first. */
#ifndef STRONGROOM_CLIENT_IMAGE_SOURCE_H
#define STRONGROOM_CLIENT_IMAGE_SOURCE_H

#include <jansson.h>

#include "lib/err.h"
#include "lib/oci.h"

struct image_source {
	struct oci_config config; /* with a checked diff_id for each layer */
	unsigned n_layers;
	char *layers[OCI_MAX_LAYERS]; /* paths; compressed or not */
};

/* `path` is an OCI layout folder, an OCI archive or a docker archive; archives are unpacked to
 * `dir`, which must not exist. image.archive, image.archive_unsafe, image.many_images,
 * image.already_encrypted, image.platform, oci.* */
int image_source_open(const char *path, const char *dir, struct image_source *ret_source,
	struct err *err) __attribute__((warn_unused_result));
void image_source_release(struct image_source *source);

#endif
