/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image of a project: build it (docker, podman or buildah) or take an OCI or docker archive,
 * bring it into one squashed OCI layout, encrypt its layers to the image key.
 * Where it is encrypted, no plaintext layer is left behind in `work_dir` when image_prepare() has
 * returned 0.
 */
#ifndef STRONGROOM_CLIENT_IMAGE_H
#define STRONGROOM_CLIENT_IMAGE_H

#include <jansson.h>

#include "lib/digest.h"
#include "lib/err.h"
#include "lib/ocicrypt.h"

#define IMAGE_MAX_LAYERS 127

/* `stage`: "build", "convert", "encrypt", "upload"; bytes, total 0 when unknown. */
typedef void image_progress(void *arg, const char *stage, long long done, long long total);

struct image_conf {
	const char *context;	   /* folder with the Containerfile; NULL when `archive` is given */
	const char *containerfile; /* relative to context; NULL: Containerfile, then Dockerfile */
	const char *archive;	   /* OCI or docker archive, or an OCI layout folder; or NULL */
	const char *work_dir;	   /* exists, 0700; everything is made below it */
	/* who opens the layers; NULL: they stay plain */
	const struct ocicrypt_keys *recipients;
	image_progress *progress; /* may be NULL */
	void *progress_arg;
};

struct image_layer {
	char inner[DIGEST_TEXT_SIZE];	/* of the layer blob before encryption */
	char diff_id[DIGEST_TEXT_SIZE]; /* of the uncompressed tar */
};

struct image_result {
	char *layout; /* folder of the OCI layout, below work_dir */
	char manifest[DIGEST_TEXT_SIZE];
	char config[DIGEST_TEXT_SIZE];
	long long size; /* of all blobs */
	unsigned n_layers;
	struct image_layer layers[IMAGE_MAX_LAYERS];
	json_t *argv; /* Entrypoint + Cmd of the image as it came */
	json_t *env;  /* object name -> value */
	char *cwd;    /* "/" when the image says nothing */
};

/* image.no_engine, image.build_failed, image.archive, image.too_many_layers, ... */
int image_prepare(const struct image_conf *conf, struct image_result *ret_result, struct err *err)
	__attribute__((warn_unused_result));
void image_result_release(struct image_result *result);

#endif
