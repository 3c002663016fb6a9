/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's part of archive.h: read, check, close, put. */
#include "services/registry-gw/archive.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/manifests.h"
#include "services/registry-gw/uploads.h"

/* --- before --- */

static int check_type(const struct web_req *req, struct err *err)
{
	const char *type = web_header(req, "Content-Type");

	if (!type || strcmp(type, "application/x-tar") == 0)
		return 0;
	return err_set(err, ERR_UNSUPPORTED_TYPE, "archive.type",
		"the body is the archive itself: Content-Type application/x-tar, not '%.60s'",
		type);
}

static int take_turn(struct web_req *req, struct archive_push *push, struct err *err)
{
	struct registry_conf *conf = req->worker->program;

	push->writer = (struct writer) { .id = "archive", .principal = req->principal };
	if (writers_add_few(&conf->writers, &push->writer, ARCHIVES_OF_A_TENANT)) {
		push->writers = &conf->writers;
		return 0;
	}
	err_set(err, ERR_LIMITED, "archive.busy",
		"this tenant sends %d archives already: wait for one of them",
		ARCHIVES_OF_A_TENANT);
	err->retry_s = 10;
	return -1;
}

/* What is in no repository yet is counted blob by blob; a length that cannot fit is refused before.
 */
static int check_room(struct web_req *req, const struct archive_push *push, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	const char *length = web_header(req, "Content-Length");

	if (!length)
		return 0;
	return quota_check(req->worker->db, push->access.tenant, &conf->limits,
		strtoll(length, NULL, 10), err);
}

int archive_begin(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err)
{
	struct archive_push *push = mem_alloc(sizeof(*push));

	archive_pipe_init(&push->pipe);
	push->image = archive_image_new();
	push->tags = json_array();
	if (access_check(req, res, ACCESS_PUSH, &push->access, err) < 0 ||
		check_type(req, err) < 0 || manifest_read_tags(req, push->tags, err) < 0 ||
		check_room(req, push, err) < 0 || take_turn(req, push, err) < 0) {
		archive_release(push);
		return -1;
	}
	*ret_ctx = push;
	return 0;
}

void archive_release(void *ctx)
{
	struct archive_push *push = ctx;

	if (push->writers)
		writers_remove(push->writers, &push->writer);
	archive_image_free(push->image);
	archive_pipe_release(&push->pipe);
	json_decref(push->tags);
	free(push);
}

/* --- blobs into sessions --- */

/* A source that fails ends the registry's body cleanly, so that the session can be cancelled. */
static int send(struct web_req *req, struct upload *upload, archive_bytes *source, void *source_arg,
	struct err *err)
{
	static const char *const headers[] = { "Content-Type: application/octet-stream", NULL };
	const struct fetch_request call = {
		.method = "PATCH",
		.url = upload->location,
		.headers = headers,
		.source = source,
		.source_arg = source_arg,
		.timeout_ms = -1,
	};
	auto_response answer = { .status = 0 };

	upload->location = NULL; /* until the registry says it again */
	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	if (answer.status != 202)
		return err_set(err, ERR_UPSTREAM, "registry.failed",
			"the registry answered %ld to a blob", answer.status);
	return backend_location(req, backend_header(req, &answer, "Location"), upload->repository,
		&upload->location, err);
}

static int keep(void *arg, struct archive_blob *blob, archive_bytes *source, void *source_arg,
	struct err *err)
{
	struct archive_push *push = arg;
	const struct registry_conf *conf = push->req->worker->program;
	struct archive_session *session = arena_alloc(push->req->arena, sizeof(*session));

	if (upload_open_held(push->req, &push->access, &session->upload, err) < 0)
		return -1;
	session->writer =
		(struct writer) { .id = session->upload.id, .principal = push->req->principal };
	writers_add(push->writers, &session->writer);
	session->open = true;
	blob->handed = session;
	if (quota_reserve(push->req->worker->db, &conf->limits, &session->upload, blob->size,
		    blob->size, err) < 0 ||
		send(push->req, &session->upload, source, source_arg, err) < 0)
		return -1;
	session->upload.offset = blob->size;
	return 0;
}

void archive_session_end(struct archive_push *push, struct archive_session *session)
{
	writers_remove(push->writers, &session->writer);
	session->open = false;
}

/* --- the whole of it --- */

