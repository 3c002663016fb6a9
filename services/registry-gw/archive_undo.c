/* SPDX-License-Identifier: Apache-2.0 */
/* archive_undo(): manifests first, which name the blobs, then what is in the repository, then what
 * is on its way there. */
#include "lib/service.h"
#include "services/registry-gw/archive.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/config.h"

static void drop_session(struct archive_push *push, struct archive_session *session)
{
	const struct upload *upload = &session->upload;
	const struct fetch_request call = { .method = "DELETE", .url = upload->location };
	auto_response answer = { .status = 0 };

	if (upload->location)
		(void)!backend_do(push->req, &call, &answer, NULL);
	(void)!store_upload_delete(push->req->worker->db, upload, NULL);
	archive_session_end(push, session);
}

void archive_undo(struct archive_push *push)
{
	const struct registry_conf *conf = push->req->worker->program;
	const struct archive_image *image = push->image;
	struct db *db = push->req->worker->db;

	for (size_t i = image->n_manifests; i-- > 0;) {
		if (image->manifests[i].is_new)
			(void)!store_manifest_delete(db, &push->access,
				image->manifests[i].blob->digest, conf->grace_ms, NULL);
	}
	for (size_t i = 0; i < image->n_blobs; i++) {
		struct archive_session *session = image->blobs[i]->handed;

		if (session && session->open)
			drop_session(push, session);
		else if (session && session->is_new) /* unless somebody else's image names it */
			(void)!store_blob_delete(
				db, &push->access, image->blobs[i]->digest, conf->grace_ms, NULL);
	}
}
