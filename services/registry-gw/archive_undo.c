/* SPDX-License-Identifier: Apache-2.0 */
/* archive_undo(): manifests first, which name the blobs, then what is in the repository, then what
 * is on its way there. */
#include "lib/service.h"
#include "services/registry-gw/archive.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/manifest_backend.h"

static void drop_manifest(struct archive_push *push, const char *digest)
{
	const struct manifest manifest = { .digest = digest };
	struct manifest_part part = { push->req, &push->access, &manifest, NULL };

	(void)!store_manifest_delete(
		push->req->worker->db, &push->access, digest, manifest_delete_bytes, &part, NULL);
}

static void delete_at(struct archive_push *push, const char *path)
{
	const struct fetch_request call = { .method = "DELETE", .url = path };
	auto_response answer = { .status = 0 };

	(void)!backend_do(push->req, &call, &answer, NULL);
}

static void drop_session(struct archive_push *push, const struct upload *upload)
{
	if (upload->location)
		delete_at(push, upload->location);
	(void)!store_upload_delete(push->req->worker->db, upload, NULL);
}

/* Whoever else pushed an image of it meanwhile keeps it. */
static void drop_blob(struct archive_push *push, const char *digest)
{
	const char *manifest = NULL;

	if (store_manifest_names(push->req, &push->access, digest, &manifest, NULL) == 0 &&
		!manifest)
		delete_at(push, arena_printf(push->req->arena, "/v2/%s/blobs/%s",
					push->access.repository, digest));
}

void archive_undo(struct archive_push *push)
{
	const struct archive_image *image = push->image;

	for (size_t i = image->n_manifests; i-- > 0;) {
		if (image->manifests[i].is_new)
			drop_manifest(push, image->manifests[i].blob->digest);
	}
	for (size_t i = 0; i < image->n_blobs; i++) {
		const struct archive_session *session = image->blobs[i]->handed;

		if (session && session->open)
			drop_session(push, &session->upload);
		else if (session && session->is_new)
			drop_blob(push, image->blobs[i]->digest);
	}
}
