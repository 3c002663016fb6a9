/* SPDX-License-Identifier: Apache-2.0 */
/* What happens on the lane before the first byte of a write and after its last one. */
#include "services/registry-gw/upload_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/reference.h"
#include "services/registry-gw/uploads.h"

int upload_write_range(const char *text, long long *ret_from, long long *ret_to, struct err *err)
{
	static const char digits[] = "0123456789";
	size_t from_len = text ? strspn(text, digits) : 0;
	size_t to_len = from_len && text[from_len] == '-' ? strspn(text + from_len + 1, digits) : 0;
	long long from, to;

	*ret_from = *ret_to = -1;
	if (!text)
		return 0;
	if (!from_len || !to_len || from_len > 18 || to_len > 18 || text[from_len + 1 + to_len])
		return err_set(err, ERR_INVALID, "upload.bad_range",
			"Content-Range must be <first>-<last>");
	from = strtoll(text, NULL, 10);
	to = strtoll(text + from_len + 1, NULL, 10);
	if (to < from)
		return err_set(err, ERR_INVALID, "upload.bad_range",
			"Content-Range ends before it starts");
	*ret_from = from;
	*ret_to = to;
	return 0;
}

/* --- before --- */

/* Content-Length, -1 for a chunked body. */
static long long body_length(const struct web_req *req)
{
	const char *length = web_header(req, "Content-Length");

	if (web_header(req, "Transfer-Encoding"))
		return -1;
	return length ? strtoll(length, NULL, 10) : 0;
}

static int check_range(const struct web_req *req, const struct upload *upload, struct err *err)
{
	long long from, to, length = body_length(req);

	if (upload_write_range(web_header(req, "Content-Range"), &from, &to, err) < 0)
		return -1;
	if (from >= 0 && from != upload->offset)
		return err_set(err, ERR_RANGE, "upload.offset", "the upload goes on at byte %lld",
			upload->offset);
	if (from >= 0 && length >= 0 && length != to - from + 1)
		return err_set(err, ERR_INVALID, "upload.length",
			"the body has %lld bytes, its Content-Range says %lld", length,
			to - from + 1);
	return 0;
}

/* All of a known length, a step of one that is not. */
static int reserve(struct web_req *req, struct upload *upload, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	long long length = body_length(req);
	long long least = upload->offset + (length >= 0 ? length : 1);

	return quota_reserve(req->worker->db, &conf->limits, upload, least,
		length >= 0 ? least : upload->offset + UPLOAD_STEP_BYTES, err);
}

static void take_head(struct web_req *req, struct upload_write *write)
{
	struct registry_conf *conf = req->worker->program;

	write->socket = conf->socket;
	write->writers = &conf->writers;
	write->head = arena_printf(req->arena,
		"PATCH %s HTTP/1.1\r\nHost: registry\r\nContent-Type: application/octet-stream\r\n"
		"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
		write->upload.location);
	write->wake = req->worker->wake;
	write->writer.id = write->upload.id;
	write->writer.upload = &write->upload;
	write->writer.principal = req->principal;
	atomic_init(&write->writer.granted, write->upload.reserved - write->upload.offset);
	writers_add(write->writers, &write->writer);
}

/* What stands against it is said before a byte is taken. */
static int check_place(
	struct web_req *req, struct web_res *res, struct upload *upload, struct err *err)
{
	if (check_range(req, upload, err) == 0 && reserve(req, upload, err) == 0)
		return 0;
	(void)!upload_settle(req, upload, NULL);
	if (err->kind == ERR_RANGE)
		upload_answer(req, res, upload, 416);
	return -1;
}

/* Takes the session; 1: all is done and answered, 0: bytes follow. */
static int begin(struct web_req *req, struct web_res *res, const struct access *access,
	const char *id, const char *digest, void **ret_ctx, struct err *err)
{
	struct upload_write *write = arena_alloc(req->arena, sizeof(*write));
	int taken = upload_take(req, access, id, digest, &write->upload, err);

	if (taken > 0)
		upload_answer_blob(req, res, access, digest);
	if (taken != 0)
		return taken;
	if (check_place(req, res, &write->upload, err) < 0)
		return -1;
	if (digest && body_length(req) == 0)
		return upload_commit(req, res, access, &write->upload, digest, err) < 0 ? -1 : 1;
	write->access = *access;
	write->digest = digest;
	take_head(req, write);
	*ret_ctx = write;
	return 0;
}

static int digest_of(
	const struct web_req *req, const char *name, const char **ret_digest, struct err *err)
{
	*ret_digest = web_query(req, name);
	return *ret_digest ? reference_check_digest(*ret_digest, err) : 0;
}

int upload_write_patch(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err)
{
	struct access access;

	if (access_check_session(req, res, &access, err) < 0)
		return -1;
	return begin(req, res, &access, web_param(req, "upload_id"), NULL, ret_ctx, err);
}

