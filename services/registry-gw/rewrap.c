/* SPDX-License-Identifier: Apache-2.0 */
/* The handler of rewrap.h. What the old manifest said beside its packets the new one says too: so
 * nobody brings in another image under a tag by this way, nor another HMAC for the same bytes. */
#include "services/registry-gw/rewrap.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"
#include "lib/service.h"
#include "proto/roles.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/manifest_backend.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/store_image.h"

#define PACKETS "org.opencontainers.image.enc.keys."
#define MAX_TAGS 1000
#define MAX_CHILDREN 256
#define MAX_OLD_BYTES (32u << 20)
#define MAX_TEXT (4 * ((MANIFEST_MAX_BYTES + 2) / 3))

struct body {
	const char *manifest;
	json_t *children, *tags;
};

static const struct json_field body_fields[] = {
	{ "manifest", JSON_FIELD_TEXT, offsetof(struct body, manifest), true, MAX_TEXT },
	{ "children", JSON_FIELD_ARRAY, offsetof(struct body, children), false, MAX_CHILDREN },
	{ "tags", JSON_FIELD_ARRAY, offsetof(struct body, tags), true, MAX_TAGS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* --- the rule --- */

static int refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_UNPROCESSABLE, "image.rewrap", "%s", why);
}

/* A copy without what may differ: the packets of layers, and which manifests an index names. */
static json_t *without_packets(const json_t *manifest)
{
	json_t *copy = json_deep_copy(manifest), *layer, *child;
	size_t i;

	json_array_foreach (json_object_get(copy, "layers"), i, layer) {
		if (ocicrypt_is_type(json_text(layer, "mediaType")))
			ocicrypt_strip(json_object_get(layer, "annotations"), PACKETS);
	}
	json_array_foreach (json_object_get(copy, "manifests"), i, child) {
		json_object_del(child, "digest");
		json_object_del(child, "size");
	}
	return copy;
}

int rewrap_check(const json_t *before, const json_t *after, struct err *err)
{
	auto_json json_t *old = without_packets(before), *new = without_packets(after);
	const json_t *layers = json_object_get(old, "layers"),
		     *others = json_object_get(new, "layers"), *layer;
	size_t i;

	if (json_array_size(layers) != json_array_size(others))
		return refuse(err, "the new manifest has another number of layers");
	json_array_foreach (layers, i, layer) {
		if (!json_equal(layer, json_array_get(others, i)))
			return err_set(err, ERR_UNPROCESSABLE, "image.rewrap",
				"layer %zu: more than its key packets differs", i);
	}
	if (!json_equal(old, new))
		return refuse(err, "more than the layers' key packets differs");
	return 0;
}

/* --- the request --- */

/* A manifest that came, and what it replaces. */
struct part {
	struct manifest_bytes bytes;
	struct replaced replaced;
	char digest[DIGEST_TEXT_SIZE];
};

struct rewrap {
	struct web_req *req;
	const struct access *access;
	struct part *children;
	size_t n_children;
	struct manifest_bytes *all; /* what an index names before it */
	size_t n_all;
	size_t old_bytes; /* of what is replaced: it stays in memory to the end */
};

static int read_tags(const json_t *tags, struct err *err)
{
	const json_t *tag;
	size_t i;

	json_array_foreach (tags, i, tag) {
		if (!json_is_string(tag) || !reference_is_tag(json_string_value(tag)))
			return refuse(err, "tags are those that the image was shown with");
	}
	return 0;
}

static int read_part(struct web_req *req, const char *text, struct part *part, struct err *err)
{
	auto_free unsigned char *data = NULL;
	size_t len;

	if (!text || codec_b64_decode(text, strlen(text), &data, &len, NULL) < 0 || len == 0 ||
		len > MANIFEST_MAX_BYTES)
		return refuse(err, "the manifest is not base64 of 1 byte to 4 MiB");
	part->bytes.data = arena_dup(req->arena, data, len);
	part->bytes.len = len;
	part->bytes.replaces = &part->replaced;
	digest_text(data, len, part->digest);
	return 0;
}

static int read_children(struct rewrap *work, const json_t *texts, struct err *err)
{
	const struct registry_conf *conf = work->req->worker->program;
	struct arena *arena = work->req->arena;
	size_t n = json_array_size(texts);

	work->children = arena_alloc(arena, (n + 1) * sizeof(*work->children));
	work->all = arena_alloc(arena, (n + 1) * sizeof(*work->all));
	for (; work->n_children < n; work->n_children++) {
		struct part *child = &work->children[work->n_children];

		if (read_part(work->req, json_string_value(json_array_get(texts, work->n_children)),
			    child, err) < 0)
			return -1;
		child->replaced.grace_ms = conf->grace_ms;
	}
	return 0;
}

