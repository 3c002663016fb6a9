/* SPDX-License-Identifier: Apache-2.0 */
/* The registry keeps blobs by repository, so what another tenant has is not found here. */
#include "services/registry-gw/blobs.h"

#include "lib/service.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/store.h"

static int not_found(const char *digest, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "blob.not_found", "there is no blob '%s'", digest);
}

int blob_check(struct web_req *req, struct web_res *res, struct access *ret_access, struct err *err)
{
	const char *digest = web_param(req, "digest");

	if (access_check(req, res, ACCESS_PULL, ret_access, err) < 0 ||
		reference_check_digest(digest, err) < 0)
		return -1;
	return access_reaches(req, ret_access, digest, false, err);
}

int blob_head(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *digest = web_param(req, "digest"), *length;
	struct fetch_request call = { .method = "HEAD" };
	auto_response answer = { .status = 0 };
	struct access access;

	if (blob_check(req, res, &access, err) < 0)
		return -1;
	call.url = arena_printf(req->arena, "/v2/%s/blobs/%s", access.repository, digest);
	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	length = backend_header(req, &answer, "Content-Length");
	if (answer.status != 200 || !length)
		return not_found(digest, err);
	web_header_add(res, "Content-Length", length);
	web_header_add(res, "Docker-Content-Digest", digest);
	web_header_add(res, "Accept-Ranges", "bytes");
	res->content_type = "application/octet-stream";
	return 0;
}

/* What an image is made of stays as long as the image does. */
static int check_unused(
	struct web_req *req, const struct access *access, const char *digest, struct err *err)
{
	const char *manifest;

	if (store_manifest_names(req, access, digest, &manifest, err) < 0)
		return -1;
	if (!manifest)
		return 0;
	return err_set(err, ERR_METHOD, "blob.in_use",
		"the manifest '%s' names this blob: delete that first", manifest);
}

int blob_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *digest = web_param(req, "digest");
	struct fetch_request call = { .method = "DELETE" };
	auto_response answer = { .status = 0 };
	struct access access;

	if (access_check(req, res, ACCESS_DELETE, &access, err) < 0 ||
		reference_check_digest(digest, err) < 0 ||
		check_unused(req, &access, digest, err) < 0)
		return -1;
	call.url = arena_printf(req->arena, "/v2/%s/blobs/%s", access.repository, digest);
	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	if (answer.status == 404)
		return not_found(digest, err);
	if (answer.status != 202)
		return err_set(err, ERR_METHOD, "blob.cannot_delete",
			"the registry behind is configured to delete nothing");
	res->status = 202;
	return 0;
}
