/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom image rewrap|reencrypt: other recipients for an image in the registry. Rewrapping
 * makes new manifests around the old blobs, reencrypting makes everything anew: who had the old key
 * may have kept layer keys, and then only the latter helps. Either way the digest changes, which
 * policies may pin.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd_image.h"
#include "client/files.h"
#include "client/image_crypt.h"
#include "client/image_keys.h"
#include "client/image_walk.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci_layout.h"

struct change {
	struct session *session;
	const struct cli *cli;
	struct image_ref ref;
	struct image_remote *remote;
	json_t *record;	    /* the registry's, of the old image */
	json_t *descriptor; /* of the old image, then of the new one */
	struct ocicrypt_keys keys, recipients;
	json_t *old;	   /* digests of the old documents, the top one first */
	json_t *documents; /* rewrapped: [{descriptor…, "text": base64}], the top one last */
};

static void change_release(struct change *change)
{
	image_ref_release(&change->ref);
	image_remote_free(change->remote);
	json_decref(change->record);
	json_decref(change->descriptor);
	json_decref(change->old);
	json_decref(change->documents);
	ocicrypt_keys_release(&change->keys);
	ocicrypt_keys_release(&change->recipients);
}

static int read_document(
	void *arg, const struct oci_blob *document, struct buf *buf, struct err *err)
{
	const struct change *change = arg;

	return oci_registry_get_manifest(
		image_remote_registry(change->remote), document->digest, buf, err);
}

static int note_old(void *arg, json_t *descriptor, json_t *document, struct err *err)
{
	struct change *change = arg;

	(void)document;
	(void)err;
	json_array_append(change->old, json_object_get(descriptor, "digest"));
	return 0;
}

static int change_open(struct change *change, struct err *err)
{
	const struct cli *cli = change->cli;
	const struct image_walk note = {
		.read = read_document, .document = note_old, .arg = change
	};

	if (image_keys_private(cli, false, &change->keys, err) < 0 ||
		image_keys_recipients(cli, false, &change->recipients, err) < 0 ||
		image_ref_parse(cli->arguments[1], &change->ref, err) < 0 ||
		image_find_record(change->session, &change->ref, &change->record, err) < 0 ||
		image_open_remote(change->session, cli, &change->ref, "pull,push", NULL,
			&change->remote, err) < 0)
		return -1;
	change->old = json_array();
	if (image_remote_find(change->remote, json_text(change->record, "digest"),
		    &change->descriptor, err) < 0)
		return -1;
	return image_walk(&note, change->descriptor, err);
}

/* --- who pins the old one --- */

static int show_pins(struct change *change, size_t *ret_pins, struct err *err)
{
	auto_free char *path =
		mem_printf("/v1/policies?image=%s", json_text(change->record, "digest"));
	struct api_call call = {
		.label = "find-policies", .audience = "policy", .method = "GET", .path = path
	};
	auto_json json_t *page = NULL;
	const json_t *items;
	json_t *policy;
	size_t i;

	if (api_call(change->session->api, &call, &page, NULL, err) < 0)
		return -1;
	items = json_object_get(page, "items");
	json_array_foreach (items, i, policy) {
		ui_warn(change->cli->ui, "policy %s (%s) pins this image by its digest",
			json_text(policy, "id"), json_text(policy, "name"));
	}
	*ret_pins = json_array_size(items);
	return 0;
}

static int confirm(struct change *change, struct err *err)
{
	auto_free char *tags = session_list_text(json_object_get(change->record, "tags"));
	auto_free char *what = NULL;
	size_t pins = 0;

	if (show_pins(change, &pins, err) < 0)
		return -1;
	what = mem_printf("%s@%s (tags: %s) is replaced; policies that pin it: %zu%s",
		change->ref.repository, json_text(change->record, "digest"), tags, pins,
		pins ? ", whose runs find no image any more" : "");
	return cli_confirm(change->cli, what, err);
}

static int tell(const struct change *change)
{
	ui_result(change->cli->ui,
		json_pack("{s:s,s:O,s:O,s:O}", "repository", change->ref.repository, "old",
			json_object_get(change->record, "digest"), "manifest",
			json_object_get(change->descriptor, "digest"), "tags",
			json_object_get(change->record, "tags")),
		"%s@%s", change->ref.repository, json_text(change->descriptor, "digest"));
	return 0;
}

/* --- rewrap --- */

static int rewrap_layer(void *arg, json_t *descriptor, struct err *err)
{
	const struct change *change = arg;

	return ocicrypt_rewrap(descriptor, &change->keys, &change->recipients, err);
}

static int keep_document(
	void *arg, const struct oci_blob *document, const void *text, size_t len, struct err *err)
{
	struct change *change = arg;
	auto_free char *encoded = codec_b64_text(text, len);
	json_t *kept = oci_blob_json(document);

	(void)err;
	json_object_set_new(kept, "text", json_string(encoded));
	json_array_append_new(change->documents, kept);
	return 0;
}

static bool is_old(const struct change *change, const char *digest)
{
	const json_t *old;
	size_t i;

	json_array_foreach (change->old, i, old) {
		if (strcmp(json_string_value(old), digest) == 0)
			return true;
	}
	return false;
}