int upload_write_put(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err)
{
	const char *digest;
	struct access access;

	if (access_check_session(req, res, &access, err) < 0 ||
		digest_of(req, "digest", &digest, err) < 0)
		return -1;
	if (!digest)
		return err_set(err, ERR_INVALID, "digest.invalid",
			"PUT closes an upload and needs ?digest=");
	return begin(req, res, &access, web_param(req, "upload_id"), digest, ret_ctx, err);
}

/* ?digest-algorithm= */
static int check_algorithm(const struct web_req *req, struct err *err)
{
	const char *algorithm = web_query(req, "digest-algorithm");

	if (!algorithm || strcmp(algorithm, "sha256") == 0)
		return 0;
	return err_set(err, ERR_INVALID, "digest.unsupported",
		"digests of the algorithm '%.32s' are not kept here: use sha256", algorithm);
}

/* A mount that the token does not allow, or of what is not there, is an upload like any other. */
static int find_mount(struct web_req *req, const struct access *access, const char *digest,
	struct upload_mount *ret_mount, bool *ret_mounts, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	struct access source = *access;

	source.repository = web_query(req, "from");
	*ret_mounts = false;
	if (!digest || !source.repository || !access_pulls(req, source.repository))
		return 0;
	*ret_mount = (struct upload_mount) { .digest = digest, .from = source.repository };
	if (store_blob_size(
		    req->worker->db, &source, digest, conf->grace_ms, &ret_mount->size, err) < 0)
		return -1;
	*ret_mounts = ret_mount->size >= 0;
	return 0;
}

int upload_write_post(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err)
{
	const char *digest, *mounted;
	struct upload_mount mount;
	struct access access;
	struct upload upload;
	bool mounts, is_there = false;

	if (access_check(req, res, ACCESS_PUSH, &access, err) < 0 ||
		digest_of(req, "digest", &digest, err) < 0 ||
		digest_of(req, "mount", &mounted, err) < 0 || check_algorithm(req, err) < 0 ||
		find_mount(req, &access, mounted, &mount, &mounts, err) < 0 ||
		upload_open(req, &access, mounts ? &mount : NULL, &upload, &is_there, err) < 0)
		return -1;
	if (is_there) {
		upload_answer_blob(req, res, &access, mounted);
		return 1;
	}
	if (digest && !mounted)
		return begin(req, res, &access, upload.id, digest, ret_ctx, err);
	upload_answer(req, res, &upload, 202);
	return 1;
}

/* --- after --- */

/* What the registry said about the bytes; the place is unknown unless it took them all. */
static int take_answer(struct web_req *req, struct upload_write *write, struct err *err)
{
	const struct relay *relay = &write->relay;
	struct upload *upload = &write->upload;
	const char *location = upload->location;

	if (relay->state == RELAY_IDLE) /* nothing was sent */
		return write->err.kind ? (*err = write->err, -1) : 0;
	upload->location = NULL;
	if (relay->state == RELAY_FAILED) {
		*err = relay->err;
		return -1;
	}
	if (relay->head.status != 202)
		return err_set(err, ERR_UPSTREAM, "registry.failed",
			"the registry answered %d to a piece at '%.80s'", relay->head.status,
			location);
	if (backend_location(req, http_head_find(&relay->head, "Location"), upload->repository,
		    &upload->location, err) < 0)
		return -1;
	upload->offset += relay->sent;
	return 0;
}

/* Who was revoked in the middle neither closes the upload nor is told where it stands; what does
 * not fit into the quota was not passed on. */
static int check_still(struct web_req *req, struct upload_write *write, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;

	if (writers_is_revoked(&write->writer))
		return err_set(err, ERR_UNAUTHENTICATED, "auth.revoked", "the token was revoked");
	if (auth_check_revoked(req->worker->auth, req->principal, err) < 0)
		return -1;
	if (!write->is_over)
		return 0;
	return quota_refuse_bytes(req->worker->db, write->upload.tenant, &conf->limits, 1, err);
}

int upload_write_finish(struct web_req *req, struct web_res *res, void *ctx, struct err *err)
{
	struct upload_write *write = ctx;
	struct upload *upload = &write->upload;
	int result = take_answer(req, write, err);

	if (result == 0)
		result = check_still(req, write, err);
	if (result == 0 && write->digest && !write->gone)
		return upload_commit(req, res, &write->access, upload, write->digest, err);
	if (upload_settle(req, upload, result < 0 ? NULL : err) < 0 || result < 0)
		return -1;
	if (write->gone)
		return err_set(err, ERR_INVALID, "upload.cut",
			"the body ended early; the upload goes on at byte %lld", upload->offset);
	upload_answer(req, res, upload, 202);
	return 0;
}
