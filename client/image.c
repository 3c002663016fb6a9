/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_prepare(): build or take, squash, encrypt, describe. What the image says about its program
 * (argv, env, working folder) goes to the caller for the policy; the config that is uploaded in
 * clear keeps architecture, os and the diff_id of the salted layer.
 */
#include "client/image.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/files.h"
#include "client/image_build.h"
#include "client/image_crypt.h"
#include "client/image_source.h"
#include "client/image_squash.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci_layout.h"

#define CHUNK 65536u

static void show(const struct image_conf *conf, const char *stage, long long done, long long total)
{
	if (conf->progress)
		conf->progress(conf->progress_arg, stage, done, total);
}

void image_result_release(struct image_result *result)
{
	free(result->layout);
	free(result->cwd);
	json_decref(result->argv);
	json_decref(result->env);
	*result = (struct image_result) { .layout = NULL };
}

/* --- what the image says about its program --- */

static int bad_config(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "oci.config", "%s", what);
}

/* Appends a list of texts; null and absence are empty. */
static int add_texts(json_t *list, const json_t *more, struct err *err)
{
	json_t *text;
	size_t i;

	if (more && !json_is_null(more) && !json_is_array(more))
		return bad_config(err, "Entrypoint or Cmd is no list");
	json_array_foreach (more, i, text) {
		if (!json_is_string(text))
			return bad_config(err, "Entrypoint or Cmd holds what is no text");
		json_array_append(list, text);
	}
	return 0;
}

static int read_env(const json_t *list, json_t *env, struct err *err)
{
	json_t *text;
	size_t i;

	json_array_foreach (list, i, text) {
		const char *pair = json_string_value(text),
			   *equals = pair ? strchr(pair, '=') : NULL;
		auto_free char *name = equals ? mem_strndup(pair, (size_t)(equals - pair)) : NULL;

		if (!name || !*name)
			return bad_config(err, "Env holds what is not NAME=value");
		json_object_set_new(env, name, json_string(equals + 1));
	}
	return 0;
}

static int describe(const struct oci_config *config, struct image_result *result, struct err *err)
{
	const json_t *run = json_object_get(config->json, "config");
	const char *cwd = json_text(run, "WorkingDir");

	result->argv = json_array();
	result->env = json_object();
	result->cwd = mem_strdup(cwd && *cwd ? cwd : "/");
	if (add_texts(result->argv, json_object_get(run, "Entrypoint"), err) < 0 ||
		add_texts(result->argv, json_object_get(run, "Cmd"), err) < 0)
		return -1;
	return read_env(json_object_get(run, "Env"), result->env, err);
}

/* --- the encrypted layout --- */

static int add_config(const char *dir, const struct oci_config *config, const char *diff_id,
	struct oci_blob *ret_blob, struct err *err)
{
	auto_json json_t *bare = json_pack("{s:s,s:s,s:{},s:{s:s,s:[s]}}", "architecture",
		config->architecture, "os", config->os, "config", "rootfs", "type", "layers",
		"diff_ids", diff_id);
	const char *variant = json_text(config->json, "variant");
	auto_free char *text = NULL;
	size_t len = 0;

	if (variant)
		json_object_set_new(bare, "variant", json_string(variant));
	if (jcs_encode(bare, &text, &len, err) < 0)
		return -1;
	return oci_layout_add(dir, OCI_TYPE_CONFIG, text, len, ret_blob, err);
}

static int copy(int in_fd, int out_fd, struct oci_blob *blob, struct err *err)
{
	auto_free char *chunk = mem_alloc(CHUNK);
	struct digest_stream *digest = digest_stream_new();
	ssize_t got;
	int done = 0;

	while (done == 0 && (got = pread(in_fd, chunk, CHUNK, blob->size)) > 0) {
		digest_stream_add(digest, chunk, (size_t)got);
		done = files_write_all(out_fd, chunk, (size_t)got, err);
		blob->size += got;
	}
	digest_stream_finish_text(digest, blob->digest);
	digest_stream_free(digest);
	return done == 0 && got < 0 ? err_errno(err, "read the layer") : done;
}

