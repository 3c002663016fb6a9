/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions as rows and at the registry: open, show, take, settle, commit, cancel. */
#include "services/registry-gw/uploads.h"

#include <string.h>

#include "lib/mem.h"
#include "lib/service.h"
#include "lib/wake.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/backend_state.h"

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

int upload_open(struct web_req *req, const struct access *access, const char *mount,
	const char *from, struct upload *ret_upload, bool *ret_mounted, struct err *err)
{
	const char *query = mount ? arena_printf(req->arena, "?mount=%s&from=%s", mount, from) : "";
	const struct fetch_request call = {
		.method = "POST",
		.url = arena_printf(
			req->arena, "/v2/%s/blobs/uploads/%s", access->repository, query),
	};
	struct upload upload = { .tenant = access->tenant, .repository = access->repository };
	auto_response answer = { .status = 0 };
	char id[ID_SIZE];

	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	*ret_mounted = mount && answer.status == 201;
	if (*ret_mounted)
		return 0;
	id_new("upl", id);
	upload.id = arena_strdup(req->arena, id);
	if (read_session(req, &answer, &upload, err) < 0 ||
		store_upload_add(req->worker->db, access, &upload, err) < 0)
		return -1;
	*ret_upload = upload;
	return 0;
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

int upload_take(struct web_req *req, const struct access *access, const char *id,
	struct upload *ret_upload, struct err *err)
{
	struct upload upload;

	if (store_upload_claim(req, access, id, &upload, err) < 0)
		return -1;
	if (upload.location || backend_state_recover(req, &upload, err) == 0) {
		*ret_upload = upload;
		return 0;
	}
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
	bool has = false;

	if (answer->status == 201)
		return 0;
	backend_error(req, answer, &code, &message);
	if (answer->status == 404) {
		if (backend_has_blob(req, upload->repository, digest, &has, err) < 0)
			return -1;
		return has ? 0
			   : err_set(err, ERR_NOT_FOUND, "upload.not_found",
				     "there is no upload '%s'", upload->id);
	}
	if (strcmp(code, "DIGEST_INVALID") == 0)
		return err_set(err, ERR_INVALID, "upload.digest",
			"the uploaded bytes do not have the digest '%s'", digest);
	return err_set(err, ERR_INVALID, "upload.invalid", "the registry refused the upload: %s %s",
		code, message);
}

int upload_commit(struct web_req *req, struct web_res *res, struct upload *upload,
	const char *digest, struct err *err)
{
	const struct fetch_request call = {
		.method = "PUT",
		.url = arena_printf(req->arena, "%s&digest=%s", upload->location, digest),
		.timeout_ms = COMMIT_TIMEOUT_MS,
	};
	auto_response answer = { .status = 0 };

	if (backend_do(req, &call, &answer, err) < 0) {
		upload->location = NULL; /* whether it arrived is not known */
		(void)!upload_settle(req, upload, NULL);
		return -1;
	}
	if (check_committed(req, upload, digest, &answer, err) < 0) {
		if (err->kind == ERR_NOT_FOUND)
			upload->location = NULL;
		(void)!upload_settle(req, upload, NULL);
		return -1;
	}
	if (forget(req, upload, err) < 0)
		return -1;
	res->status = 201;
	web_header_add(res, "Location",
		arena_printf(req->arena, "/v2/%s/blobs/%s", upload->repository, digest));
	web_header_add(res, "Docker-Content-Digest", digest);
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
	if (!upload.location && (upload_take(req, &access, id, &upload, err) < 0 ||
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
		upload_take(req, &access, web_param(req, "upload_id"), &upload, err) < 0)
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
