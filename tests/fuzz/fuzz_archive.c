/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI archive of a stranger, as the gateway unpacks it, in pieces of a size that the first byte
 * says. What is found keeps its promises; what is refused has a code; every blob that is handed on
 * is read to its end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "services/registry-gw/archive_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static long long read_input(void *arg, void *data, size_t size, struct err *err)
{
	struct input *input = arg;
	size_t len = input->left < size ? input->left : size;

	(void)err;
	if (len > 0)
		memcpy(data, input->at, len);
	input->at += len;
	input->left -= len;
	return (long long)len;
}

static int keep(void *arg, struct archive_blob *blob, archive_bytes *source, void *source_arg,
	struct err *err)
{
	size_t step = *(const size_t *)arg;
	unsigned char piece[256];
	long long total = 0, got;

	while ((got = source(source_arg, piece, step, err)) > 0) {
		must((size_t)got <= step);
		total += got;
	}
	must(got == 0 && total <= blob->size);
	blob->handed = blob;
	return 0;
}

static void check_image(const struct archive_image *image)
{
	unsigned char digest[DIGEST_SIZE];

	must(image->n_manifests > 0 && image->n_manifests <= image->n_blobs);
	for (size_t i = 0; i < image->n_blobs; i++) {
		const struct archive_blob *blob = image->blobs[i];

		must(digest_parse(blob->digest, digest, NULL) == 0 && blob->is_named);
		must(!blob->text != !blob->handed);
	}
	for (size_t i = 0; i < image->n_manifests; i++)
		must(image->manifests[i].blob->text && *image->manifests[i].type);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step = size > 0 ? data[0] % 255 + 1 : 1;
	struct input input = { data, size };
	struct archive_reader *reader = archive_reader_new(read_input, &input);
	struct archive_image *image = archive_image_new();
	struct err err = { .kind = ERR_NONE };

	if (archive_image_read(image, reader, keep, &step, &err) == 0 &&
		archive_image_find(image, &err) == 0)
		check_image(image);
	else
		must(err.kind != ERR_NONE && *err.code);
	archive_reader_free(reader);
	archive_image_free(image);
	return 0;
}