/* What an index names, as far as it became something else. */
static json_t *changed_children(const struct change *change)
{
	json_t *children = json_array();
	size_t n = json_array_size(change->documents);

	for (size_t i = 0; i + 1 < n; i++) {
		const json_t *kept = json_array_get(change->documents, i);

		if (!is_old(change, json_text(kept, "digest")))
			json_array_append(children, json_object_get(kept, "text"));
	}
	return children;
}

/* The gateway takes one image, or index with its images, for another in one step. */
static int swap(struct change *change, const char *how, json_t *body, struct err *err)
{
	auto_free char *path = mem_printf("/v1/images/%s:%s", json_text(change->record, "id"), how);

	json_object_set(body, "tags", json_object_get(change->record, "tags"));
	return session_change(change->session,
		&(const struct api_call) { .audience = "registry-gw",
			.method = "POST",
			.path = path,
			.body = body,
			.etag = json_text(change->record, "etag") },
		NULL, err);
}

static int swap_documents(struct change *change, struct err *err)
{
	const json_t *top =
		json_array_get(change->documents, json_array_size(change->documents) - 1);
	auto_json json_t *body = json_pack("{s:O,s:o}", "manifest", json_object_get(top, "text"),
		"children", changed_children(change));

	return swap(change, "rewrap", body, err);
}

/* Its old packets still open. */
static int tell_staying(const struct change *change, const char *digest, struct err *err)
{
	auto_free char *path =
		mem_printf("/v1/images?repository=%s&digest=%s", change->ref.repository, digest);
	struct api_call call = {
		.label = "find-images", .audience = "registry-gw", .method = "GET", .path = path
	};
	auto_json json_t *page = NULL;

	if (api_call(change->session->api, &call, &page, NULL, err) < 0)
		return -1;
	if (json_array_size(json_object_get(page, "items")) > 0)
		ui_warn(change->cli->ui, "%s stays as it was: an index or a tag names it", digest);
	return 0;
}

static int tell_all_staying(const struct change *change, struct err *err)
{
	const json_t *old;
	size_t i;

	json_array_foreach (change->old, i, old) {
		if (tell_staying(change, json_string_value(old), err) < 0)
			return -1;
	}
	return 0;
}

static int rewrap(struct change *change, struct err *err)
{
	const struct image_walk walk = {
		.read = read_document,
		.layer = rewrap_layer,
		.write = keep_document,
		.arg = change,
	};

	change->documents = json_array();
	if (change_open(change, err) < 0 || image_walk(&walk, change->descriptor, err) < 0 ||
		confirm(change, err) < 0 || swap_documents(change, err) < 0 ||
		tell_all_staying(change, err) < 0)
		return -1;
	return tell(change);
}

int image_rewrap_verb(struct session *session, const struct cli *cli, struct err *err)
{
	struct change change = { .session = session, .cli = cli };
	int done = rewrap(&change, err);

	change_release(&change);
	return done;
}

/* --- reencrypt --- */

/* `to` is pushed by its digest; killed up to there, every tag is where it was. */
static int replace(struct change *change, const char *to, struct err *err)
{
	auto_json json_t *index = NULL, *body = NULL;

	if (oci_layout_list(to, &index, err) < 0)
		return -1;
	json_decref(change->descriptor);
	change->descriptor = json_incref(json_array_get(json_object_get(index, "manifests"), 0));
	if (image_remote_push(change->remote, to, change->descriptor, NULL, false, err) < 0)
		return -1;
	body = json_pack("{s:O}", "digest", json_object_get(change->descriptor, "digest"));
	if (swap(change, "replace", body, err) < 0)
		return -1;
	return tell_all_staying(change, err);
}

static int reencrypt_in(struct change *change, const char *work, struct err *err)
{
	auto_free char *from = mem_printf("%s/old", work), *to = mem_printf("%s/new", work);
	const struct image_crypt crypt = {
		.from = from,
		.to = to,
		.keys = &change->keys,
		.recipients = &change->recipients,
		.progress = ui_progress_stage,
		.progress_arg = change->cli->ui,
	};

	if (image_remote_pull(change->remote, change->descriptor, NULL, from, err) < 0 ||
		image_reencrypt(&crypt, err) < 0)
		return -1;
	return replace(change, to, err);
}

static int reencrypt(struct change *change, struct err *err)
{
	const char *temporary = getenv("TMPDIR") ? getenv("TMPDIR") : "/var/tmp";
	auto_free char *work = mem_printf("%s/strongroom-image.XXXXXX", temporary);
	struct err ignored = { 0 };
	int done;

	if (change_open(change, err) < 0 || confirm(change, err) < 0)
		return -1;
	if (!mkdtemp(work))
		return err_errno(err, "make a folder in '%s'", temporary);
	done = reencrypt_in(change, work, err);
	if (files_tree_remove(work, done < 0 ? &ignored : err) < 0)
		done = -1;
	return done < 0 ? -1 : tell(change);
}

int image_reencrypt_verb(struct session *session, const struct cli *cli, struct err *err)
{
	struct change change = { .session = session, .cli = cli };
	int done = reencrypt(&change, err);

	change_release(&change);
	return done;
}
