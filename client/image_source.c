/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layouts and docker archives end in the same struct. The digests that count are the diff_ids of
 * the config: whoever reads a layer compares (image_stream.h), so blob digests are not computed as
 * well.
 */
#include "client/image_source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/image_unpack.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci_layout.h"

static int finish(struct image_source *source, struct err *err)
{
	if (strcmp(source->config.os, "linux") != 0)
		return err_set(err, ERR_UNPROCESSABLE, "image.platform", "the image is for '%.40s'",
			source->config.os);
	return 0;
}

/* --- OCI layouts --- */

static int layout_layer(
	const char *dir, const struct oci_layer *layer, char **ret_path, struct err *err)
{
	auto_fd int fd = -1;

	if (layer->is_encrypted)
		return err_set(err, ERR_UNPROCESSABLE, "image.already_encrypted",
			"layer %s is encrypted", layer->blob.digest);
	if (oci_layout_open(dir, &layer->blob, &fd, err) < 0)
		return -1;
	*ret_path = mem_printf("%s/blobs/sha256/%s", dir, layer->blob.digest + strlen("sha256:"));
	return 0;
}

static int open_layout(const char *dir, struct image_source *source, struct err *err)
{
	auto_buf text = BUF_INIT(OCI_MAX_DOCUMENT), config = BUF_INIT(OCI_MAX_DOCUMENT);
	auto_oci_manifest manifest = { .json = NULL };
	struct oci_blob blob;

	if (oci_layout_find(dir, NULL, &blob, err) < 0 ||
		oci_layout_read(dir, &blob, &text, err) < 0 ||
		oci_manifest_parse(text.data, text.len, &manifest, err) < 0 ||
		oci_layout_read(dir, &manifest.config, &config, err) < 0 ||
		oci_config_parse(config.data, config.len, manifest.n_layers, &source->config, err) <
			0)
		return -1;
	for (unsigned i = 0; i < manifest.n_layers; i++) {
		if (layout_layer(dir, &manifest.layers[i], &source->layers[i], err) < 0)
			return -1;
		source->n_layers++;
	}
	return finish(source, err);
}

/* --- docker archives --- */

static int bad_archive(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "image.archive", "docker archive: %s", what);
}

/* The file behind a name of the archive, as a document. */
static int read_entry(const json_t *names, const char *name, struct buf *buf, struct err *err)
{
	const char *path = name ? json_text(names, name) : NULL;

	if (!path)
		return bad_archive(err, "a file that it refers to is missing");
	return buf_read_file(buf, path, err);
}

static int docker_layers(
	const json_t *names, const json_t *layers, struct image_source *source, struct err *err)
{
	json_t *layer;
	size_t i;

	if (json_array_size(layers) == 0)
		return bad_archive(err, "the image has no layers");
	if (json_array_size(layers) > OCI_MAX_LAYERS)
		return err_set(err, ERR_TOO_LARGE, "limit.layers", "%zu layers, more than %d",
			json_array_size(layers), OCI_MAX_LAYERS);
	json_array_foreach (layers, i, layer) {
		const char *name = json_string_value(layer);
		const char *path = name ? json_text(names, name) : NULL;

		if (!path)
			return bad_archive(err, "a layer is missing");
		source->layers[source->n_layers++] = mem_strdup(path);
	}
	return 0;
}

static int open_docker(const json_t *names, struct image_source *source, struct err *err)
{
	auto_buf text = BUF_INIT(OCI_MAX_DOCUMENT), config = BUF_INIT(OCI_MAX_DOCUMENT);
	auto_json json_t *list = NULL;
	const json_t *image;

	if (read_entry(names, "manifest.json", &text, err) < 0)
		return -1;
	list = json_parse((const char *)text.data, text.len, err);
	if (!list)
		return err_wrap(err, "manifest.json of the docker archive");
	if (json_array_size(list) > 1)
		return err_set(err, ERR_INVALID, "image.many_images",
			"the archive holds %zu images", json_array_size(list));
	image = json_array_get(list, 0);
	if (docker_layers(names, json_object_get(image, "Layers"), source, err) < 0 ||
		read_entry(names, json_text(image, "Config"), &config, err) < 0 ||
		oci_config_parse(config.data, config.len, source->n_layers, &source->config, err) <
			0)
		return -1;
	return finish(source, err);
}

/* --- what is it? --- */

static int open_archive(
	const char *path, const char *dir, struct image_source *source, struct err *err)
{
	auto_json json_t *names = NULL;

	if (image_unpack(path, dir, &names, err) < 0)
		return -1;
	if (json_object_get(names, "oci-layout") && json_object_get(names, "index.json"))
		return open_layout(dir, source, err);
	if (json_object_get(names, "manifest.json"))
		return open_docker(names, source, err);
	return err_set(err, ERR_INVALID, "image.archive",
		"'%s' holds neither index.json nor manifest.json", path);
}

int image_source_open(
	const char *path, const char *dir, struct image_source *ret_source, struct err *err)
{
	struct image_source *source = mem_alloc(sizeof(*source));
	struct stat info;
	int result;

	if (stat(path, &info) < 0)
		result = err_set(err, ERR_INVALID, "image.archive", "there is no '%s'", path);
	else if (S_ISDIR(info.st_mode))
		result = open_layout(path, source, err);
	else
		result = open_archive(path, dir, source, err);
	if (result == 0)
		*ret_source = *source;
	else
		image_source_release(source);
	free(source);
	return result;
}

void image_source_release(struct image_source *source)
{
	for (unsigned i = 0; i < source->n_layers; i++)
		free(source->layers[i]);
	oci_config_release(&source->config);
	*source = (struct image_source) { .n_layers = 0 };
}
