/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image documents of strangers: manifest, config and index. What is let through keeps its promises
 * (digests, sizes, counts), and what is refused has a code. The gateway's rule runs on every
 * manifest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/oci.h"
#include "lib/ocicrypt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_blob(const struct oci_blob *blob)
{
	unsigned char digest[DIGEST_SIZE];

	must(digest_parse(blob->digest, digest, NULL) == 0);
	must(blob->size >= 0 && blob->size <= OCI_MAX_BLOB);
	must(*blob->type && memchr(blob->type, '\0', sizeof(blob->type)));
}

static void check_manifest(const uint8_t *data, size_t size)
{
	auto_oci_manifest manifest = { .json = NULL };
	auto_json json_t *layers = NULL;
	struct err err = { .kind = ERR_NONE };

	if (oci_manifest_parse(data, size, &manifest, &err) < 0) {
		must(err.kind != ERR_NONE && *err.code && !manifest.json);
		return;
	}
	must(manifest.n_layers > 0 && manifest.n_layers <= OCI_MAX_LAYERS);
	check_blob(&manifest.config);
	must(manifest.config.size <= OCI_MAX_DOCUMENT);
	for (unsigned i = 0; i < manifest.n_layers; i++) {
		check_blob(&manifest.layers[i].blob);
		must(json_is_object(manifest.layers[i].descriptor));
	}
	if (ocicrypt_check_layers(manifest.json, &layers, &err) == 0) {
		must(json_array_size(layers) == manifest.n_layers);
		for (unsigned i = 0; i < manifest.n_layers; i++)
			must(manifest.layers[i].is_encrypted ==
				(json_array_size(json_array_get(layers, i)) > 0));
	}
}

static void check_config(const uint8_t *data, size_t size)
{
	auto_oci_config config = { .json = NULL };
	unsigned char digest[DIGEST_SIZE];
	struct err err = { .kind = ERR_NONE };

	if (oci_config_parse(data, size, 1, &config, &err) < 0) {
		must(err.kind != ERR_NONE && *err.code);
		return;
	}
	must(*config.architecture && *config.os && config.n_layers == 1);
	must(digest_parse(config.diff_ids[0], digest, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct oci_blob blob;
	struct err err = { .kind = ERR_NONE };

	check_manifest(data, size);
	check_config(data, size);
	if (oci_index_choose(data, size, "amd64", &blob, &err) == 0) {
		check_blob(&blob);
		must(blob.size <= OCI_MAX_DOCUMENT);
	} else {
		must(err.kind != ERR_NONE && *err.code);
	}
	return 0;
}
