/* SPDX-License-Identifier: Apache-2.0 */
/* A recursion of bounded depth over JSON that stays as it came wherever nobody touches it. */
#include "client/image_walk.h"

#include <stdbool.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"

#define MAX_DEPTH 3
#define MAX_CHILDREN 64

static int walk_document(
	const struct image_walk *walk, json_t *descriptor, unsigned depth, struct err *err);

static int walk_index(
	const struct image_walk *walk, const json_t *index, unsigned depth, struct err *err)
{
	const json_t *manifests = json_object_get(index, "manifests");
	json_t *child;
	size_t i;

	if (depth == MAX_DEPTH || json_array_size(manifests) > MAX_CHILDREN)
		return err_set(err, ERR_INVALID, "oci.index",
			"indexes are nested too deep, or name more than %d images", MAX_CHILDREN);
	json_array_foreach (manifests, i, child) {
		if (walk_document(walk, child, depth + 1, err) < 0)
			return err_wrap(err, "image %zu of the index", i);
	}
	return 0;
}

static int walk_manifest(const struct image_walk *walk, const json_t *manifest, struct err *err)
{
	json_t *layer;
	size_t i;

	json_array_foreach (json_object_get(manifest, "layers"), i, layer) {
		if (walk->layer && walk->layer(walk->arg, layer, err) < 0)
			return err_wrap(err, "layer %zu", i);
	}
	if (walk->config && walk->config(walk->arg, json_object_get(manifest, "config"), err) < 0)
		return err_wrap(err, "config");
	return 0;
}

/* Nothing below has been looked at before: all of what a walk follows is checked here. */
static int parse(
	const struct oci_blob *blob, const struct buf *text, json_t **ret_document, struct err *err)
{
	auto_oci_manifest manifest = { .json = NULL };
	json_t *document;

	if (!oci_is_index(blob->type)) {
		if (oci_manifest_parse(text->data, text->len, &manifest, err) < 0)
			return -1;
		*ret_document = take_ptr(manifest.json);
		return 0;
	}
	document = json_parse((const char *)text->data, text->len, err);
	if (!document)
		return -1;
	if (!json_is_array(json_object_get(document, "manifests"))) {
		json_decref(document);
		return err_set(err, ERR_INVALID, "oci.index", "not an image index");
	}
	*ret_document = document;
	return 0;
}

/* Behind its children: as it was read, or what became of it. */
static int write_document(const struct image_walk *walk, json_t *descriptor, const json_t *document,
	const struct buf *text, bool is_changed, struct err *err)
{
	auto_free char *changed = NULL;
	struct oci_blob blob;
	size_t len = text->len;

	if (is_changed) {
		char digest[DIGEST_TEXT_SIZE];

		changed = json_encode(document, &len);
		digest_text(changed, len, digest);
		json_object_set_new(descriptor, "digest", json_string(digest));
		json_object_set_new(descriptor, "size", json_integer((json_int_t)len));
	}
	if (!walk->write)
		return 0;
	if (oci_blob_read(descriptor, &blob, err) < 0)
		return -1;
	return walk->write(walk->arg, &blob, changed ? (void *)changed : text->data, len, err);
}

static int walk_document(
	const struct image_walk *walk, json_t *descriptor, unsigned depth, struct err *err)
{
	auto_buf text = BUF_INIT(OCI_MAX_DOCUMENT);
	auto_json json_t *document = NULL, *before = NULL;
	struct oci_blob blob;
	int done;

	if (oci_blob_read(descriptor, &blob, err) < 0 ||
		walk->read(walk->arg, &blob, &text, err) < 0 ||
		parse(&blob, &text, &document, err) < 0)
		return -1;
	before = json_deep_copy(document);
	if (walk->document && walk->document(walk->arg, descriptor, document, err) < 0)
		return -1;
	done = oci_is_index(blob.type) ? walk_index(walk, document, depth, err)
				       : walk_manifest(walk, document, err);
	if (done < 0)
		return -1;
	return write_document(
		walk, descriptor, document, &text, !json_equal(before, document), err);
}

int image_walk(const struct image_walk *walk, json_t *descriptor, struct err *err)
{
	return walk_document(walk, descriptor, 0, err);
}

/* --- how much it is --- */

struct measure {
	const struct image_walk *walk;
	long long size;
};

static int read_measured(
	void *arg, const struct oci_blob *document, struct buf *buf, struct err *err)
{
	const struct measure *measure = arg;

	return measure->walk->read(measure->walk->arg, document, buf, err);
}

static int add_size(void *arg, json_t *descriptor, struct err *err)
{
	struct measure *measure = arg;

	(void)err;
	measure->size += json_integer_value(json_object_get(descriptor, "size"));
	return 0;
}

int image_walk_size(
	const struct image_walk *walk, json_t *descriptor, long long *ret_size, struct err *err)
{
	struct measure measure = { .walk = walk };
	const struct image_walk sum = {
		.read = read_measured,
		.layer = add_size,
		.config = add_size,
		.arg = &measure,
	};

	if (image_walk(&sum, descriptor, err) < 0)
		return -1;
	*ret_size = measure.size;
	return 0;
}
