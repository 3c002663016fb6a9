/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest is there when its row is: the row says that these bytes were checked, and what they
 * name. The registry behind gets and loses the bytes inside the transaction of the row, by digest;
 * tags are rows only. So whatever is served was checked, and a killed push is simply repeated.
 */
#include "services/registry-gw/manifests.h"

#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/digest.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/manifest_check.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/store.h"

#define IN_TRANSACTION_MS 10000 /* below what Postgres lets a transaction wait */

/* All that we store; the registry would pretend not to have what the list leaves out. */
static const char *const accepts[] = { "Accept: application/vnd.oci.image.manifest.v1+json, "
				       "application/vnd.oci.image.index.v1+json, "
				       "application/vnd.docker.distribution.manifest.v2+json, "
				       "application/vnd.docker.distribution.manifest.list.v2+json",
	NULL };

static const char *path_of(struct web_req *req, const struct access *access, const char *reference)
{
	return arena_printf(req->arena, "/v2/%s/manifests/%s", access->repository, reference);
}

/* --- GET --- */

/* Once an hour for each image and who pulls it. */
static void tell_pull(const struct web_req *req, const struct access *access, const char *digest)
{
	const struct audit_act act = {
		.action = "image.pull",
		.on = arena_printf(req->arena, "%s@%s", access->repository, digest),
		.subject = access->subject,
		.credential = audit_credential(req->principal),
		.roles = req->principal->roles,
	};

	audit_often(req->worker, access->tenant, &act, 1, 3600);
}

int manifest_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *reference = web_param(req, "reference");
	struct fetch_request call = { .method = "GET", .headers = accepts };
	auto_response answer = { .status = 0 };
	struct manifest manifest;
	struct access access;

	if (access_check(req, res, ACCESS_PULL, &access, err) < 0 ||
		reference_check(reference, err) < 0 ||
		access_reaches(req, &access, reference, true, err) < 0 ||
		store_manifest_find(req, &access, reference, &manifest, err) < 0)
		return -1;
	call.url = path_of(req, &access, manifest.digest);
	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	if (answer.status != 200)
		return err_set(err, ERR_NOT_FOUND, "manifest.not_found",
			"there is no manifest '%.80s'", reference);
	tell_pull(req, &access, manifest.digest);
	res->text = arena_dup(req->arena, answer.body.data, answer.body.len);
	res->text_len = answer.body.len;
	res->content_type = manifest.media_type;
	web_header_add(res, "Docker-Content-Digest", manifest.digest);
	web_header_add(res, "ETag", arena_printf(req->arena, "\"%s\"", manifest.digest));
	return 0;
}

/* --- PUT --- */

/* Content-Type without parameters. */
static const char *media_type_of(struct web_req *req)
{
	const char *type = web_header(req, "Content-Type");

	return type ? arena_strndup(req->arena, type, strcspn(type, "; \t")) : "";
}

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
	return facts.index ? check_children(req, access, manifest->links, err) : 0;
}

int manifest_read_tags(const struct web_req *req, json_t *tags, struct err *err)
{
	const char *tag;

	for (size_t i = 0; (tag = web_query_at(req, "tag", i)); i++) {
		if (!reference_is_tag(tag))
			return err_set(err, ERR_INVALID, "manifest.bad_reference",
				"'%.80s' is no tag", tag);
		json_array_append_new(tags, json_string(tag));
	}
	return 0;
}

/* The tag of the path, or those of ?tag= beside a digest. */
static int read_tags(
	const struct web_req *req, const char *reference, json_t *tags, struct err *err)
{
	if (reference_is_tag(reference))
		return json_array_append_new(tags, json_string(reference));
	return manifest_read_tags(req, tags, err);
}

static int refusal(struct web_req *req, const struct fetch_response *answer, struct err *err)
{
	const char *code, *message;

	backend_error(req, answer, &code, &message);
	if (strcmp(code, "MANIFEST_BLOB_UNKNOWN") == 0)
		return err_set(err, ERR_INVALID, "manifest.blob_unknown",
			"the manifest names what was not uploaded: %s", message);
	return err_set(err, ERR_INVALID, "manifest.invalid",
		"the registry refused the manifest: %s %s", code, message);
}

