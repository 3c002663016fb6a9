/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions as rows and at the registry: open, show, take, settle, commit, cancel. */
#include "services/registry-gw/uploads.h"

#include <string.h>

#include "lib/mem.h"
#include "lib/service.h"
#include "lib/wake.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/backend_state.h"
#include "services/registry-gw/blobs.h"
#include "services/registry-gw/config.h"

#define BUSY_WAIT_MS 5000
#define COMMIT_TIMEOUT_MS 300000

void upload_answer(
	struct web_req *req, struct web_res *res, const struct upload *upload, int status)
{
	long long last = upload->offset > 0 ? upload->offset - 1 : 0;

	res->status = status;
	web_header_add(res, "Location",
		arena_printf(
			req->arena, "/v2/%s/blobs/uploads/%s", upload->repository, upload->id));
	web_header_add(res, "Range", arena_printf(req->arena, "0-%lld", last));
	web_header_add(res, "Docker-Upload-UUID", upload->id);
}

/* --- open --- */

static bool is_backend_id(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	return len > 0 && len <= 64 && strspn(text, "0123456789abcdefABCDEF-") == len;
}

static int read_session(struct web_req *req, const struct fetch_response *answer,
	struct upload *upload, struct err *err)
{
	upload->backend_id = backend_header(req, answer, "Docker-Upload-UUID");
	if (answer->status != 202 || !is_backend_id(upload->backend_id))
		return err_set(err, ERR_UPSTREAM, "registry.failed",
			"the registry opened no upload: %ld", answer->status);
	return backend_location(req, backend_header(req, answer, "Location"), upload->repository,
		&upload->location, err);
}

/* The registry's answer to a mount: the blob, whose size the source's row knew. */
static int take_mounted(struct web_req *req, const struct access *access, const char *digest,
	long long size, bool *ret_mounted, struct err *err)
{
	if (store_blob_add(req->worker->db, access, digest, size, NULL, err) < 0)
		return -1;
	*ret_mounted = true;
	return 0;
}

/* A session that its row's quota has no room for is no use to anybody. */
static void close_session(struct web_req *req, const struct upload *upload)
{
	const struct fetch_request call = { .method = "DELETE", .url = upload->location };
	auto_response answer = { .status = 0 };

	(void)!backend_do(req, &call, &answer, NULL);
}

/* The registry's new session gets its row. */
static int keep_session(struct web_req *req, const struct access *access,
	const struct fetch_response *answer, const char *owner, struct upload *ret_upload,
	struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	struct upload upload = { .tenant = access->tenant, .repository = access->repository };
	char id[ID_SIZE];

	id_new("upl", id);
	upload.id = arena_strdup(req->arena, id);
	if (read_session(req, answer, &upload, err) < 0)
		return -1;
	if (store_upload_add(req->worker->db, access, &upload, owner, &conf->limits, err) < 0) {
		close_session(req, &upload);
		return -1;
	}
	*ret_upload = upload;
	return 0;
}

int upload_open(struct web_req *req, const struct access *access, const struct upload_mount *mount,
	struct upload *ret_upload, bool *ret_mounted, struct err *err)
{
	const struct fetch_request call = {
		.method = "POST",
		.url = arena_printf(req->arena, "/v2/%s/blobs/uploads/%s%s%s%s", access->repository,
			mount ? "?mount=" : "", mount ? mount->digest : "", mount ? "&from=" : "",
			mount ? mount->from : ""),
	};
	auto_response answer = { .status = 0 };

	if (mount && blob_expect(req, access, STORE_BLOB, mount->digest, NULL, err) < 0)
		return -1;
	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	if (mount && answer.status == 201)
		return take_mounted(req, access, mount->digest, mount->size, ret_mounted, err);
	return keep_session(req, access, &answer, NULL, ret_upload, err);
}

int upload_open_held(struct web_req *req, const struct access *access, struct upload *ret_upload,
	struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	const struct fetch_request call = {
		.method = "POST",
		.url = arena_printf(req->arena, "/v2/%s/blobs/uploads/", access->repository),
	};
	auto_response answer = { .status = 0 };

	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	return keep_session(req, access, &answer, conf->instance, ret_upload, err);
}

/* --- take and settle --- */

int upload_settle(struct web_req *req, const struct upload *upload, struct err *err)
{
	if (store_upload_settle(req->worker->db, upload, err) < 0)
		return -1;
	wake_ring(req->worker->wake, "web", upload->id);
	return 0;
}

static int forget(struct web_req *req, const struct upload *upload, struct err *err)
{
	if (store_upload_delete(req->worker->db, upload, err) < 0)
		return -1;
	wake_ring(req->worker->wake, "web", upload->id);
	return 0;
}

/* The gateway was killed between the registry's word that it keeps the blob and the row of it. */
static int adopt(struct web_req *req, const struct access *access, const struct upload *upload,
	const char *digest, struct err *err)
{
	struct err lost = *err;
	long long size;

	if (!digest || !upload->closing || strcmp(digest, upload->closing) != 0)
		return -1;
	if (backend_blob_size(req, access->repository, digest, &size, err) < 0)
		return -1;
	if (size < 0) {
		*err = lost;
		return -1;
	}
	if (store_blob_add(req->worker->db, access, digest, size, upload, err) < 0)
		return -1;
	wake_ring(req->worker->wake, "web", upload->id);
	return 1;
}

