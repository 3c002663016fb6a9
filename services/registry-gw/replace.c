/* SPDX-License-Identifier: Apache-2.0 */
/* The handler of replace.h. The new manifest is put once more, so the tenant's rule of now is asked
 * of what gets the tags. */
#include "services/registry-gw/replace.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "proto/roles.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/manifest_backend.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/store_image.h"

#define MAX_TAGS 1000

struct body {
	const char *digest;
	json_t *tags;
};

static const struct json_field body_fields[] = {
	{ "digest", JSON_FIELD_TEXT, offsetof(struct body, digest), true, DIGEST_TEXT_SIZE - 1 },
	{ "tags", JSON_FIELD_ARRAY, offsetof(struct body, tags), true, MAX_TAGS },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int check_body(const struct body *body, const struct image *image, struct err *err)
{
	if (reference_is_digest(body->digest) && strcmp(body->digest, image->digest) != 0)
		return 0;
	return err_set(err, ERR_UNPROCESSABLE, "image.replace",
		"'digest' is that of another manifest in the same repository");
}

static int replace(struct web_req *req, const struct image *image, const struct body *body,
	const char **ret_id, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	const struct access access = image_access(req, image);
	auto_free char *tags = json_dumps(body->tags, JSON_COMPACT);
	const struct replaced replaced = {
		.id = image->id,
		.digest = image->digest,
		.parts = true,
		.revision = image->revision,
		.tags = tags,
		.grace_ms = conf->grace_ms,
	};
	struct manifest_bytes bytes = { .digest = body->digest, .replaces = &replaced };
	struct manifest manifest;

	if (store_manifest_find(req, &access, body->digest, &manifest, err) < 0 ||
		manifest_get_bytes(req, &access, body->digest, &bytes.data, &bytes.len, err) < 0)
		return -1;
	bytes.media_type = manifest.media_type;
	if (manifest_add(req, &access, &bytes, &manifest, err) < 0)
		return -1;
	return store_image_id(req, &access, manifest.digest, ret_id, err);
}

int image_replace(struct web_req *req, struct web_res *res, struct err *err)
{
	struct body body = { .tags = NULL };
	struct image image;
	const char *id;

	if (principal_need_role(req->principal, ROLES_IMAGES, err) < 0 ||
		json_decode(req->arena, req->json, body_fields, &body, err) < 0 ||
		store_image_get(req, web_param(req, "image_id"), &image, err) < 0 ||
		resource_if_match(req, image.revision, err) < 0 ||
		check_body(&body, &image, err) < 0 || replace(req, &image, &body, &id, err) < 0)
		return -1;
	return web_read_answer(req, res, &store_image_read, id, err);
}
