/* SPDX-License-Identifier: Apache-2.0 */
/* Which bytes stay, which go on, and the walk from index.json over all that it leads to. */
#include "services/registry-gw/archive_image.h"

#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"

#define MAX_DEPTH 4 /* of indexes in indexes */

/* --- the bytes of one blob --- */

struct bytes {
	struct archive_reader *reader; /* NULL: they are at `text` */
	const char *text;
	long long left;
	struct digest_stream *digest;
	struct err failure; /* kept back: who takes the bytes shall end them well */
};

static long long read_bytes(void *arg, void *data, size_t size, struct err *err)
{
	struct bytes *bytes = arg;
	size_t want = (long long)size < bytes->left ? size : (size_t)bytes->left;
	long long got = (long long)want;

	(void)err;
	if (want == 0 || bytes->failure.kind != ERR_NONE)
		return 0;
	if (bytes->reader)
		got = archive_reader_data(bytes->reader, data, want, &bytes->failure);
	else
		memcpy(data, bytes->text, want);
	if (got == 0)
		err_set(&bytes->failure, ERR_INVALID, "archive.truncated",
			"the archive ends in the middle of a part");
	if (got <= 0)
		return 0;
	if (!bytes->reader)
		bytes->text += got;
	bytes->left -= got;
	if (bytes->digest)
		digest_stream_add(bytes->digest, data, (size_t)got);
	return got;
}

static int check_bytes(struct bytes *bytes, const struct archive_blob *blob, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];

	if (bytes->failure.kind != ERR_NONE) {
		*err = bytes->failure;
		return -1;
	}
	if (bytes->left > 0)
		return err_set(err, ERR_INTERNAL, "internal.system", "a blob was not read out");
	digest_stream_finish_text(bytes->digest, digest);
	if (strcmp(digest, blob->digest) != 0)
		return err_set(err, ERR_INVALID, "archive.digest",
			"the bytes at '%s' have the digest '%s'", blob->digest, digest);
	return 0;
}

/* --- parts --- */

static int read_text(struct archive_reader *reader, const struct archive_part *part,
	char **ret_text, struct err *err)
{
	auto_free char *text = NULL;
	long long done = 0, got;

	if (part->size > OCI_MAX_DOCUMENT)
		return err_set(err, ERR_TOO_LARGE, "archive.too_large",
			"index.json or oci-layout is larger than 4 MiB");
	text = mem_alloc((size_t)part->size + 1);
	while (done < part->size) {
		got = archive_reader_data(reader, text + done, (size_t)(part->size - done), err);
		if (got < 0)
			return -1;
		if (got == 0)
			return err_set(err, ERR_INVALID, "archive.truncated",
				"the archive ends in the middle of a part");
		done += got;
	}
	*ret_text = take_ptr(text);
	return 0;
}

static bool may_be_document(const char *text, long long size)
{
	size_t blank = strspn(text, " \t\r\n");

	return (long long)blank < size && text[blank] == '{';
}

static int keep_text(
	struct archive_image *image, struct archive_blob *blob, char *text, struct err *err)
{
	blob->text = text;
	image->kept += (size_t)blob->size;
	if (image->kept <= ARCHIVE_MAX_KEPT)
		return 0;
	return err_set(err, ERR_TOO_LARGE, "archive.too_large",
		"the archive's manifests and configs are larger than 16 MiB");
}

static int take_small(struct archive_image *image, struct archive_reader *reader,
	struct archive_blob *blob, archive_keep *keep, void *arg, struct err *err)
{
	struct archive_part part = { .size = blob->size };
	struct bytes bytes = { .left = 0 };
	auto_free char *text = NULL;
	int result;

	if (read_text(reader, &part, &text, err) < 0)
		return -1;
	bytes.digest = digest_stream_new();
	digest_stream_add(bytes.digest, text, (size_t)blob->size);
	result = check_bytes(&bytes, blob, err);
	digest_stream_free(bytes.digest);
	if (result < 0)
		return -1;
	if (may_be_document(text, blob->size))
		return keep_text(image, blob, take_ptr(text), err);
	bytes = (struct bytes) { .text = text, .left = blob->size };
	return keep(arg, blob, read_bytes, &bytes, err);
}