int upload_take(struct web_req *req, const struct access *access, const char *id,
	const char *digest, struct upload *ret_upload, struct err *err)
{
	struct upload upload;
	int result;

	if (store_upload_claim(req, access, id, &upload, err) < 0)
		return -1;
	if (upload.location || backend_state_recover(req, &upload, err) == 0) {
		*ret_upload = upload;
		return 0;
	}
	result = err->kind == ERR_NOT_FOUND ? adopt(req, access, &upload, digest, err) : -1;
	if (result > 0)
		return result;
	if (err->kind == ERR_NOT_FOUND)
		(void)!forget(req, &upload, NULL);
	else
		(void)!upload_settle(req, &upload, NULL);
	return -1;
}

/* --- commit --- */

/* A retry of a commit whose answer was lost finds the blob there and the session gone. */
static int check_committed(struct web_req *req, const struct upload *upload, const char *digest,
	const struct fetch_response *answer, struct err *err)
{
	const char *code, *message;
	long long size;

	if (answer->status == 201)
		return 0;
	backend_error(req, answer, &code, &message);
	if (answer->status == 404) {
		if (backend_blob_size(req, upload->repository, digest, &size, err) < 0)
			return -1;
		return size == upload->offset ? 0
					      : err_set(err, ERR_NOT_FOUND, "upload.not_found",
							"there is no upload '%s'", upload->id);
	}
	if (strcmp(code, "DIGEST_INVALID") == 0)
		return err_set(err, ERR_INVALID, "upload.digest",
			"the uploaded bytes do not have the digest '%s'", digest);
	return err_set(err, ERR_INVALID, "upload.invalid", "the registry refused the upload: %s %s",
		code, message);
}

/* At the registry; whether it arrived there may stay unknown, and so does the place then. */
static int close_there(
	struct web_req *req, struct upload *upload, const char *digest, struct err *err)
{
	const struct fetch_request call = {
		.method = "PUT",
		.url = arena_printf(req->arena, "%s&digest=%s", upload->location, digest),
		.timeout_ms = COMMIT_TIMEOUT_MS,
	};
	auto_response answer = { .status = 0 };

	if (backend_do(req, &call, &answer, err) < 0) {
		upload->location = NULL;
		return -1;
	}
	if (check_committed(req, upload, digest, &answer, err) == 0)
		return 0;
	if (err->kind == ERR_NOT_FOUND)
		upload->location = NULL;
	return -1;
}

void upload_answer_blob(
	struct web_req *req, struct web_res *res, const struct access *access, const char *digest)
{
	res->status = 201;
	web_header_add(res, "Location",
		arena_printf(req->arena, "/v2/%s/blobs/%s", access->repository, digest));
	web_header_add(res, "Docker-Content-Digest", digest);
}

/* First the word that it comes, then the registry, then the row. */
int upload_commit(struct web_req *req, struct web_res *res, const struct access *access,
	struct upload *upload, const char *digest, struct err *err)
{
	if (blob_expect(req, access, STORE_BLOB, digest, upload, err) < 0 ||
		close_there(req, upload, digest, err) < 0) {
		(void)!upload_settle(req, upload, NULL);
		return -1;
	}
	upload->location = NULL; /* the session is no more */
	if (store_blob_add(req->worker->db, access, digest, upload->offset, upload, err) < 0) {
		(void)!upload_settle(req, upload, NULL);
		return -1;
	}
	wake_ring(req->worker->wake, "web", upload->id);
	upload_answer_blob(req, res, access, digest);
	return 0;
}

/* --- show and cancel --- */

/* While somebody writes, the place is not known: the caller waits a little, then gets the last one.
 */
int upload_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "upload_id");
	struct upload upload;
	struct access access;

	if (access_check_session(req, res, &access, err) < 0 ||
		store_upload_get(req, &access, id, &upload, err) < 0)
		return -1;
	if (upload.busy) {
		upload_answer(req, res, &upload, 204);
		web_park(req, res, upload.id, BUSY_WAIT_MS);
		return 0;
	}
	if (!upload.location && (upload_take(req, &access, id, NULL, &upload, err) < 0 ||
					upload_settle(req, &upload, err) < 0))
		return -1;
	upload_answer(req, res, &upload, 204);
	return 0;
}

int upload_cancel(struct web_req *req, struct web_res *res, struct err *err)
{
	struct fetch_request call = { .method = "DELETE" };
	auto_response answer = { .status = 0 };
	struct access access;
	struct upload upload;

	if (access_check_session(req, res, &access, err) < 0 ||
		upload_take(req, &access, web_param(req, "upload_id"), NULL, &upload, err) < 0)
		return -1;
	call.url = upload.location;
	if (backend_do(req, &call, &answer, err) < 0) {
		(void)!upload_settle(req, &upload, NULL);
		return -1;
	}
	if (forget(req, &upload, err) < 0)
		return -1;
	res->status = 204;
	return 0;
}
