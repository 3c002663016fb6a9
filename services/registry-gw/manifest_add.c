/* SPDX-License-Identifier: Apache-2.0 */
/* The one way in for manifests, whoever brings them: a PUT, an archive, a rewrap. */
#include <string.h>

#include "lib/digest.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/blobs.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/manifest_backend.h"
#include "services/registry-gw/manifest_check.h"

static int check_children(
	struct web_req *req, const struct access *access, const char *links, struct err *err)
{
	const char *missing;

	if (store_manifest_missing_child(req, access, links, &missing, err) < 0)
		return -1;
	if (!missing)
		return 0;
	return err_set(err, ERR_INVALID, "manifest.blob_unknown",
		"the index names '%s', which is not in '%s'", missing, access->repository);
}

static int check_blobs(
	struct web_req *req, const struct access *access, const char *links, struct err *err)
{
	const char *missing;

	if (store_blob_missing(req, access, links, &missing, err) < 0)
		return -1;
	if (!missing)
		return 0;
	return err_set(err, ERR_INVALID, "manifest.blob_unknown",
		"the manifest names '%s', which was not uploaded to '%s'", missing,
		access->repository);
}

static const char *as_text(struct web_req *req, const json_t *value)
{
	auto_free char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

	return text ? arena_strdup(req->arena, text) : NULL;
}

static const char *copy(struct web_req *req, const char *text)
{
	return text ? arena_strdup(req->arena, text) : NULL;
}

static int check(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, struct manifest *manifest, struct err *err)
{
	auto_json json_t *document = NULL, *links = NULL;
	struct err inner = { .kind = ERR_NONE };
	struct manifest_facts facts;

	document = json_parse(bytes->data, bytes->len, &inner);
	if (!document)
		return err_set(err, ERR_INVALID, "manifest.invalid", "%s", inner.detail);
	if (manifest_check(document, manifest->media_type, &facts, err) < 0)
		return -1;
	links = facts.links;
	manifest->links = as_text(req, links);
	manifest->subject = copy(req, facts.subject);
	manifest->artifact_type = copy(req, facts.artifact_type);
	manifest->annotations = as_text(req, facts.annotations);
	return facts.index ? check_children(req, access, manifest->links, err)
			   : check_blobs(req, access, manifest->links, err);
}

/* First the word that it comes, then the bytes, then the row. */
static int keep(struct web_req *req, const struct access *access, const struct manifest *manifest,
	const struct manifest_bytes *bytes, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;

	if (blob_expect(req, access, STORE_MANIFEST, manifest->digest, NULL, err) < 0 ||
		manifest_put_bytes(req, access, manifest, bytes, err) < 0)
		return -1;
	return store_manifest_add(req->worker->db, access, manifest, &conf->limits, err);
}

int manifest_examine(const struct manifest_bytes *bytes, struct err *err)
{
	struct err inner = { .kind = ERR_NONE };
	auto_json json_t *document = json_parse(bytes->data, bytes->len, &inner);
	struct manifest_facts facts;

	if (!document)
		return err_set(err, ERR_INVALID, "manifest.invalid", "%s", inner.detail);
	if (manifest_check(document, bytes->media_type, &facts, err) < 0)
		return -1;
	json_decref(facts.links);
	return 0;
}

int manifest_add(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, struct manifest *ret_manifest, struct err *err)
{
	char *digest = arena_alloc(req->arena, DIGEST_TEXT_SIZE);
	struct manifest manifest = { .digest = digest, .size = bytes->len };

	digest_text(bytes->data, bytes->len, digest);
	manifest.media_type = bytes->media_type;
	manifest.tags = as_text(req, bytes->tags);
	if (bytes->digest && strcmp(bytes->digest, digest) != 0)
		return err_set(err, ERR_INVALID, "manifest.digest",
			"the bytes have the digest '%s'", digest);
	if (check(req, access, bytes, &manifest, err) < 0 ||
		keep(req, access, &manifest, bytes, err) < 0)
		return -1;
	*ret_manifest = manifest;
	return 0;
}
