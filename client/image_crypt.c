/* SPDX-License-Identifier: Apache-2.0 */
/* Both directions are one walk (image_walk.h) whose step over a layer writes another blob. */
#include "client/image_crypt.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/files.h"
#include "client/image_inner.h"
#include "client/image_walk.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci_layout.h"

#define ENCRYPTED "+encrypted"

struct work {
	const struct image_crypt *crypt;
	long long done, total;
};

struct part { /* of the progress: one layer */
	const struct image_crypt *crypt;
	const char *stage;
	long long done, total;
};

static void show(void *arg, long long done)
{
	const struct part *part = arg;

	if (part->crypt->progress)
		part->crypt->progress(
			part->crypt->progress_arg, part->stage, part->done + done, part->total);
}

/* --- one layer --- */

/* What the descriptor has of other kinds stays. */
static void describe(json_t *descriptor, const struct ocicrypt_result *sealed)
{
	json_t *annotations = json_object_get(descriptor, "annotations");

	json_object_set_new(descriptor, "digest", json_string(sealed->digest));
	json_object_set_new(descriptor, "size", json_integer(sealed->size));
	if (annotations)
		json_object_update(annotations, sealed->annotations);
	else
		json_object_set(descriptor, "annotations", sealed->annotations);
}

static int seal(
	const struct part *part, int in_fd, struct ocicrypt_result *ret_sealed, struct err *err)
{
	const struct ocicrypt_watch watch = { show, (void *)part };
	struct ocicrypt_result sealed = { .annotations = NULL };
	auto_free char *path = NULL;
	auto_fd int out_fd = -1;

	if (oci_layout_new_blob(part->crypt->to, &path, &out_fd, err) < 0)
		return -1;
	if (ocicrypt_encrypt(in_fd, out_fd, part->crypt->recipients, &watch, &sealed, err) < 0 ||
		oci_layout_keep_blob(part->crypt->to, path, out_fd, sealed.digest, err) < 0) {
		json_decref(sealed.annotations);
		unlink(path);
		return -1;
	}
	*ret_sealed = sealed;
	return 0;
}

int image_seal_layer(const struct image_crypt *crypt, int in_fd, long long done, long long total,
	json_t *descriptor, char ret_inner[DIGEST_TEXT_SIZE], struct err *err)
{
	const struct part part = {
		.crypt = crypt, .stage = "encrypt", .done = done, .total = total
	};
	auto_free char *type = mem_printf("%s" ENCRYPTED, json_text(descriptor, "mediaType"));
	struct ocicrypt_result sealed;

	if (seal(&part, in_fd, &sealed, err) < 0)
		return -1;
	memcpy(ret_inner, sealed.inner_digest, DIGEST_TEXT_SIZE);
	json_object_set_new(descriptor, "mediaType", json_string(type));
	describe(descriptor, &sealed);
	json_decref(sealed.annotations);
	return 0;
}

static int encrypt_layer(void *arg, json_t *descriptor, struct err *err)
{
	struct work *work = arg;
	char inner[DIGEST_TEXT_SIZE];
	struct oci_blob blob;
	auto_fd int fd = -1;

	if (oci_blob_read(descriptor, &blob, err) < 0 ||
		oci_layout_open(work->crypt->from, &blob, &fd, err) < 0 ||
		image_seal_layer(work->crypt, fd, work->done, work->total, descriptor, inner, err) <
			0)
		return -1;
	if (strcmp(inner, blob.digest) != 0)
		return err_set(
			err, ERR_INVALID, "oci.digest", "%s has digest %s", blob.digest, inner);
	work->done += blob.size;
	return 0;
}

static int decrypt_to(const struct part *part, const json_t *descriptor,
	struct ocicrypt_layer *layer, int out_fd, char ret_digest[DIGEST_TEXT_SIZE],
	struct err *err)
{
	const struct ocicrypt_watch watch = { show, (void *)part };
	struct err inner = { .kind = ERR_NONE };
	struct oci_blob blob;
	auto_fd int in_fd = -1;

	if (oci_blob_read(descriptor, &blob, err) < 0 ||
		oci_layout_open(part->crypt->from, &blob, &in_fd, err) < 0 ||
		ocicrypt_add_file(layer, in_fd, blob.digest, err) < 0)
		return -1;
	if (ocicrypt_decrypt(layer, in_fd, out_fd, &watch, &inner) == 0) {
		memcpy(ret_digest, ocicrypt_inner_digest(layer), DIGEST_TEXT_SIZE);
		return 0;
	}
	if (strcmp(inner.code, "image.inner_digest") == 0)
		return image_inner_check(out_fd, ocicrypt_inner_digest(layer), ret_digest, err);
	if (err)
		*err = inner;
	return -1;
}

/* The layer behind the descriptor goes to `out_fd`, and the descriptor says so. */
static int open_layer(struct work *work, json_t *descriptor, int out_fd, struct err *err)
{
	const struct part part = {
		.crypt = work->crypt, .stage = "decrypt", .done = work->done, .total = work->total
	};
	const char *type = json_text(descriptor, "mediaType");
	json_t *annotations = json_object_get(descriptor, "annotations");
	struct ocicrypt_layer *layer = NULL;
	char digest[DIGEST_TEXT_SIZE];
	auto_free char *bare = NULL;
	int done;

	if (ocicrypt_open(descriptor, work->crypt->keys, &layer, err) < 0)
		return -1;
	done = decrypt_to(&part, descriptor, layer, out_fd, digest, err);
	if (done == 0) {
		bare = mem_strndup(type, strlen(type) - strlen(ENCRYPTED));
		json_object_set_new(descriptor, "mediaType", json_string(bare));
		json_object_set_new(descriptor, "digest", json_string(digest));
		ocicrypt_strip(annotations, OCICRYPT_ANNOTATIONS);
		if (json_object_size(annotations) == 0)
			json_object_del(descriptor, "annotations");
		work->done += json_integer_value(json_object_get(descriptor, "size"));
	}
	ocicrypt_layer_free(layer);
	return done;
}

