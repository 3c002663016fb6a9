/* SPDX-License-Identifier: Apache-2.0 */
/* Everything here is a check: what passes can be used without looking again. */
#include "lib/oci.h"

#include <string.h>
#include <sys/utsname.h>

#include "lib/json.h"
#include "lib/mem.h"

#define ENCRYPTED "+encrypted"

static const char *const manifest_types[] = { OCI_TYPE_MANIFEST, OCI_TYPE_DOCKER_MANIFEST, NULL };
static const char *const index_types[] = { OCI_TYPE_INDEX, OCI_TYPE_DOCKER_INDEX, NULL };
static const char *const config_types[] = { OCI_TYPE_CONFIG,
	"application/vnd.docker.container.image.v1+json", NULL };
static const char *const layer_types[] = { "application/vnd.oci.image.layer.v1.tar",
	OCI_TYPE_LAYER_GZIP, "application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd", NULL };

static bool is_among(const char *const *types, const char *type, size_t len)
{
	for (; *types; types++) {
		if (strlen(*types) == len && memcmp(*types, type, len) == 0)
			return true;
	}
	return false;
}

static bool is_manifest(const char *type)
{
	return is_among(manifest_types, type, strlen(type));
}

bool oci_is_index(const char *type)
{
	return is_among(index_types, type, strlen(type));
}

/* --- descriptors --- */

int oci_blob_read(const json_t *descriptor, struct oci_blob *ret_blob, struct err *err)
{
	const char *type = json_text(descriptor, "mediaType");
	const char *digest = json_text(descriptor, "digest");
	const json_t *size = json_object_get(descriptor, "size");
	unsigned char bytes[DIGEST_SIZE];
	const char *what = NULL;

	if (!type || !*type || strlen(type) >= sizeof(ret_blob->type))
		what = "mediaType is missing or too long";
	else if (!digest || digest_parse(digest, bytes, NULL) < 0)
		what = "digest is not sha256: and 64 hex digits";
	else if (!json_is_integer(size) || json_integer_value(size) < 0 ||
		 json_integer_value(size) > OCI_MAX_BLOB)
		what = "size is missing or out of bounds";
	else if (json_object_get(descriptor, "urls"))
		what = "blobs of other places are not fetched (urls)";
	if (what)
		return err_set(err, ERR_INVALID, "oci.descriptor", "%s", what);
	memcpy(ret_blob->type, type, strlen(type) + 1);
	digest_format(bytes, ret_blob->digest);
	ret_blob->size = json_integer_value(size);
	return 0;
}

json_t *oci_blob_json(const struct oci_blob *blob)
{
	return json_pack("{s:s,s:s,s:I}", "mediaType", blob->type, "digest", blob->digest, "size",
		(json_int_t)blob->size);
}

/* A document of at most OCI_MAX_DOCUMENT bytes that is an object. */
static json_t *parse_document(const void *text, size_t len, const char *code, struct err *err)
{
	json_t *document;

	if (len > OCI_MAX_DOCUMENT) {
		err_set(err, ERR_TOO_LARGE, "oci.too_large", "more than %u bytes",
			OCI_MAX_DOCUMENT);
		return NULL;
	}
	document = json_parse(text, len, err);
	if (document && !json_is_object(document)) {
		json_decref(document);
		err_set(err, ERR_INVALID, code, "not an object");
		return NULL;
	}
	return document;
}

/* schemaVersion 2, and a mediaType (which may be missing) of the right kind. */
static bool is_version_2(const json_t *document, bool (*is_type)(const char *type))
{
	const json_t *version = json_object_get(document, "schemaVersion");
	const json_t *type = json_object_get(document, "mediaType");

	return json_is_integer(version) && json_integer_value(version) == 2 &&
	       (!type || (json_is_string(type) && is_type(json_string_value(type))));
}

/* --- manifest --- */

