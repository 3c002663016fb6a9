/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two readers must not see two things in one document: its type is said once, and it has either
 * layers or children.
 */
#include "services/registry-gw/manifest_check.h"

#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/signature.h"

#define MAX_CHILDREN 256

static const struct {
	const char *media_type;
	bool index;
} types[] = {
	{ "application/vnd.oci.image.manifest.v1+json", false },
	{ "application/vnd.docker.distribution.manifest.v2+json", false },
	{ "application/vnd.oci.image.index.v1+json", true },
	{ "application/vnd.docker.distribution.manifest.list.v2+json", true },
};

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

	if (!digest || !reference_is_digest(digest))
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

/* The registry behind does not look for a blob that may be fetched from elsewhere. */
static int check_here(const json_t *manifest, struct err *err)
{
	const json_t *layers = json_object_get(manifest, "layers");
	json_t *layer;
	size_t i;

	json_array_foreach (layers, i, layer) {
		if (json_object_get(layer, "urls"))
			return err_set(err, ERR_INVALID, "manifest.invalid",
				"layer %zu: it has 'urls', but every layer must lie here", i);
	}
	return 0;
}

/* All layers are encrypted, and there are some. */
static bool are_encrypted(const json_t *layers)
{
	const json_t *layer;
	size_t i;

	json_array_foreach (layers, i, layer) {
		if (json_is_null(layer))
			return false;
	}
	return json_array_size(layers) > 0;
}

static bool are_signatures(const json_t *layers)
{
	const json_t *layer;
	size_t i;

	json_array_foreach (layers, i, layer) {
		const char *type = json_text(layer, "mediaType");

		if (!type || strcmp(type, SIGNATURE_TYPE) != 0)
			return false;
	}
	return json_array_size(layers) > 0;
}

static long long size_of(const json_t *descriptor)
{
	json_int_t size = json_integer_value(json_object_get(descriptor, "size"));

	return size > 0 ? size : 0;
}

static long long bytes_of(const json_t *manifest)
{
	const json_t *layers = json_object_get(manifest, "layers"), *layer;
	long long total = size_of(json_object_get(manifest, "config"));
	size_t i;

	json_array_foreach (layers, i, layer)
		total += size_of(layer);
	return total;
}

static int check_image(const json_t *manifest, struct manifest_facts *facts, struct err *err)
{
	const json_t *layers = json_object_get(manifest, "layers");
	struct err inner = { .kind = ERR_NONE };

	if (json_object_get(manifest, "manifests"))
		return invalid(err, "a manifest with layers has no 'manifests'");
	if (ocicrypt_check_layers(manifest, &facts->layers, &inner) < 0)
		return err_set(err, ERR_FORBIDDEN, "manifest.not_encrypted",
			"only encrypted images: %s", inner.detail);
	facts->encrypted = are_encrypted(facts->layers);
	facts->signature = are_signatures(layers);
	facts->bytes = bytes_of(manifest);
	if (check_here(manifest, err) < 0 ||
		add_link(facts->links, "config", json_object_get(manifest, "config"), err) < 0)
		return -1;
	return add_all(facts->links, "layer", layers, err);
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

/* --- what refers to what --- */

static int read_subject(const json_t *manifest, const char **ret_subject, struct err *err)
{
	const json_t *subject = json_object_get(manifest, "subject");

	*ret_subject = json_text(subject, "digest");
	if (!subject || (*ret_subject && reference_is_digest(*ret_subject)))
		return 0;
	return invalid(err, "the subject has no sha256 digest");
}

static int read_annotations(const json_t *manifest, const json_t **ret_annotations, struct err *err)
{
	json_t *annotations = json_object_get(manifest, "annotations"), *value;
	const char *name;

	if (annotations && !json_is_object(annotations))
		return invalid(err, "annotations are an object");
	json_object_foreach (annotations, name, value) {
		if (!json_is_string(value))
			return invalid(err, "annotations are texts");
	}
	*ret_annotations = annotations;
	return 0;
}

/* An image without an artifactType of its own has that of its config. */
static int read_artifact_type(
	const json_t *manifest, bool index, const char **ret_type, struct err *err)
{
	const json_t *own = json_object_get(manifest, "artifactType");

	if (own && !json_is_string(own))
		return invalid(err, "artifactType is a text");
	*ret_type = json_string_value(own);
	if (*ret_type && !**ret_type)
		*ret_type = NULL;
	if (!*ret_type && !index)
		*ret_type = json_text(json_object_get(manifest, "config"), "mediaType");
	return 0;
}

static int check(const json_t *manifest, const char *media_type, struct manifest_facts *facts,
	struct err *err)
{
	if (!json_is_object(manifest) ||
		json_integer_value(json_object_get(manifest, "schemaVersion")) != 2)
		return invalid(err, "not an object with schemaVersion 2");
	if (find_type(manifest, media_type, &facts->index, err) < 0)
		return -1;
	if ((facts->index ? check_index(manifest, facts->links, err)
			  : check_image(manifest, facts, err)) < 0)
		return -1;
	if (read_subject(manifest, &facts->subject, err) < 0 ||
		read_annotations(manifest, &facts->annotations, err) < 0)
		return -1;
	return read_artifact_type(manifest, facts->index, &facts->artifact_type, err);
}

int manifest_check(const json_t *manifest, const char *media_type, struct manifest_facts *ret_facts,
	struct err *err)
{
	struct manifest_facts facts = { .links = json_array() };

	if (check(manifest, media_type, &facts, err) < 0) {
		manifest_facts_release(&facts);
		return -1;
	}
	*ret_facts = facts;
	return 0;
}

void manifest_facts_release(struct manifest_facts *facts)
{
	json_decref(facts->links);
	json_decref(facts->layers);
}
