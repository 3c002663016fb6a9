/* SPDX-License-Identifier: Apache-2.0 */
/* Pushing and pulling are one walk (image_walk.h) in two directions: blobs before the document that
 * names them, so that nothing is ever named that is not there. */
#include "client/image_remote.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/image_walk.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci_layout.h"
#include "lib/ocicrypt.h"

struct image_remote {
	struct fetch *fetch;
	struct oci_registry *registry;
	image_progress *progress;
	void *progress_arg;
	/* of the walk under way */
	const char *layout, *stage;
	bool allow_plain;
	long long done, total;
};

/* --- references --- */

void image_ref_release(struct image_ref *ref)
{
	free(ref->repository);
	free(ref->tag);
	free(ref->digest);
	*ref = (struct image_ref) { .tag = NULL };
}

const char *image_ref_reference(const struct image_ref *ref)
{
	return ref->digest ? ref->digest : ref->tag;
}

int image_ref_parse(const char *text, struct image_ref *ret_ref, struct err *err)
{
	const char *at = strchr(text, '@'), *end = at ? at : text + strlen(text);
	const char *slash = memchr(text, '/', (size_t)(end - text));
	const char *colon = slash ? memchr(slash, ':', (size_t)(end - slash)) : NULL;
	unsigned char digest[DIGEST_SIZE];

	if (!slash)
		return err_set(err, ERR_INVALID, "registry.name",
			"'%.100s' is not TENANT/NAME, with :TAG or @DIGEST", text);
	if (at && digest_parse(at + 1, digest, NULL) < 0)
		return err_set(err, ERR_INVALID, "registry.name",
			"what follows '@' in '%.120s' is no digest", text);
	ret_ref->repository = mem_strndup(text, (size_t)((colon ? colon : end) - text));
	ret_ref->digest = at ? mem_strdup(at + 1) : NULL;
	if (colon)
		ret_ref->tag = mem_strndup(colon + 1, (size_t)(end - colon - 1));
	else
		ret_ref->tag = at ? NULL : mem_strdup("latest");
	return 0;
}

/* --- connection --- */

static void show(void *arg, long long done, long long total)
{
	const struct image_remote *remote = arg;

	(void)total;
	if (remote->progress)
		remote->progress(
			remote->progress_arg, remote->stage, remote->done + done, remote->total);
}

int image_remote_new(
	const struct image_remote_conf *conf, struct image_remote **ret_remote, struct err *err)
{
	struct image_remote *remote = mem_alloc(sizeof(*remote));
	struct oci_registry_conf registry = {
		.base_url = conf->base_url,
		.repository = conf->repository,
		.actions = conf->actions,
		.token = conf->token,
		.token_arg = conf->token_arg,
		.session_file = conf->session_file,
		.progress = show,
		.progress_arg = remote,
		.warned = conf->warned,
		.warned_arg = conf->warned_arg,
	};

	remote->progress = conf->progress;
	remote->progress_arg = conf->progress_arg;
	remote->fetch = fetch_new(
		&(struct fetch_conf) { .ca_file = conf->ca_file, .user_agent = "strongroom" });
	registry.fetch = remote->fetch;
	if (oci_registry_new(&registry, &remote->registry, err) < 0) {
		image_remote_free(remote);
		return -1;
	}
	*ret_remote = remote;
	return 0;
}

void image_remote_free(struct image_remote *remote)
{
	if (!remote)
		return;
	oci_registry_free(remote->registry);
	fetch_free(remote->fetch);
	free(remote);
}

struct oci_registry *image_remote_registry(struct image_remote *remote)
{
	return remote->registry;
}

int image_remote_find(struct image_remote *remote, const char *reference, json_t **ret_descriptor,
	struct err *err)
{
	auto_buf text = BUF_INIT(OCI_MAX_DOCUMENT);
	struct oci_blob blob = { .size = 0 };
	auto_json json_t *document = NULL;
	const char *type;

	if (oci_registry_get_manifest(remote->registry, reference, &text, err) < 0)
		return -1;
	document = json_parse((const char *)text.data, text.len, err);
	if (!document)
		return err_wrap(err, "%s", reference);
	type = json_text(document, "mediaType");
	if (!type)
		type = json_object_get(document, "manifests") ? OCI_TYPE_INDEX : OCI_TYPE_MANIFEST;
	snprintf(blob.type, sizeof(blob.type), "%s", type);
	digest_text(text.data, text.len, blob.digest);
	blob.size = (long long)text.len;
	*ret_descriptor = oci_blob_json(&blob);
	return 0;
}

/* --- pushing --- */

static int read_layout(void *arg, const struct oci_blob *document, struct buf *buf, struct err *err)
{
	const struct image_remote *remote = arg;

	return oci_layout_read(remote->layout, document, buf, err);
}