static int read_layer(const json_t *descriptor, struct oci_layer *ret_layer, struct err *err)
{
	const char *type = ret_layer->blob.type;
	size_t len;

	if (oci_blob_read(descriptor, &ret_layer->blob, err) < 0)
		return -1;
	len = strlen(type);
	ret_layer->is_encrypted =
		len > strlen(ENCRYPTED) && strcmp(type + len - strlen(ENCRYPTED), ENCRYPTED) == 0;
	if (ret_layer->is_encrypted)
		len -= strlen(ENCRYPTED);
	if (!is_among(layer_types, type, len))
		return err_set(
			err, ERR_INVALID, "oci.manifest", "media type '%s' is no layer's", type);
	ret_layer->descriptor = descriptor;
	return 0;
}

static int read_layers(const json_t *layers, struct oci_manifest *manifest, struct err *err)
{
	json_t *layer;
	size_t i;

	if (!json_is_array(layers) || json_array_size(layers) == 0)
		return err_set(err, ERR_INVALID, "oci.manifest", "there are no layers");
	if (json_array_size(layers) > OCI_MAX_LAYERS)
		return err_set(err, ERR_TOO_LARGE, "limit.layers", "%zu layers, more than %d",
			json_array_size(layers), OCI_MAX_LAYERS);
	json_array_foreach (layers, i, layer) {
		if (read_layer(layer, &manifest->layers[i], err) < 0)
			return err_wrap(err, "layer %zu", i);
	}
	manifest->n_layers = (unsigned)json_array_size(layers);
	return 0;
}

static int read_manifest(struct oci_manifest *manifest, struct err *err)
{
	if (!is_version_2(manifest->json, is_manifest))
		return err_set(err, ERR_INVALID, "oci.manifest",
			"schemaVersion or mediaType is not an image manifest's");
	if (oci_blob_read(json_object_get(manifest->json, "config"), &manifest->config, err) < 0)
		return err_wrap(err, "config");
	if (!is_among(config_types, manifest->config.type, strlen(manifest->config.type)))
		return err_set(err, ERR_INVALID, "oci.manifest", "media type '%s' is no config's",
			manifest->config.type);
	if (manifest->config.size > OCI_MAX_DOCUMENT)
		return err_set(err, ERR_TOO_LARGE, "oci.too_large",
			"a config of more than %u bytes", OCI_MAX_DOCUMENT);
	return read_layers(json_object_get(manifest->json, "layers"), manifest, err);
}

int oci_manifest_parse(
	const void *text, size_t len, struct oci_manifest *ret_manifest, struct err *err)
{
	auto_oci_manifest manifest = { .json = parse_document(text, len, "oci.manifest", err) };

	if (!manifest.json || read_manifest(&manifest, err) < 0)
		return -1;
	*ret_manifest = manifest;
	manifest.json = NULL;
	return 0;
}

void oci_manifest_release(struct oci_manifest *manifest)
{
	json_decref(manifest->json);
	manifest->json = NULL;
}

/* --- config --- */

static int read_diff_ids(
	const json_t *rootfs, unsigned n_layers, struct oci_config *config, struct err *err)
{
	const char *type = json_text(rootfs, "type");
	const json_t *diff_ids = json_object_get(rootfs, "diff_ids");

	if (!type || strcmp(type, "layers") != 0 || n_layers > OCI_MAX_LAYERS ||
		!json_is_array(diff_ids) || json_array_size(diff_ids) != n_layers)
		return err_set(err, ERR_INVALID, "oci.config",
			"rootfs does not name one diff_id for each layer");
	for (unsigned i = 0; i < n_layers; i++) {
		const char *text = json_string_value(json_array_get(diff_ids, i));
		unsigned char bytes[DIGEST_SIZE];

		if (!text || digest_parse(text, bytes, NULL) < 0)
			return err_set(
				err, ERR_INVALID, "oci.config", "diff_id %u is no digest", i);
		digest_format(bytes, config->diff_ids[i]);
	}
	config->n_layers = n_layers;
	return 0;
}

