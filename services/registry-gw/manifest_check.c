/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two readers must not see two things in one document: its type is said once, and it has either
 * layers or children.
 */
#include "services/registry-gw/manifest_check.h"

#include <string.h>

#include "lib/digest.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"

#define TAG_MAX_BYTES 128
#define MAX_CHILDREN 256
#define TAG_FIRST "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static const struct {
	const char *media_type;
	bool index;
} types[] = {
	{ "application/vnd.oci.image.manifest.v1+json", false },
	{ "application/vnd.docker.distribution.manifest.v2+json", false },
	{ "application/vnd.oci.image.index.v1+json", true },
	{ "application/vnd.docker.distribution.manifest.list.v2+json", true },
};

bool manifest_is_tag(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= TAG_MAX_BYTES && strchr(TAG_FIRST, text[0]) &&
	       strspn(text, TAG_FIRST ".-") == len;
}

static int invalid(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "manifest.invalid", "%s", what);
}

static int find_type(
	const json_t *manifest, const char *media_type, bool *ret_index, struct err *err)
{
	const json_t *own = json_object_get(manifest, "mediaType");

	if (own && (!json_is_string(own) || strcmp(json_string_value(own), media_type) != 0))
		return invalid(err, "mediaType differs from the Content-Type");
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(types[i].media_type, media_type) == 0) {
			*ret_index = types[i].index;
			return 0;
		}
	}
	return invalid(err, "the Content-Type is neither an OCI or docker manifest nor an index");
}

static int add_link(json_t *links, const char *kind, const json_t *descriptor, struct err *err)
{
	const char *digest = json_text(descriptor, "digest");
	unsigned char ignored[DIGEST_SIZE];

	if (!digest || digest_parse(digest, ignored, NULL) < 0)
		return err_set(
			err, ERR_INVALID, "manifest.invalid", "a %s has no sha256 digest", kind);
	return json_array_append_new(links, json_pack("[s, s]", kind, digest));
}

static int add_all(json_t *links, const char *kind, const json_t *list, struct err *err)
{
	json_t *descriptor;
	size_t i;

	json_array_foreach (list, i, descriptor) {
		if (add_link(links, kind, descriptor, err) < 0)
			return -1;
	}
	return 0;
}

static int check_image(const json_t *manifest, json_t *links, struct err *err)
{
	struct err inner = { .kind = ERR_NONE };

	if (json_object_get(manifest, "manifests"))
		return invalid(err, "a manifest with layers has no 'manifests'");
	if (ocicrypt_check_manifest(manifest, &inner) < 0)
		return err_set(err, ERR_FORBIDDEN, "manifest.not_encrypted",
			"only encrypted images: %s", inner.detail);
	if (add_link(links, "config", json_object_get(manifest, "config"), err) < 0)
		return -1;
	return add_all(links, "layer", json_object_get(manifest, "layers"), err);
}

static int check_index(const json_t *manifest, json_t *links, struct err *err)
{
	const json_t *children = json_object_get(manifest, "manifests");

	if (json_object_get(manifest, "layers") || json_object_get(manifest, "config"))
		return invalid(err, "an index has no 'layers' and no 'config'");
	if (!json_is_array(children) || json_array_size(children) > MAX_CHILDREN)
		return invalid(err, "an index has 'manifests', at most 256");
	return add_all(links, "manifest", children, err);
}

int manifest_check(const json_t *manifest, const char *media_type, bool *ret_index,
	json_t **ret_links, struct err *err)
{
	auto_json json_t *links = json_array();
	bool index = false;

	if (!json_is_object(manifest) ||
		json_integer_value(json_object_get(manifest, "schemaVersion")) != 2)
		return invalid(err, "not an object with schemaVersion 2");
	if (find_type(manifest, media_type, &index, err) < 0)
		return -1;
	if ((index ? check_index(manifest, links, err) : check_image(manifest, links, err)) < 0)
		return -1;
	*ret_index = index;
	*ret_links = take_ptr(links);
	return 0;
}