static int take_large(struct archive_reader *reader, struct archive_blob *blob, archive_keep *keep,
	void *arg, struct err *err)
{
	struct bytes bytes = { .reader = reader, .left = blob->size };
	int result;

	if (blob->size > OCI_MAX_BLOB)
		return err_set(err, ERR_TOO_LARGE, "archive.too_large",
			"the blob '%s' is larger than 64 GiB", blob->digest);
	bytes.digest = digest_stream_new();
	result = keep(arg, blob, read_bytes, &bytes, err);
	if (result == 0)
		result = check_bytes(&bytes, blob, err);
	digest_stream_free(bytes.digest);
	return result;
}

static int take_blob(struct archive_image *image, struct archive_reader *reader,
	const struct archive_part *part, archive_keep *keep, void *arg, struct err *err)
{
	struct archive_blob *blob;

	if (image->n_blobs == ARCHIVE_MAX_BLOBS)
		return err_set(err, ERR_TOO_LARGE, "archive.too_many",
			"the archive has more than %d blobs", ARCHIVE_MAX_BLOBS);
	blob = mem_alloc(sizeof(*blob));
	memcpy(blob->digest, part->digest, sizeof(blob->digest));
	blob->size = part->size;
	image->blobs[image->n_blobs++] = blob;
	return blob->size <= OCI_MAX_DOCUMENT ? take_small(image, reader, blob, keep, arg, err)
					      : take_large(reader, blob, keep, arg, err);
}

int archive_image_read(struct archive_image *image, struct archive_reader *reader,
	archive_keep *keep, void *arg, struct err *err)
{
	struct archive_part part;
	int got;

	while ((got = archive_reader_next(reader, &part, err)) > 0) {
		if (part.kind == ARCHIVE_BLOB)
			got = take_blob(image, reader, &part, keep, arg, err);
		else if (part.kind == ARCHIVE_INDEX)
			got = read_text(reader, &part, &image->index, err);
		else
			got = read_text(reader, &part, &image->layout, err);
		if (got < 0)
			return -1;
		if (part.kind == ARCHIVE_INDEX)
			image->index_len = (size_t)part.size;
		else if (part.kind == ARCHIVE_LAYOUT)
			image->layout_len = (size_t)part.size;
	}
	return got;
}

int archive_image_hand_on(struct archive_blob *blob, archive_keep *keep, void *arg, struct err *err)
{
	struct bytes bytes = { .text = blob->text, .left = blob->size };

	return keep(arg, blob, read_bytes, &bytes, err);
}

/* --- the walk --- */

static int by_digest(const void *a, const void *b)
{
	return strcmp((*(struct archive_blob *const *)a)->digest,
		(*(struct archive_blob *const *)b)->digest);
}

static int invalid(const struct archive_blob *blob, const char *why, struct err *err)
{
	return err_set(err, ERR_INVALID, "manifest.invalid", "'%s': %s", blob->digest, why);
}

/* The blob of a descriptor; marks it. */
static int find(struct archive_image *image, const json_t *descriptor, struct oci_blob *ret_said,
	struct archive_blob **ret_blob, struct err *err)
{
	struct archive_blob key, *wanted = &key, **found;

	if (oci_blob_read(descriptor, ret_said, err) < 0)
		return -1;
	memcpy(key.digest, ret_said->digest, sizeof(key.digest));
	found = bsearch(&wanted, image->blobs, image->n_blobs, sizeof(wanted), by_digest);
	if (!found)
		return err_set(err, ERR_INVALID, "manifest.blob_unknown",
			"the archive names '%s' and does not have it", ret_said->digest);
	if ((*found)->size != ret_said->size)
		return err_set(err, ERR_INVALID, "archive.size",
			"'%s' has %lld bytes, its descriptor says %lld", ret_said->digest,
			(*found)->size, ret_said->size);
	(*found)->is_named = true;
	*ret_blob = *found;
	return 0;
}

static int visit(
	struct archive_image *image, const json_t *descriptor, unsigned depth, struct err *err);

static int visit_all(
	struct archive_image *image, const json_t *list, unsigned depth, struct err *err)
{
	json_t *child;
	size_t i;