static struct manifest_bytes bytes_of(const struct archive_manifest *manifest)
{
	return (struct manifest_bytes) {
		.data = manifest->blob->text,
		.len = (size_t)manifest->blob->size,
		.media_type = manifest->type,
		.digest = manifest->blob->digest,
	};
}

static int read_archive(struct archive_push *push, struct err *err)
{
	struct archive_reader *reader = archive_reader_new(archive_pipe_read, &push->pipe);
	int result = archive_image_read(push->image, reader, keep, push, err);

	archive_reader_free(reader);
	return result;
}

static int examine(struct archive_push *push, struct err *err)
{
	const struct archive_image *image = push->image;

	for (size_t i = 0; i < image->n_manifests; i++) {
		struct manifest_bytes bytes = bytes_of(&image->manifests[i]);

		if (manifest_examine(push->req, &push->access, &bytes, err) < 0)
			return -1;
	}
	return 0;
}

/* As for any upload: whoever was revoked meanwhile ends nothing. */
static int check_still(struct archive_push *push, struct err *err)
{
	if (writers_is_revoked(&push->writer))
		return err_set(err, ERR_UNAUTHENTICATED, "auth.revoked", "the token was revoked");
	return auth_check_revoked(push->req->worker->auth, push->req->principal, err);
}

/* --- what makes it visible --- */

static int close_blob(struct archive_push *push, struct archive_blob *blob, struct err *err)
{
	struct web_res ignored = { .status = 0 };
	const struct registry_conf *conf = push->req->worker->program;
	struct archive_session *session;
	long long size;

	if (!blob->handed && archive_image_hand_on(blob, keep, push, err) < 0)
		return -1;
	session = blob->handed;
	if (store_blob_size(push->req->worker->db, &push->access, blob->digest, conf->grace_ms,
		    &size, err) < 0 ||
		upload_commit(push->req, &ignored, &push->access, &session->upload, blob->digest,
			err) < 0)
		return -1;
	archive_session_end(push, session);
	session->is_new = size < 0;
	return 0;
}

static int close_blobs(struct archive_push *push, struct err *err)
{
	for (size_t i = 0; i < push->image->n_blobs; i++) {
		if (push->image->blobs[i]->is_part &&
			close_blob(push, push->image->blobs[i], err) < 0)
			return -1;
	}
	return 0;
}

/* The image itself comes last, with its tags: what a failure leaves before is no image yet. */
static int put_manifests(struct archive_push *push, struct manifest *ret_image, struct err *err)
{
	struct archive_image *image = push->image;
	struct manifest before;

	for (size_t i = 0; i < image->n_manifests; i++) {
		struct archive_manifest *manifest = &image->manifests[i];
		struct manifest_bytes bytes = bytes_of(manifest);
		bool has = store_manifest_find(
				   push->req, &push->access, bytes.digest, &before, NULL) == 0;

		bytes.tags = i + 1 == image->n_manifests ? push->tags : NULL;
		if (manifest_add(push->req, &push->access, &bytes, ret_image, err) < 0)
			return -1;
		manifest->is_new = !has;
	}
	return 0;
}

static void answer(struct archive_push *push, struct web_res *res, const struct manifest *image)
{
	struct arena *arena = push->req->arena;
	long long size = 0;

	for (size_t i = 0; i < push->image->n_blobs; i++)
		size += push->image->blobs[i]->size;
	res->status = 201;
	res->json = json_pack("{s:s, s:s, s:s, s:O, s:I, s:I, s:I}", "repository",
		push->access.repository, "digest", image->digest, "media_type", image->media_type,
		"tags", push->tags, "manifests", (json_int_t)push->image->n_manifests, "blobs",
		(json_int_t)push->image->n_blobs, "size_bytes", (json_int_t)size);
	web_header_add(res, "Location",
		arena_printf(arena, "/v2/%s/manifests/%s", push->access.repository, image->digest));
	web_header_add(res, "Docker-Content-Digest", image->digest);
	manifest_warn(push->req, res, image);
}

int archive_finish(struct web_req *req, struct web_res *res, void *ctx, struct err *err)
{
	struct archive_push *push = ctx;
	struct manifest image = { .digest = NULL };

	push->req = req;
	if (read_archive(push, err) < 0 || archive_image_find(push->image, err) < 0 ||
		examine(push, err) < 0 || check_still(push, err) < 0 ||
		close_blobs(push, err) < 0 || put_manifests(push, &image, err) < 0) {
		archive_undo(push);
		return -1;
	}
	answer(push, res, &image);
	return 0;
}