/* The blob has its name only when all of it is known to be right. */
static int decrypt_layer(void *arg, json_t *descriptor, struct err *err)
{
	struct work *work = arg;
	auto_free char *path = NULL;
	auto_fd int fd = -1;

	if (oci_layout_new_blob(work->crypt->to, &path, &fd, err) < 0)
		return -1;
	if (open_layer(work, descriptor, fd, err) < 0 ||
		oci_layout_keep_blob(
			work->crypt->to, path, fd, json_text(descriptor, "digest"), err) < 0) {
		unlink(path);
		return -1;
	}
	return 0;
}

static int reencrypt_layer(void *arg, json_t *descriptor, struct err *err)
{
	struct work *work = arg;
	auto_fd int fd = files_unnamed(work->crypt->to, err);
	long long before = work->done;
	char inner[DIGEST_TEXT_SIZE];

	if (fd < 0 || open_layer(work, descriptor, fd, err) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "rewind the layer");
	return image_seal_layer(work->crypt, fd, before, work->total, descriptor, inner, err);
}

/* --- the rest of an image --- */

static int read_from(void *arg, const struct oci_blob *document, struct buf *buf, struct err *err)
{
	const struct work *work = arg;

	return oci_layout_read(work->crypt->from, document, buf, err);
}

static int write_to(
	void *arg, const struct oci_blob *document, const void *text, size_t len, struct err *err)
{
	const struct work *work = arg;
	struct oci_blob blob;

	return oci_layout_add(work->crypt->to, document->type, text, len, &blob, err);
}

static int copy_config(void *arg, json_t *descriptor, struct err *err)
{
	auto_buf text = BUF_INIT(OCI_MAX_DOCUMENT);
	struct oci_blob blob;

	if (oci_blob_read(descriptor, &blob, err) < 0 || read_from(arg, &blob, &text, err) < 0)
		return -1;
	return write_to(arg, &blob, text.data, text.len, err);
}

/* Docker's manifests have no annotations, so that skopeo makes them OCI's as well. */
static const char *const spellings[][2] = {
	{ OCI_TYPE_DOCKER_MANIFEST, OCI_TYPE_MANIFEST },
	{ OCI_TYPE_DOCKER_INDEX, OCI_TYPE_INDEX },
	{ "application/vnd.docker.container.image.v1+json", OCI_TYPE_CONFIG },
	{ "application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.oci.image.layer.v1.tar" },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", OCI_TYPE_LAYER_GZIP },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd",
		"application/vnd.oci.image.layer.v1.tar+zstd" },
};

static void spell(json_t *object)
{
	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		if (json_text_is(object, "mediaType", spellings[i][0]))
			json_object_set_new(object, "mediaType", json_string(spellings[i][1]));
	}
}

/* What was built from what, in clear beside an encrypted image, is what nobody meant. */
static void drop_attestations(json_t *manifests)
{
	for (size_t i = json_array_size(manifests); i-- > 0;) {
		if (oci_is_attestation(json_array_get(manifests, i)))
			json_array_remove(manifests, i);
	}
}

static int prepare(void *arg, json_t *descriptor, json_t *document, struct err *err)
{
	json_t *layer;
	size_t i;

	(void)arg;
	spell(descriptor);
	spell(document);
	spell(json_object_get(document, "config"));
	drop_attestations(json_object_get(document, "manifests"));
	json_array_foreach (json_object_get(document, "layers"), i, layer) {
		spell(layer);
		if (ocicrypt_is_type(json_text(layer, "mediaType")))
			return err_set(err, ERR_UNPROCESSABLE, "image.already_encrypted",
				"layer %zu is encrypted: who else may open it is changed by "
				"'image rewrap'",
				i);
	}
	return 0;
}

/* --- layouts --- */

static int walk_all(const struct image_walk *walk, struct work *work, struct err *err)
{
	auto_json json_t *index = NULL;
	json_t *descriptor;
	long long size;
	size_t i;

	if (oci_layout_list(work->crypt->from, &index, err) < 0 ||
		oci_layout_create(work->crypt->to, err) < 0)
		return -1;
	json_array_foreach (json_object_get(index, "manifests"), i, descriptor) {
		if (image_walk_size(walk, descriptor, &size, err) < 0)
			return -1;
		work->total += size;
	}
	json_array_foreach (json_object_get(index, "manifests"), i, descriptor) {
		if (image_walk(walk, descriptor, err) < 0)
			return -1;
	}
	return oci_layout_write_index(work->crypt->to, index, err);
}

static int transform(const struct image_crypt *crypt,
	int (*document)(void *arg, json_t *descriptor, json_t *document, struct err *err),
	int (*layer)(void *arg, json_t *descriptor, struct err *err), struct err *err)
{
	struct work work = { .crypt = crypt };
	const struct image_walk walk = {
		.read = read_from,
		.document = document,
		.layer = layer,
		.config = copy_config,
		.write = write_to,
		.arg = &work,
	};

	return walk_all(&walk, &work, err);
}

int image_encrypt(const struct image_crypt *crypt, struct err *err)
{
	return transform(crypt, prepare, encrypt_layer, err);
}

int image_decrypt(const struct image_crypt *crypt, struct err *err)
{
	return transform(crypt, NULL, decrypt_layer, err);
}

int image_reencrypt(const struct image_crypt *crypt, struct err *err)
{
	return transform(crypt, NULL, reencrypt_layer, err);
}
