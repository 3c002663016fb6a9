/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest's row is written before the registry has it: a row only says that these bytes were
 * checked and what they name. So whatever the registry serves was checked, and a killed push is
 * simply repeated.
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
#include "services/registry-gw/store.h"

/* All that we store; the registry would pretend not to have what the list leaves out. */
static const char *const accepts[] = { "Accept: application/vnd.oci.image.manifest.v1+json, "
				       "application/vnd.oci.image.index.v1+json, "
				       "application/vnd.docker.distribution.manifest.v2+json, "
				       "application/vnd.docker.distribution.manifest.list.v2+json",
	NULL };

static int not_found(const char *reference, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "manifest.not_found", "there is no manifest '%.80s'",
		reference);
}

static bool is_digest(const char *reference)
{
	unsigned char ignored[DIGEST_SIZE];

	return digest_parse(reference, ignored, NULL) == 0;
}

static int check_reference(const char *reference, struct err *err)
{
	if (is_digest(reference) || manifest_is_tag(reference))
		return 0;
	if (strchr(reference, ':'))
		return err_set(err, ERR_INVALID, "digest.invalid", "'%.80s' is no sha256 digest",
			reference);
	return err_set(err, ERR_INVALID, "manifest.bad_reference", "'%.80s' is no tag", reference);
}

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
	const char *reference = web_param(req, "reference"), *digest;
	struct fetch_request call = { .method = "GET", .headers = accepts };
	auto_response answer = { .status = 0 };
	struct access access;

	if (access_check(req, res, ACCESS_PULL, &access, err) < 0 ||
		check_reference(reference, err) < 0 ||
		access_reaches(req, &access, reference, true, err) < 0)
		return -1;
	call.url = path_of(req, &access, reference);
	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	digest = backend_header(req, &answer, "Docker-Content-Digest");
	if (answer.status != 200 || !digest)
		return not_found(reference, err);
	tell_pull(req, &access, digest);
	res->text = arena_dup(req->arena, answer.body.data, answer.body.len);
	res->text_len = answer.body.len;
	res->content_type = backend_header(req, &answer, "Content-Type");
	web_header_add(res, "Docker-Content-Digest", digest);
	web_header_add(res, "ETag", arena_printf(req->arena, "\"%s\"", digest));
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

static int check(struct web_req *req, const struct access *access, struct manifest *manifest,
	struct err *err)
{
	auto_json json_t *document = NULL, *links = NULL;
	struct err inner = { .kind = ERR_NONE };
	auto_free char *text = NULL;
	bool index;

	document = json_parse((const char *)req->body, req->body_len, &inner);
	if (!document)
		return err_set(err, ERR_INVALID, "manifest.invalid", "%s", inner.detail);
	if (manifest_check(document, manifest->media_type, &index, &links, err) < 0)
		return -1;
	text = json_dumps(links, JSON_COMPACT);
	manifest->links = arena_strdup(req->arena, text);
	return index ? check_children(req, access, manifest->links, err) : 0;
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

static int forward(struct web_req *req, const struct access *access,
	const struct manifest *manifest, const char *reference, struct err *err)
{
	const char *const headers[] = {
		arena_printf(req->arena, "Content-Type: %s", manifest->media_type), NULL
	};
	const struct fetch_request call = {
		.method = "PUT",
		.url = path_of(req, access, reference),
		.headers = headers,
		.body = req->body,
		.body_len = req->body_len,
	};
	auto_response answer = { .status = 0 };

	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	return answer.status == 201 ? 0 : refusal(req, &answer, err);
}

int manifest_put(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *reference = web_param(req, "reference");
	char *digest = arena_alloc(req->arena, DIGEST_TEXT_SIZE);
	struct manifest manifest = { .digest = digest, .size = req->body_len };
	struct access access;

	if (access_check(req, res, ACCESS_PUSH, &access, err) < 0 ||
		check_reference(reference, err) < 0)
		return -1;
	manifest.media_type = media_type_of(req);
	digest_text(req->body, req->body_len, digest);
	if (is_digest(reference) && strcmp(reference, digest) != 0)
		return err_set(err, ERR_INVALID, "manifest.digest",
			"the bytes have the digest '%s'", digest);
	if (check(req, &access, &manifest, err) < 0 ||
		store_manifest_add(req->worker->db, &access, &manifest, err) < 0 ||
		forward(req, &access, &manifest, reference, err) < 0)
		return -1;
	res->status = 201;
	web_header_add(res, "Location", path_of(req, &access, digest));
	web_header_add(res, "Docker-Content-Digest", digest);
	return 0;
}

/* --- DELETE --- */

int manifest_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *reference = web_param(req, "reference");
	struct fetch_request call = { .method = "DELETE" };
	auto_response answer = { .status = 0 };
	struct access access;

	if (access_check(req, res, ACCESS_DELETE, &access, err) < 0 ||
		check_reference(reference, err) < 0)
		return -1;
	call.url = path_of(req, &access, reference);
	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	if (answer.status == 404)
		return not_found(reference, err);
	if (answer.status != 202)
		return err_set(err, ERR_METHOD, "manifest.cannot_delete",
			"the registry deletes manifests by digest only");
	if (is_digest(reference) &&
		store_manifest_delete(req->worker->db, &access, reference, err) < 0)
		return -1;
	res->status = 202;
	return 0;
}
