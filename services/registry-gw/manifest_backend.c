/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of manifest_backend.h. */
#include "services/registry-gw/manifest_backend.h"

#include <string.h>

#include "lib/digest.h"
#include "lib/json.h"
#include "lib/service.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/cache.h"
#include "services/registry-gw/config.h"

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

/* What it gives is what we gave it, or nothing that we pass on. */
static int fetch_bytes(struct web_req *req, const struct access *access, const char *digest,
	struct cache_bytes **ret_bytes, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	const struct fetch_request call = {
		.method = "GET",
		.url = manifest_path(req, access, digest),
		.headers = accepts,
	};
	auto_response answer = { .status = 0 };
	char found[DIGEST_TEXT_SIZE];

	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	if (answer.status != 200)
		return err_set(err, ERR_NOT_FOUND, "manifest.not_found",
			"there is no manifest '%.80s'", digest);
	digest_text(answer.body.data, answer.body.len, found);
	if (strcmp(found, digest) != 0)
		return err_set(err, ERR_UPSTREAM, "registry.failed",
			"the registry's bytes of '%s' have the digest '%s'", digest, found);
	*ret_bytes =
		cache_put(conf->cache, access->tenant, digest, answer.body.data, answer.body.len);
	return 0;
}

int manifest_get_bytes(struct web_req *req, const struct access *access, const char *digest,
	const char **ret_data, size_t *ret_len, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	struct cache_bytes *bytes = cache_get(conf->cache, access->tenant, digest);

	if (!bytes && fetch_bytes(req, access, digest, &bytes, err) < 0)
		return -1;
	arena_defer(req->arena, cache_release, bytes);
	*ret_data = cache_data(bytes, ret_len);
	return 0;
}

/* Its own collection may have taken what nobody named yet: then our rows are wrong, and go. */
static void drop_lost_blobs(struct web_req *req, const struct access *access, const char *links)
{
	auto_json json_t *list = json_loads(links, 0, NULL);
	json_t *link;
	size_t i;

	json_array_foreach (list, i, link) {
		const char *digest = json_string_value(json_array_get(link, 1));
		long long size;

		if (backend_blob_size(req, access->repository, digest, &size, NULL) == 0 &&
			size < 0)
			(void)!store_blob_delete(req->worker->db, access, digest, 0, NULL);
	}
}

static int refusal(struct web_req *req, const struct access *access,
	const struct manifest *manifest, const struct fetch_response *answer, struct err *err)
{
	const char *code, *message;

	backend_error(req, answer, &code, &message);
	if (strcmp(code, "MANIFEST_BLOB_UNKNOWN") != 0)
		return err_set(err, ERR_INVALID, "manifest.invalid",
			"the registry refused the manifest: %s %s", code, message);
	drop_lost_blobs(req, access, manifest->links);
	return err_set(err, ERR_INVALID, "manifest.blob_unknown",
		"the manifest names what the registry lost: %s", message);
}

int manifest_put_bytes(struct web_req *req, const struct access *access,
	const struct manifest *manifest, const struct manifest_bytes *bytes, struct err *err)
{
	const char *const headers[] = {
		arena_printf(req->arena, "Content-Type: %s", manifest->media_type), NULL
	};
	const struct fetch_request call = {
		.method = "PUT",
		.url = manifest_path(req, access, manifest->digest),
		.headers = headers,
		.body = bytes->data,
		.body_len = bytes->len,
	};
	auto_response answer = { .status = 0 };

	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	return answer.status == 201 ? 0 : refusal(req, access, manifest, &answer, err);
}