static int keep_plain(const char *dir, int fd, json_t *descriptor,
	char ret_digest[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_free char *path = NULL;
	struct oci_blob blob = { .size = 0 };
	auto_fd int out_fd = -1;

	if (oci_layout_new_blob(dir, &path, &out_fd, err) < 0)
		return -1;
	if (copy(fd, out_fd, &blob, err) < 0 ||
		oci_layout_keep_blob(dir, path, out_fd, blob.digest, err) < 0) {
		unlink(path);
		return -1;
	}
	json_object_set_new(descriptor, "digest", json_string(blob.digest));
	json_object_set_new(descriptor, "size", json_integer(blob.size));
	memcpy(ret_digest, blob.digest, DIGEST_TEXT_SIZE);
	return 0;
}

/* *ret_layer: the descriptor of the layer as it is in the layout. */
static int add_layer(const struct image_conf *conf, struct image_result *result, int fd,
	json_t **ret_layer, struct err *err)
{
	const struct image_crypt crypt = {
		.to = result->layout,
		.recipients = conf->recipients,
		.progress = conf->progress,
		.progress_arg = conf->progress_arg,
	};
	auto_json json_t *layer = json_pack("{s:s}", "mediaType", OCI_TYPE_LAYER_GZIP);
	char *inner = result->layers[0].inner;
	off_t size = lseek(fd, 0, SEEK_END);

	if (size < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "rewind the layer");
	if ((conf->recipients ? image_seal_layer(&crypt, fd, 0, size, layer, inner, err)
			      : keep_plain(result->layout, fd, layer, inner, err)) < 0)
		return -1;
	*ret_layer = take_ptr(layer);
	return 0;
}

static int add_manifest(const char *dir, const struct oci_blob *config, const json_t *layer,
	struct oci_blob *ret_blob, struct err *err)
{
	auto_json json_t *manifest = json_pack("{s:i,s:s,s:o,s:[O]}", "schemaVersion", 2,
		"mediaType", OCI_TYPE_MANIFEST, "config", oci_blob_json(config), "layers", layer);
	auto_free char *text = NULL;
	size_t len = 0;

	if (jcs_encode(manifest, &text, &len, err) < 0 ||
		oci_layout_add(dir, OCI_TYPE_MANIFEST, text, len, ret_blob, err) < 0)
		return -1;
	return oci_layout_index(dir, ret_blob, "latest", err);
}

/* The layer to encrypt is a file without a name: it is gone when `fd` is closed, whatever happens.
 */
static int seal(const struct image_conf *conf, const struct oci_config *config, int fd,
	const char *diff_id, struct image_result *result, struct err *err)
{
	struct oci_blob config_blob, manifest_blob;
	auto_json json_t *layer = NULL;

	if (oci_layout_create(result->layout, err) < 0 ||
		add_config(result->layout, config, diff_id, &config_blob, err) < 0 ||
		add_layer(conf, result, fd, &layer, err) < 0 ||
		add_manifest(result->layout, &config_blob, layer, &manifest_blob, err) < 0)
		return -1;
	memcpy(result->manifest, manifest_blob.digest, sizeof(result->manifest));
	memcpy(result->config, config_blob.digest, sizeof(result->config));
	memcpy(result->layers[0].diff_id, diff_id, DIGEST_TEXT_SIZE);
	result->n_layers = 1;
	result->size = config_blob.size + manifest_blob.size +
		       json_integer_value(json_object_get(layer, "size"));
	return 0;
}

static int squash_and_seal(const struct image_conf *conf, const struct image_source *source,
	struct image_result *result, struct err *err)
{
	char diff_id[DIGEST_TEXT_SIZE];
	auto_fd int fd = files_unnamed(conf->work_dir, err);

	if (fd < 0)
		return -1;
	show(conf, "convert", 0, 0);
	if (image_squash(source, fd, conf->progress, conf->progress_arg, diff_id, err) < 0)
		return -1;
	return seal(conf, &source->config, fd, diff_id, result, err);
}

/* --- all of it --- */

static int convert(const struct image_conf *conf, const char *archive, const char *unpacked,
	struct image_result *result, struct err *err)
{
	struct image_source *source = mem_alloc(sizeof(*source));
	int done = image_source_open(archive, unpacked, source, err);

	if (done == 0) {
		done = describe(&source->config, result, err);
		if (done == 0)
			done = squash_and_seal(conf, source, result, err);
		image_source_release(source);
	}
	free(source);
	return done;
}

static int prepare(const struct image_conf *conf, struct image_result *result, struct err *err)
{
	auto_free char *unpacked = mem_printf("%s/unpacked", conf->work_dir), *built = NULL;
	const char *archive = conf->archive;
	int done;

	if (!archive) {
		show(conf, "build", 0, 0);
		if (image_build(conf->context, conf->containerfile, conf->work_dir, &built, err) <
			0)
			return -1;
		archive = built;
	}
	if (files_tree_remove(unpacked, err) < 0)
		return -1;
	result->layout = mem_printf("%s/layout", conf->work_dir);
	done = convert(conf, archive, unpacked, result, err);
	if (built && unlink(built) < 0 && done == 0)
		done = err_errno(err, "remove '%s'", built);
	if (files_tree_remove(unpacked, done < 0 ? NULL : err) < 0)
		done = -1;
	return done;
}

/* libarchive reads and writes names in the charset of the thread's locale. */
int image_prepare(const struct image_conf *conf, struct image_result *ret_result, struct err *err)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
	struct image_result *result = mem_alloc(sizeof(*result));
	int done = prepare(conf, result, err);

	if (done == 0)
		*ret_result = *result;
	else
		image_result_release(result);
	free(result);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	return done;
}
