/* SPDX-License-Identifier: Apache-2.0 */
/* The registry keeps blobs by repository, so what another tenant has is not found here. */
#include "services/registry-gw/blobs.h"

#include "lib/digest.h"
#include "lib/service.h"
#include "services/registry-gw/backend.h"

int blob_check(struct web_req *req, struct web_res *res, struct access *ret_access, struct err *err)
{
	const char *digest = web_param(req, "digest");
	unsigned char ignored[DIGEST_SIZE];

	if (access_check(req, res, ACCESS_PULL, ret_access, err) < 0 ||
		digest_parse(digest, ignored, err) < 0)
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
		return err_set(
			err, ERR_NOT_FOUND, "blob.not_found", "there is no blob '%s'", digest);
	web_header_add(res, "Content-Length", length);
	web_header_add(res, "Docker-Content-Digest", digest);
	web_header_add(res, "Accept-Ranges", "bytes");
	res->content_type = "application/octet-stream";
	return 0;
}
