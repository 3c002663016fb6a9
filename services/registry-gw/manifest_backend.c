/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of manifest_backend.h. */
#include "services/registry-gw/manifest_backend.h"

#include <string.h>

#include "services/registry-gw/backend.h"

#define IN_TRANSACTION_MS 10000 /* below what Postgres lets a transaction wait */

/* All that we store; the registry would pretend not to have what the list leaves out. */
static const char *const accepts[] = { "Accept: application/vnd.oci.image.manifest.v1+json, "
				       "application/vnd.oci.image.index.v1+json, "
				       "application/vnd.docker.distribution.manifest.v2+json, "
				       "application/vnd.docker.distribution.manifest.list.v2+json",
	NULL };

const char *manifest_path(struct web_req *req, const struct access *access, const char *reference)
{
	return arena_printf(req->arena, "/v2/%s/manifests/%s", access->repository, reference);
}

int manifest_get_bytes(struct web_req *req, const struct access *access, const char *digest,
	struct fetch_response *ret_answer, struct err *err)
{
	const struct fetch_request call = {
		.method = "GET",
		.url = manifest_path(req, access, digest),
		.headers = accepts,
	};

	if (backend_do(req, &call, ret_answer, err) < 0)
		return -1;
	if (ret_answer->status == 200)
		return 0;
	return err_set(
		err, ERR_NOT_FOUND, "manifest.not_found", "there is no manifest '%.80s'", digest);
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

int manifest_put_bytes(void *arg, struct err *err)
{
	const struct manifest_part *part = arg;
	struct web_req *req = part->req;
	const char *const headers[] = {
		arena_printf(req->arena, "Content-Type: %s", part->manifest->media_type), NULL
	};
	const struct fetch_request call = {
		.method = "PUT",
		.url = manifest_path(req, part->access, part->manifest->digest),
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

/* A registry that has it no more, or that deletes nothing, is no hindrance: it is not served. */
int manifest_delete_bytes(void *arg, struct err *err)
{
	const struct manifest_part *part = arg;
	const struct fetch_request call = {
		.method = "DELETE",
		.url = manifest_path(part->req, part->access, part->manifest->digest),
		.timeout_ms = IN_TRANSACTION_MS,
	};
	auto_response answer = { .status = 0 };

	return backend_do(part->req, &call, &answer, err);
}