	json_array_foreach (list, i, child) {
		if (visit(image, child, depth, err) < 0)
			return -1;
	}
	return 0;
}

static int mark_blobs(struct archive_image *image, const json_t *manifest, struct err *err)
{
	const json_t *layers = json_object_get(manifest, "layers");
	struct archive_blob *blob;
	struct oci_blob said;
	json_t *layer;
	size_t i;

	if (find(image, json_object_get(manifest, "config"), &said, &blob, err) < 0)
		return -1;
	blob->is_part = true;
	json_array_foreach (layers, i, layer) {
		if (find(image, layer, &said, &blob, err) < 0)
			return -1;
		blob->is_part = true;
	}
	return 0;
}

static bool is_known(const struct archive_image *image, const struct archive_blob *blob)
{
	for (size_t i = 0; i < image->n_manifests; i++) {
		if (image->manifests[i].blob == blob)
			return true;
	}
	return false;
}

/* One that is named twice is visited once. A circle would need a digest within its own text. */
static int visit(
	struct archive_image *image, const json_t *descriptor, unsigned depth, struct err *err)
{
	auto_json json_t *document = NULL;
	struct err inner = { .kind = ERR_NONE };
	struct archive_manifest *manifest;
	struct archive_blob *blob;
	struct oci_blob said;
	int result;

	if (find(image, descriptor, &said, &blob, err) < 0)
		return -1;
	if (is_known(image, blob))
		return 0;
	if (!blob->text || depth > MAX_DEPTH)
		return invalid(blob, blob->text ? "indexes in indexes" : "no JSON document", err);
	document = json_parse(blob->text, (size_t)blob->size, &inner);
	if (!document)
		return invalid(blob, inner.detail, err);
	result = oci_is_index(said.type)
			 ? visit_all(image, json_object_get(document, "manifests"), depth + 1, err)
			 : mark_blobs(image, document, err);
	if (result < 0)
		return -1;
	manifest = &image->manifests[image->n_manifests++];
	manifest->blob = blob;
	memcpy(manifest->type, said.type, sizeof(manifest->type));
	return 0;
}

static int find_root(const struct archive_image *image, json_t **ret_index, struct err *err)
{
	auto_json json_t *layout = json_parse(image->layout, image->layout_len, NULL);
	auto_json json_t *index = json_parse(image->index, image->index_len, NULL);
	const char *version = json_text(layout, "imageLayoutVersion");
	const json_t *list = json_object_get(index, "manifests");

	if (!version || strcmp(version, "1.0.0") != 0)
		return err_set(err, ERR_INVALID, "oci.layout",
			"oci-layout does not say imageLayoutVersion 1.0.0");
	if (json_array_size(list) == 0)
		return err_set(err, ERR_INVALID, "oci.layout", "index.json names no image");
	if (json_array_size(list) > 1)
		return err_set(err, ERR_INVALID, "oci.ambiguous",
			"index.json names %zu images: send an archive for each",
			json_array_size(list));
	*ret_index = take_ptr(index);
	return 0;
}

int archive_image_find(struct archive_image *image, struct err *err)
{
	auto_json json_t *index = NULL;

	if (find_root(image, &index, err) < 0)
		return -1;
	qsort(image->blobs, image->n_blobs, sizeof(*image->blobs), by_digest);
	if (visit_all(image, json_object_get(index, "manifests"), 0, err) < 0)
		return -1;
	for (size_t i = 0; i < image->n_blobs; i++) {
		if (!image->blobs[i]->is_named)
			return err_set(err, ERR_INVALID, "archive.unreferenced",
				"no manifest names the blob '%s'", image->blobs[i]->digest);
	}
	return 0;
}

/* --- life --- */

struct archive_image *archive_image_new(void)
{
	return mem_alloc(sizeof(struct archive_image));
}

void archive_image_free(struct archive_image *image)
{
	if (!image)
		return;
	for (size_t i = 0; i < image->n_blobs; i++) {
		free(image->blobs[i]->text);
		free(image->blobs[i]);
	}
	free(image->layout);
	free(image->index);
	free(image);
}