struct part {
	struct web_req *req;
	const struct access *access;
	const struct manifest *manifest;
	const struct manifest_bytes *bytes; /* to put */
};

static int put_bytes(void *arg, struct err *err)
{
	const struct part *part = arg;
	struct web_req *req = part->req;
	const char *const headers[] = {
		arena_printf(req->arena, "Content-Type: %s", part->manifest->media_type), NULL
	};
	const struct fetch_request call = {
		.method = "PUT",
		.url = path_of(req, part->access, part->manifest->digest),
		.headers = headers,
		.body = part->bytes->data,
		.body_len = part->bytes->len,
		.timeout_ms = IN_TRANSACTION_MS,
	};
	auto_response answer = { .status = 0 };

	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	return answer.status == 201 ? 0 : refusal(req, &answer, err);
}

static void answer_put(struct web_req *req, struct web_res *res, const struct access *access,
	const struct manifest *manifest, const json_t *tags)
{
	const char *line = "";
	json_t *tag;
	size_t i;

	res->status = 201;
	web_header_add(res, "Location", path_of(req, access, manifest->digest));
	web_header_add(res, "Docker-Content-Digest", manifest->digest);
	if (manifest->subject)
		web_header_add(res, "OCI-Subject", manifest->subject);
	json_array_foreach (tags, i, tag)
		line = arena_printf(
			req->arena, "%s%s%s", line, *line ? ", " : "", json_string_value(tag));
	if (*line)
		web_header_add(res, "OCI-Tag", line);
}

int manifest_add(struct web_req *req, const struct access *access,
	const struct manifest_bytes *bytes, struct manifest *ret_manifest, struct err *err)
{
	char *digest = arena_alloc(req->arena, DIGEST_TEXT_SIZE);
	struct manifest manifest = { .digest = digest, .size = bytes->len };
	struct part part = { req, access, &manifest, bytes };

	digest_text(bytes->data, bytes->len, digest);
	manifest.media_type = bytes->media_type;
	manifest.tags = as_text(req, bytes->tags);
	if (bytes->digest && strcmp(bytes->digest, digest) != 0)
		return err_set(err, ERR_INVALID, "manifest.digest",
			"the bytes have the digest '%s'", digest);
	if (check(req, access, bytes, &manifest, err) < 0 ||
		store_manifest_add(req->worker->db, access, &manifest, put_bytes, &part, err) < 0)
		return -1;
	*ret_manifest = manifest;
	return 0;
}

int manifest_put(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *reference = web_param(req, "reference");
	auto_json json_t *tags = json_array();
	struct manifest_bytes bytes = {
		.data = (const char *)req->body,
		.len = req->body_len,
		.digest = reference_is_tag(reference) ? NULL : reference,
		.tags = tags,
	};
	struct manifest manifest;
	struct access access;

	if (access_check(req, res, ACCESS_PUSH, &access, err) < 0 ||
		reference_check(reference, err) < 0 || read_tags(req, reference, tags, err) < 0)
		return -1;
	bytes.media_type = media_type_of(req);
	if (manifest_add(req, &access, &bytes, &manifest, err) < 0)
		return -1;
	answer_put(req, res, &access, &manifest, tags);
	return 0;
}

/* --- DELETE --- */

/* A registry that has it no more, or that deletes nothing, is no hindrance: it is not served. */
static int delete_bytes(void *arg, struct err *err)
{
	const struct part *part = arg;
	const struct fetch_request call = {
		.method = "DELETE",
		.url = path_of(part->req, part->access, part->manifest->digest),
		.timeout_ms = IN_TRANSACTION_MS,
	};
	auto_response answer = { .status = 0 };

	return backend_do(part->req, &call, &answer, err);
}

int manifest_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct manifest manifest = { .digest = web_param(req, "reference") };
	struct access access;
	struct part part = { req, &access, &manifest, NULL };

	if (access_check(req, res, ACCESS_DELETE, &access, err) < 0 ||
		reference_check(manifest.digest, err) < 0)
		return -1;
	if ((reference_is_tag(manifest.digest)
			    ? store_tag_delete(req->worker->db, &access, manifest.digest, err)
			    : store_manifest_delete(req->worker->db, &access, manifest.digest,
				      delete_bytes, &part, err)) < 0)
		return -1;
	res->status = 202;
	return 0;
}
