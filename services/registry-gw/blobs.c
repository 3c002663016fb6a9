/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob is there when its row is: HEAD and DELETE never ask the registry behind. What a row says
 * is the tenant's and the repository's own, so what another tenant has is not found here.
 */
#include "services/registry-gw/blobs.h"

#include <string.h>
#include <time.h>

#include "lib/service.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/queries.h"
#include "services/registry-gw/reference.h"

#define BUSY_TRIES 100
#define BUSY_WAIT_NS (100L * 1000 * 1000)

static int not_found(const char *digest, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "blob.not_found", "there is no blob '%s'", digest);
}

int blob_find(struct web_req *req, const struct access *access, const char *digest,
	long long *ret_size, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	long long size;

	if (store_blob_size(req->worker->db, access, digest, conf->grace_ms, &size, err) < 0)
		return -1;
	if (size < 0)
		return not_found(digest, err);
	*ret_size = size;
	return 0;
}

int blob_check(struct web_req *req, struct web_res *res, struct access *ret_access,
	long long *ret_size, struct err *err)
{
	const char *digest = web_param(req, "digest");

	if (access_check(req, res, ACCESS_PULL, ret_access, err) < 0 ||
		reference_check_digest(digest, err) < 0 ||
		access_reaches(req, ret_access, digest, false, err) < 0)
		return -1;
	return blob_find(req, ret_access, digest, ret_size, err);
}

static int answer_head(struct web_req *req, struct web_res *res, long long size)
{
	web_header_add(res, "Content-Length", arena_printf(req->arena, "%lld", size));
	web_header_add(res, "Docker-Content-Digest", web_param(req, "digest"));
	web_header_add(res, "Accept-Ranges", "bytes");
	res->content_type = "application/octet-stream";
	return 0;
}

/* An agent's, which reaches its one image only. */
int blob_head(struct web_req *req, struct web_res *res, struct err *err)
{
	struct access access;
	long long size;

	if (blob_check(req, res, &access, &size, err) < 0)
		return -1;
	return answer_head(req, res, size);
}

static int ask(struct web_req *req, struct web_res *res, const char *params[WEB_READ_PARAMS],
	struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	const char *digest = web_param(req, "digest");
	struct access access;

	if (access_check(req, res, ACCESS_PULL, &access, err) < 0 ||
		reference_check_digest(digest, err) < 0)
		return -1;
	if (access.image)
		return 0;
	params[1] = access.repository;
	params[2] = digest;
	params[3] = db_number_text(arena_alloc(req->arena, DB_NUMBER_SIZE), conf->grace_ms);
	return 4;
}

static int answer(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	const struct access access = access_again(req);
	const char *digest = web_param(req, "digest");
	long long size;

	if (store_blob_row(req->worker->db, &access, digest, rows, &size, err) < 0)
		return -1;
	return size < 0 ? not_found(digest, err) : answer_head(req, res, size);
}

const struct web_read blob_read = { .sql = &SQL_BLOB_GET, .answer = answer, .ask = ask };

int blob_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	const char *digest = web_param(req, "digest");
	struct access access;

	if (access_check(req, res, ACCESS_DELETE, &access, err) < 0 ||
		reference_check_digest(digest, err) < 0 ||
		store_blob_delete(req->worker->db, &access, digest, conf->grace_ms, err) < 0)
		return -1;
	res->status = 202;
	return 0;
}

/* What is being deleted at the registry is soon gone, or the deletion's lease is over. */
int blob_expect(struct web_req *req, const struct access *access, enum store_kind kind,
	const char *digest, const struct upload *upload, struct err *err)
{
	static const struct timespec pause = { .tv_nsec = BUSY_WAIT_NS };

	for (int i = 0;; i++) {
		struct err failure = { .kind = ERR_NONE };

		if (store_expect(req->worker->db, access, kind, digest, upload, &failure) == 0)
			return 0;
		if (i == BUSY_TRIES || strcmp(failure.code, "leftover.busy") != 0) {
			*err = failure;
			return -1;
		}
		nanosleep(&pause, NULL);
	}
}