/* --- old beside new --- */

static int compare(struct rewrap *work, struct part *part, struct err *err);

static struct part *find_child(const struct rewrap *work, const char *digest)
{
	for (size_t i = 0; digest && i < work->n_children; i++) {
		if (strcmp(work->children[i].digest, digest) == 0)
			return &work->children[i];
	}
	return NULL;
}

/* The same child may stand in an index twice. */
static int compare_child(
	struct rewrap *work, const json_t *before, const json_t *after, struct err *err)
{
	const char *old = json_text(before, "digest");
	struct part *child = find_child(work, json_text(after, "digest"));
	struct manifest manifest;

	if (!child)
		return refuse(err, "the index names a manifest that is neither there nor sent");
	if (child->replaced.digest)
		return strcmp(child->replaced.digest, old) == 0
			       ? 0
			       : refuse(err, "a manifest takes the place of two others");
	if (store_manifest_find(work->req, work->access, old, &manifest, err) < 0)
		return -1;
	child->replaced.digest = manifest.digest;
	child->bytes.media_type = manifest.media_type;
	return compare(work, child, err);
}

static int compare_children(
	struct rewrap *work, const json_t *before, const json_t *after, struct err *err)
{
	const json_t *olds = json_object_get(before, "manifests"),
		     *news = json_object_get(after, "manifests"), *old;
	size_t i;

	json_array_foreach (olds, i, old) {
		const json_t *new = json_array_get(news, i);

		if (!json_equal(old, new) && compare_child(work, old, new, err) < 0)
			return -1;
	}
	return 0;
}

/* What else is wrong with the new one is said when it is added. */
static int compare(struct rewrap *work, struct part *part, struct err *err)
{
	auto_json json_t *before = NULL, *after = NULL;
	const char *text;
	size_t len;

	if (strcmp(part->digest, part->replaced.digest) == 0)
		return refuse(err, "the new manifest is the old one");
	if (manifest_get_bytes(work->req, work->access, part->replaced.digest, &text, &len, err) <
		0)
		return -1;
	work->old_bytes += len;
	if (work->old_bytes > MAX_OLD_BYTES)
		return refuse(err, "the manifests that it replaces are larger than 32 MiB");
	before = json_parse(text, len, err);
	if (!before)
		return -1;
	after = json_parse(part->bytes.data, part->bytes.len, NULL);
	if (!after)
		return refuse(err, "the new manifest is no JSON");
	if (rewrap_check(before, after, err) < 0 || compare_children(work, before, after, err) < 0)
		return -1;
	work->all[work->n_all++] = part->bytes;
	return 0;
}

static int swap(struct rewrap *work, const struct image *image, const struct body *body,
	const char **ret_id, struct err *err)
{
	const struct registry_conf *conf = work->req->worker->program;
	auto_free char *tags = json_dumps(body->tags, JSON_COMPACT);
	struct part top = {
		.bytes.media_type = image->media_type,
		.replaced = {
			.id = image->id,
			.digest = image->digest,
			.revision = image->revision,
			.tags = tags,
			.grace_ms = conf->grace_ms,
		},
	};
	struct manifest manifest;

	if (read_part(work->req, body->manifest, &top, err) < 0 ||
		read_children(work, body->children, err) < 0 || compare(work, &top, err) < 0)
		return -1;
	if (work->n_all != work->n_children + 1)
		return refuse(err, "a manifest was sent that the index does not name anew");
	if (manifest_add_all(work->req, work->access, work->all, work->n_all, &manifest, err) < 0)
		return -1;
	return store_image_id(work->req, work->access, manifest.digest, ret_id, err);
}

int image_rewrap(struct web_req *req, struct web_res *res, struct err *err)
{
	struct access access;
	struct rewrap work = { .req = req, .access = &access };
	struct image image;
	struct body body = { .children = NULL };
	const char *id;

	if (principal_need_role(req->principal, ROLES_IMAGES, err) < 0 ||
		json_decode(req->arena, req->json, body_fields, &body, err) < 0 ||
		read_tags(body.tags, err) < 0 ||
		store_image_get(req, web_param(req, "image_id"), &image, err) < 0 ||
		resource_if_match(req, image.revision, err) < 0)
		return -1;
	if (strcmp(image.kind, "signature") == 0)
		return refuse(err, "a signature has no key packets");
	access = image_access(req, &image);
	if (swap(&work, &image, &body, &id, err) < 0)
		return -1;
	res->status = 201;
	return web_read_answer(req, res, &store_image_read, id, err);
}
