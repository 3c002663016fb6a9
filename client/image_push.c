/* SPDX-License-Identifier: Apache-2.0 */
/* image_push(): blobs first, those that the registry has left out; then the manifest by digest and
 * by tag. Where an upload stands is kept beside the layout, for the next process. */
#include <stdlib.h>
#include <string.h>

#include "client/image.h"
#include "lib/mem.h"
#include "lib/oci_layout.h"
#include "lib/oci_registry.h"

struct push {
	const struct image_push_conf *conf;
	struct oci_registry *registry;
	long long done, total;
};

static void show(void *arg, long long done, long long total)
{
	const struct push *push = arg;

	(void)total;
	if (push->conf->progress)
		push->conf->progress(
			push->conf->progress_arg, "upload", push->done + done, push->total);
}

static int push_blob(struct push *push, const struct oci_blob *blob, struct err *err)
{
	auto_fd int fd = -1;
	bool has = false;

	if (oci_registry_has_blob(push->registry, blob, &has, err) < 0)
		return -1;
	if (!has && (oci_layout_open(push->conf->layout, blob, &fd, err) < 0 ||
			    oci_registry_put_blob(push->registry, blob, fd, err) < 0))
		return -1;
	push->done += blob->size;
	show(push, 0, 0);
	return 0;
}

static int push_all(struct push *push, const struct oci_blob *blob, struct err *err)
{
	auto_buf text = BUF_INIT(OCI_MAX_DOCUMENT);
	auto_oci_manifest manifest = { .json = NULL };
	const char *tag = push->conf->tag ? push->conf->tag : "latest";

	if (oci_layout_read(push->conf->layout, blob, &text, err) < 0 ||
		oci_manifest_parse(text.data, text.len, &manifest, err) < 0)
		return -1;
	push->total = manifest.config.size;
	for (unsigned i = 0; i < manifest.n_layers; i++)
		push->total += manifest.layers[i].blob.size;
	for (unsigned i = 0; i < manifest.n_layers; i++) {
		if (push_blob(push, &manifest.layers[i].blob, err) < 0)
			return err_wrap(err, "layer %u", i);
	}
	if (push_blob(push, &manifest.config, err) < 0)
		return err_wrap(err, "config");
	if (oci_registry_put_manifest(
		    push->registry, blob->digest, blob->type, text.data, text.len, err) < 0)
		return -1;
	return oci_registry_put_manifest(push->registry, tag, blob->type, text.data, text.len, err);
}

static int find(const struct image_push_conf *conf, struct oci_blob *ret_blob, struct err *err)
{
	struct oci_blob blob;

	if (oci_layout_find(conf->layout, NULL, &blob, err) < 0)
		return -1;
	if (strcmp(blob.digest, conf->manifest) != 0)
		return err_set(err, ERR_INVALID, "oci.digest", "'%s' holds %s, not %s",
			conf->layout, blob.digest, conf->manifest);
	*ret_blob = blob;
	return 0;
}

int image_push(const struct image_push_conf *conf, struct err *err)
{
	struct fetch *fetch = fetch_new(
		&(struct fetch_conf) { .ca_file = conf->ca_file, .user_agent = "strongroom" });
	auto_free char *session = mem_printf("%s.upload", conf->layout);
	struct push push = { .conf = conf };
	struct oci_registry_conf registry = {
		.fetch = fetch,
		.base_url = conf->base_url,
		.repository = conf->repository,
		.actions = "pull,push",
		.token = conf->token,
		.token_arg = conf->token_arg,
		.session_file = session,
		.progress = show,
		.progress_arg = &push,
	};
	struct oci_blob manifest;
	int result = find(conf, &manifest, err);

	if (result == 0)
		result = oci_registry_new(&registry, &push.registry, err);
	if (result == 0)
		result = push_all(&push, &manifest, err);
	oci_registry_free(push.registry);
	fetch_free(fetch);
	return result;
}