int oci_config_parse(const void *text, size_t len, unsigned n_layers, struct oci_config *ret_config,
	struct err *err)
{
	auto_oci_config config = { .json = parse_document(text, len, "oci.config", err) };

	if (!config.json)
		return -1;
	config.architecture = json_text(config.json, "architecture");
	config.os = json_text(config.json, "os");
	if (!config.architecture || !*config.architecture || !config.os || !*config.os)
		return err_set(err, ERR_INVALID, "oci.config", "architecture or os is missing");
	if (read_diff_ids(json_object_get(config.json, "rootfs"), n_layers, &config, err) < 0)
		return -1;
	*ret_config = config;
	config.json = NULL;
	return 0;
}

void oci_config_release(struct oci_config *config)
{
	json_decref(config->json);
	config->json = NULL;
}

/* --- index --- */

const char *oci_architecture(void)
{
	static const char *const names[][2] = { { "x86_64", "amd64" }, { "aarch64", "arm64" },
		{ "i686", "386" }, { "armv7l", "arm" } };
	static _Thread_local struct utsname machine;

	if (uname(&machine) < 0)
		return "unknown";
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(machine.machine, names[i][0]) == 0)
			return names[i][1];
	}
	return machine.machine;
}

static bool fits_platform(const json_t *descriptor, const char *architecture)
{
	const json_t *platform = json_object_get(descriptor, "platform");
	const char *os = json_text(platform, "os"), *found = json_text(platform, "architecture");

	return os && found && strcmp(os, "linux") == 0 && strcmp(found, architecture) == 0;
}

bool oci_is_attestation(const json_t *descriptor)
{
	return json_object_get(json_object_get(descriptor, "annotations"),
		       "vnd.docker.reference.type") != NULL;
}

/* How many different images there are; the first is in *ret_blob. `architecture` NULL: any. */
static int count_images(const json_t *manifests, const char *architecture,
	struct oci_blob *ret_blob, unsigned *ret_count, struct err *err)
{
	struct oci_blob blob = { .size = 0 };
	unsigned count = 0;
	json_t *descriptor;
	size_t i;

	json_array_foreach (manifests, i, descriptor) {
		if (oci_is_attestation(descriptor) ||
			(architecture && !fits_platform(descriptor, architecture)))
			continue;
		if (oci_blob_read(descriptor, &blob, err) < 0)
			return err_wrap(err, "manifest %zu of the index", i);
		if (!oci_is_index(blob.type) && !is_manifest(blob.type))
			continue;
		if (count == 0)
			*ret_blob = blob;
		if (count == 0 || strcmp(ret_blob->digest, blob.digest) != 0)
			count++;
	}
	*ret_count = count;
	return 0;
}

int oci_index_choose(const void *text, size_t len, const char *architecture,
	struct oci_blob *ret_blob, struct err *err)
{
	auto_json json_t *index = parse_document(text, len, "oci.index", err);
	const json_t *manifests = json_object_get(index, "manifests");
	struct oci_blob blob = { .size = 0 };
	unsigned count = 0;

	if (!index)
		return -1;
	if (!is_version_2(index, oci_is_index) || !json_is_array(manifests))
		return err_set(err, ERR_INVALID, "oci.index", "not an image index");
	if (!architecture)
		architecture = oci_architecture();
	if (count_images(manifests, NULL, &blob, &count, err) < 0 ||
		(count > 1 && count_images(manifests, architecture, &blob, &count, err) < 0))
		return -1;
	if (count != 1)
		return err_set(err, ERR_INVALID, count ? "oci.ambiguous" : "oci.index",
			count ? "%u images for linux/%s" : "%u images (linux/%s)", count,
			architecture);
	if (blob.size > OCI_MAX_DOCUMENT)
		return err_set(err, ERR_TOO_LARGE, "oci.too_large",
			"a manifest of more than %u bytes", OCI_MAX_DOCUMENT);
	*ret_blob = blob;
	return 0;
}
