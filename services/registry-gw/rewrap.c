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
#define MAX_TEXT (4 * ((MANIFEST_MAX_BYTES + 2) / 3))

struct body {
	const char *manifest;
	json_t *tags;
};

static const struct json_field body_fields[] = {
	{ "manifest", JSON_FIELD_TEXT, offsetof(struct body, manifest), true, MAX_TEXT },
	{ "tags", JSON_FIELD_ARRAY, offsetof(struct body, tags), true, MAX_TAGS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* --- the rule --- */

static int refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_UNPROCESSABLE, "image.rewrap", "%s", why);
}

/* A copy without the packets of its layers. */
static json_t *without_packets(const json_t *manifest)
{
	json_t *copy = json_deep_copy(manifest), *layer;
	size_t i;

	json_array_foreach (json_object_get(copy, "layers"), i, layer) {
		if (ocicrypt_is_type(json_text(layer, "mediaType")))
			ocicrypt_strip(json_object_get(layer, "annotations"), PACKETS);
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

static int read_manifest(
	struct web_req *req, const char *text, struct manifest_bytes *ret_bytes, struct err *err)
{
	auto_free unsigned char *data = NULL;
	size_t len;

	if (codec_b64_decode(text, strlen(text), &data, &len, NULL) < 0 || len == 0 ||
		len > MANIFEST_MAX_BYTES)
		return refuse(err, "the manifest is not base64 of 1 byte to 4 MiB");
	ret_bytes->data = arena_dup(req->arena, data, len);
	ret_bytes->len = len;
	return 0;
}

/* Parses both and compares; what else is wrong with the new one is said when it is added. */
static int compare(struct web_req *req, const struct access *access, const struct image *image,
	const struct manifest_bytes *bytes, struct err *err)
{
	auto_json json_t *before = NULL, *after = NULL;
	char digest[DIGEST_TEXT_SIZE];
	const char *text;
	size_t len;

	digest_text(bytes->data, bytes->len, digest);
	if (strcmp(digest, image->digest) == 0)
		return refuse(err, "the new manifest is the old one");
	if (manifest_get_bytes(req, access, image->digest, &text, &len, err) < 0)
		return -1;
	before = json_parse(text, len, err);
	if (!before)
		return -1;
	after = json_parse(bytes->data, bytes->len, NULL);
	if (!after)
		return refuse(err, "the new manifest is no JSON");
	return rewrap_check(before, after, err);
}

static int swap(struct web_req *req, const struct access *access, const struct image *image,
	const struct body *body, const char **ret_id, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	auto_free char *tags = json_dumps(body->tags, JSON_COMPACT);
	const struct replaced replaced = {
		.id = image->id,
		.digest = image->digest,
		.revision = image->revision,
		.tags = tags,
		.grace_ms = conf->grace_ms,
	};
	struct manifest_bytes bytes = { .media_type = image->media_type, .replaces = &replaced };
	struct manifest manifest;

	if (read_manifest(req, body->manifest, &bytes, err) < 0 ||
		compare(req, access, image, &bytes, err) < 0 ||
		manifest_add(req, access, &bytes, &manifest, err) < 0)
		return -1;
	return store_image_id(req, access, manifest.digest, ret_id, err);
}

int image_rewrap(struct web_req *req, struct web_res *res, struct err *err)
{
	struct access access;
	struct image image;
	struct body body;
	const char *id;

	if (principal_need_role(req->principal, ROLES_IMAGES, err) < 0 ||
		json_decode(req->arena, req->json, body_fields, &body, err) < 0 ||
		read_tags(body.tags, err) < 0 ||
		store_image_get(req, web_param(req, "image_id"), &image, err) < 0 ||
		resource_if_match(req, image.revision, err) < 0)
		return -1;
	if (strcmp(image.kind, "image") != 0)
		return refuse(err, "only an image is wrapped anew; of an index each of its images");
	access = image_access(req, &image);
	if (swap(req, &access, &image, &body, &id, err) < 0)
		return -1;
	res->status = 201;
	return web_read_answer(req, res, &store_image_read, id, err);
}
