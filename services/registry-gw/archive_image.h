/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of an OCI archive: its blobs as they come, in any order, and behind the last of them
 * the image that index.json leads to. What may be a document is kept in memory, within a bound;
 * all else is handed on while it is read. Pure but for its two callbacks.
 */
#ifndef REGISTRY_GW_ARCHIVE_IMAGE_H
#define REGISTRY_GW_ARCHIVE_IMAGE_H

#include "lib/oci.h"
#include "services/registry-gw/archive_read.h"

#define ARCHIVE_MAX_BLOBS 1024
#define ARCHIVE_MAX_KEPT (16u << 20) /* bytes of all documents */

struct archive_blob {
	char digest[DIGEST_TEXT_SIZE];
	long long size;
	char *text;    /* of what may be a document; NULL: handed on */
	void *handed;  /* to whom: archive_keep's */
	bool is_named; /* by a manifest, an index or index.json */
	bool is_part;  /* of an image: its config or a layer */
};

struct archive_manifest {
	struct archive_blob *blob;
	char type[OCI_TYPE_SIZE];
	bool is_new; /* put, and was not there before */
};

struct archive_image {
	struct archive_blob *blobs[ARCHIVE_MAX_BLOBS];
	size_t n_blobs, kept;
	char *layout, *index;
	size_t layout_len, index_len;
	/* Children before the indexes that name them; the last one is the image. */
	struct archive_manifest manifests[ARCHIVE_MAX_BLOBS];
	size_t n_manifests;
};

/* Takes the bytes of a blob, which `source` gives; 0 behind the last. Called for each that is no
 * document as it comes. */
typedef long long archive_bytes(void *arg, void *data, size_t size, struct err *err);
typedef int archive_keep(void *arg, struct archive_blob *blob, archive_bytes *source,
	void *source_arg, struct err *err);

/* Reads the archive to its end; each blob has the digest of its name. The codes of archive_read.h,
 * archive.too_many, archive.too_large, archive.digest, and what `keep` says. */
int archive_image_read(struct archive_image *image, struct archive_reader *reader,
	archive_keep *keep, void *arg, struct err *err);
/* Fills `manifests`. oci.layout, oci.ambiguous, oci.descriptor, manifest.invalid,
 * manifest.blob_unknown, archive.size, archive.unreferenced */
int archive_image_find(struct archive_image *image, struct err *err);
/* A kept document again, for who has to hand it on after all. */
int archive_image_hand_on(
	struct archive_blob *blob, archive_keep *keep, void *arg, struct err *err);

struct archive_image *archive_image_new(void);
void archive_image_free(struct archive_image *image);

#endif