static int push_blob(void *arg, json_t *descriptor, struct err *err)
{
	struct image_remote *remote = arg;
	struct oci_blob blob;
	auto_fd int fd = -1;
	bool has = false;

	if (oci_blob_read(descriptor, &blob, err) < 0 ||
		oci_registry_has_blob(remote->registry, &blob, &has, err) < 0)
		return -1;
	if (!has && (oci_layout_open(remote->layout, &blob, &fd, err) < 0 ||
			    oci_registry_put_blob(remote->registry, &blob, fd, err) < 0))
		return -1;
	remote->done += blob.size;
	show(remote, 0, 0);
	return 0;
}

static int push_document(
	void *arg, const struct oci_blob *document, const void *text, size_t len, struct err *err)
{
	struct image_remote *remote = arg;

	return oci_registry_put_manifest(
		remote->registry, document->digest, document->type, text, len, err);
}

static int check_document(void *arg, json_t *descriptor, json_t *document, struct err *err)
{
	(void)arg;
	(void)descriptor;
	return json_object_get(document, "layers") ? ocicrypt_check_manifest(document, err) : 0;
}

static int push_tag(
	struct image_remote *remote, const json_t *descriptor, const char *tag, struct err *err)
{
	auto_buf text = BUF_INIT(OCI_MAX_DOCUMENT);
	struct oci_blob blob;

	if (oci_blob_read(descriptor, &blob, err) < 0 ||
		oci_layout_read(remote->layout, &blob, &text, err) < 0)
		return -1;
	return oci_registry_put_manifest(
		remote->registry, tag, blob.type, text.data, text.len, err);
}

int image_remote_push(struct image_remote *remote, const char *layout, json_t *descriptor,
	const char *tag, bool allow_plain, struct err *err)
{
	const struct image_walk check = {
		.read = read_layout,
		.document = allow_plain ? NULL : check_document,
		.arg = remote,
	};
	const struct image_walk push = {
		.read = read_layout,
		.layer = push_blob,
		.config = push_blob,
		.write = push_document,
		.arg = remote,
	};

	remote->layout = layout;
	remote->stage = "upload";
	remote->done = 0;
	if (image_walk(&check, descriptor, err) < 0 ||
		image_walk_size(&push, descriptor, &remote->total, err) < 0 ||
		image_walk(&push, descriptor, err) < 0)
		return -1;
	return tag ? push_tag(remote, descriptor, tag, err) : 0;
}

/* --- pulling --- */

static int read_remote(void *arg, const struct oci_blob *document, struct buf *buf, struct err *err)
{
	struct image_remote *remote = arg;

	return oci_registry_get_manifest(remote->registry, document->digest, buf, err);
}

/* From an earlier try. */
static bool has_blob(const struct image_remote *remote, const struct oci_blob *blob)
{
	auto_free char *path =
		mem_printf("%s/blobs/sha256/%s", remote->layout, blob->digest + strlen("sha256:"));
	char digest[DIGEST_TEXT_SIZE];
	long long size = 0;

	return access(path, F_OK) == 0 && digest_file(path, digest, &size, NULL) == 0 &&
	       size == blob->size && strcmp(digest, blob->digest) == 0;
}

static int fetch_blob(struct image_remote *remote, const struct oci_blob *blob, struct err *err)
{
	auto_free char *path = NULL;
	auto_fd int fd = -1;

	if (oci_layout_new_blob(remote->layout, &path, &fd, err) < 0)
		return -1;
	if (oci_registry_get_blob(remote->registry, blob, fd, err) < 0 ||
		oci_layout_keep_blob(remote->layout, path, fd, blob->digest, err) < 0) {
		unlink(path);
		return -1;
	}
	return 0;
}

static int pull_blob(void *arg, json_t *descriptor, struct err *err)
{
	struct image_remote *remote = arg;
	struct oci_blob blob;

	if (oci_blob_read(descriptor, &blob, err) < 0 ||
		(!has_blob(remote, &blob) && fetch_blob(remote, &blob, err) < 0))
		return -1;
	remote->done += blob.size;
	show(remote, 0, 0);
	return 0;
}

static int keep_document(
	void *arg, const struct oci_blob *document, const void *text, size_t len, struct err *err)
{
	const struct image_remote *remote = arg;
	struct oci_blob blob;

	return oci_layout_add(remote->layout, document->type, text, len, &blob, err);
}

int image_remote_pull(struct image_remote *remote, json_t *descriptor, const char *tag,
	const char *layout, struct err *err)
{
	const struct image_walk pull = {
		.read = read_remote,
		.layer = pull_blob,
		.config = pull_blob,
		.write = keep_document,
		.arg = remote,
	};
	struct oci_blob blob;

	remote->layout = layout;
	remote->stage = "download";
	remote->done = 0;
	if (oci_layout_create(layout, err) < 0 ||
		image_walk_size(&pull, descriptor, &remote->total, err) < 0 ||
		image_walk(&pull, descriptor, err) < 0 || oci_blob_read(descriptor, &blob, err) < 0)
		return -1;
	return oci_layout_index(layout, &blob, tag, err);
}
