/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON documents of an OCI image (image-spec 1.1): descriptor, manifest, config. They come from
 * strangers, so what these functions let through has known media types, well-formed digests, sizes
 * within bounds and at most OCI_MAX_LAYERS layers. Docker's schema 2 spellings of the same are
 * accepted, as are ocicrypt's `+encrypted` layers. Files: oci_layout.h; the wire: oci_registry.h.
 */
#ifndef STRONGROOM_OCI_H
#define STRONGROOM_OCI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/digest.h"
#include "lib/err.h"

#define OCI_MAX_DOCUMENT (4u << 20) /* bytes of a manifest, an index or a config */
#define OCI_MAX_LAYERS 127
#define OCI_MAX_BLOB (64LL << 30)
#define OCI_TYPE_SIZE 96u

#define OCI_TYPE_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define OCI_TYPE_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define OCI_TYPE_LAYER_GZIP_ENCRYPTED OCI_TYPE_LAYER_GZIP "+encrypted"
#define OCI_TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define OCI_TYPE_DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"

struct oci_blob {
	char type[OCI_TYPE_SIZE];
	char digest[DIGEST_TEXT_SIZE];
	long long size;
};

/* mediaType, digest and size of a descriptor. oci.descriptor */
int oci_blob_read(const json_t *descriptor, struct oci_blob *ret_blob, struct err *err);
json_t *oci_blob_json(const struct oci_blob *blob);

struct oci_layer {
	struct oci_blob blob;
	bool is_encrypted;
	const json_t *descriptor; /* borrowed from the manifest: for ocicrypt_open() */
};

struct oci_manifest {
	json_t *json;
	struct oci_blob config;
	unsigned n_layers; /* at least 1 */
	struct oci_layer layers[OCI_MAX_LAYERS];
};

/* oci.manifest, oci.descriptor, limit.layers. Release what it gave. */
int oci_manifest_parse(const void *text, size_t len, struct oci_manifest *ret_manifest,
	struct err *err) __attribute__((warn_unused_result));
void oci_manifest_release(struct oci_manifest *manifest);
#define auto_oci_manifest __attribute__((cleanup(oci_manifest_release))) struct oci_manifest

struct oci_config {
	json_t *json;
	const char *architecture, *os; /* borrowed from json */
	unsigned n_layers;
	char diff_ids[OCI_MAX_LAYERS][DIGEST_TEXT_SIZE];
};

/* One diff_id for each of the manifest's `n_layers`. oci.config */
int oci_config_parse(const void *text, size_t len, unsigned n_layers, struct oci_config *ret_config,
	struct err *err) __attribute__((warn_unused_result));
void oci_config_release(struct oci_config *config);
#define auto_oci_config __attribute__((cleanup(oci_config_release))) struct oci_config

/* Picks the one image out of an index: the only one, or the only one for linux and `architecture`
 * (OCI spelling; NULL: this machine's). Its type may be an index again. oci.index, oci.ambiguous */
int oci_index_choose(const void *text, size_t len, const char *architecture,
	struct oci_blob *ret_blob, struct err *err) __attribute__((warn_unused_result));

bool oci_is_index(const char *type);
/* BuildKit puts what it attests beside the images of an index, as manifests of an unknown platform.
 */
bool oci_is_attestation(const json_t *descriptor);
const char *oci_architecture(void); /* of this machine, in OCI's spelling */

#endif
