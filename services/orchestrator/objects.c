/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of objects but for the upload of bytes (object_upload.c). */
#include "services/orchestrator/objects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/roles.h"
#include "services/orchestrator/object_access.h"
#include "services/orchestrator/object_file.h"

struct create_body {
	const char *role, *run, *space;
	long long fence;
};

static const struct json_field input_fields[] = {
	{ "role", JSON_FIELD_TEXT, offsetof(struct create_body, role), true, 16 },
	{ "space", JSON_FIELD_TEXT, offsetof(struct create_body, space), false, ID_SIZE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static const struct json_field output_fields[] = {
	{ "role", JSON_FIELD_TEXT, offsetof(struct create_body, role), true, 16 },
	{ "run", JSON_FIELD_TEXT, offsetof(struct create_body, run), true, ID_SIZE },
	{ "fence", JSON_FIELD_COUNT, offsetof(struct create_body, fence), true, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int objects_init(struct worker *worker, struct err *err)
{
	const struct orchestrator_conf *conf = worker->program;

	if (mkdir(conf->objects_dir, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make '%s'", conf->objects_dir);
	return 0;
}

static int created(struct web_req *req, struct web_res *res, const char *id)
{
	const char *prefix =
		req->principal->kind == WEB_AGENT ? "/v1/agent/objects" : "/v1/objects";

	res->status = 201;
	web_header_add(res, "Location", arena_printf(req->arena, "%s/%s", prefix, id));
	res->json = json_pack("{s:s,s:i}", "id", id, "offset", 0);
	return 0;
}

static int create(
	struct web_req *req, struct web_res *res, const struct create_body *body, struct err *err)
{
	const char *route = body->run ? "POST /v1/agent/objects" : "POST /v1/objects", *known;
	struct object object;
	char id[ID_SIZE];

	if (resource_replayed(req, res, route, &known, err) < 0)
		return -1;
	if (known)
		return created(req, res, known);
	id_new("obj", id);
	object = (struct object) { .tenant = req->principal->tenant,
		.space = body->space ? body->space : req->principal->space,
		.id = id,
		.role = body->role,
		.run = body->run,
		.fence = body->fence,
		.created_by = req->principal->subject };
	if (store_object_add(req, &object, route, err) < 0)
		return -1;
	return created(req, res, id);
}

int object_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct create_body body = { 0 };

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		json_decode(req->arena, req->json, input_fields, &body, err) < 0)
		return -1;
	if (strcmp(body.role, "input") != 0)
		return err_set(err, ERR_INVALID, "object.bad_role",
			"members make inputs; outputs come from runs");
	if (body.space && !principal_in_space(req->principal, body.space))
		return err_set(err, ERR_UNPROCESSABLE, "object.wrong_space",
			"the caller is in no such space");
	return create(req, res, &body, err);
}

int object_create_output(struct web_req *req, struct web_res *res, struct err *err)
{
	struct create_body body = { 0 };
	struct run run;

	if (json_decode(req->arena, req->json, output_fields, &body, err) < 0 ||
		store_run_get(req->worker->db, req->arena, req->principal->tenant, body.run, &run,
			err) < 0)
		return -1;
	if (strcmp(body.role, "output") != 0)
		return err_set(err, ERR_INVALID, "object.bad_role", "an agent makes outputs only");
	if (!object_access_is_holder(req, &run))
		return err_set(
			err, ERR_NOT_FOUND, "run.not_found", "there is no run '%s'", body.run);
	if (run.fence != body.fence || strcmp(run.state, "running") != 0)
		return err_set(err, ERR_CONFLICT, "run.stale_fence",
			"fence %lld does not hold this run", body.fence);
	body.space = run.space;
	return create(req, res, &body, err);
}

/* "bytes=a-b", "bytes=a-" or "bytes=-n" of `size` bytes; anything else means the whole. 1 when it
 * is a part. */
static int parse_range(
	const char *text, long long size, long long *ret_from, long long *ret_len, struct err *err)
{
	long long from, to = size - 1;
	char *end;

	if (!text || strncmp(text, "bytes=", 6) != 0 || strchr(text, ','))
		return 0;
	text += 6;
	errno = 0;
	from = strtoll(text, &end, 10);
	if (errno || end == text)
		return 0;
	if (from < 0) {
		from = size + from < 0 ? 0 : size + from;
	} else if (*end == '-' && end[1]) {
		to = strtoll(end + 1, &end, 10);
		to = to >= size ? size - 1 : to;
	}
	if (from >= size || to < from)
		return err_set(err, ERR_RANGE, "object.range", "the object has %lld bytes", size);
	*ret_from = from;
	*ret_len = to - from + 1;
	return 1;
}

int object_get(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct orchestrator_conf *conf = req->worker->program;
	struct object object;
	int part;

	if (object_access_read(req, &object, err) < 0)
		return -1;
	if (strcmp(object.state, "closed") != 0)
		return err_set(err, ERR_CONFLICT, "object.open",
			"the upload of this object is not complete");
	res->file_len = object.size;
	part = parse_range(
		web_header(req, "Range"), object.size, &res->file_offset, &res->file_len, err);
	if (part < 0 || object_file_read(conf, &object, &res->file_fd, err) < 0)
		return -1;
	if (part) {
		res->status = 206;
		web_header_add(res, "Content-Range",
			arena_printf(req->arena, "bytes %lld-%lld/%lld", res->file_offset,
				res->file_offset + res->file_len - 1, object.size));
	}
	res->content_type = "application/octet-stream";
	web_header_add(res, "Accept-Ranges", "bytes");
	web_header_add(res, "ETag", arena_printf(req->arena, "\"%s\"", object.digest));
	return 0;
}

int object_head(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct orchestrator_conf *conf = req->worker->program;
	struct object object;
	auto_fd int fd = -1;
	long long size = 0;

	if (object_access_read(req, &object, err) < 0)
		return -1;
	if (object_file_read(conf, &object, &fd, NULL) == 0 && object_file_size(fd, &size, err) < 0)
		return -1;
	web_header_add(res, "Upload-Offset", arena_printf(req->arena, "%lld", size));
	web_header_add(res, "Upload-State", object.state);
	if (object.digest)
		web_header_add(res, "Upload-Digest", object.digest);
	return 0;
}

static int hash_file(
	int fd, char ret_digest[DIGEST_TEXT_SIZE], long long *ret_size, struct err *err)
{
	struct digest_stream *stream = digest_stream_new();
	auto_free unsigned char *chunk = mem_alloc(256 * 1024);
	long long size = 0;
	ssize_t got;

	while ((got = pread(fd, chunk, 256 * 1024, size)) > 0) {
		digest_stream_add(stream, chunk, (size_t)got);
		size += got;
	}
	digest_stream_finish_text(stream, ret_digest);
	digest_stream_free(stream);
	*ret_size = size;
	return got < 0 ? err_errno(err, "read an object") : 0;
}

int object_close(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct orchestrator_conf *conf = req->worker->program;
	const char *wanted = web_query(req, "digest");
	char actual[DIGEST_TEXT_SIZE];
	unsigned char bytes[DIGEST_SIZE];
	auto_fd int lock = -1, fd = -1;
	struct object object;
	long long size;

	wanted = wanted ? wanted : "";
	if (object_access_write(req, &object, err) < 0 || digest_parse(wanted, bytes, err) < 0 ||
		object_file_append(conf, &object, &lock, err) < 0 ||
		object_file_read(conf, &object, &fd, err) < 0 ||
		hash_file(fd, actual, &size, err) < 0)
		return -1;
	if (strcmp(actual, wanted) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "digest.mismatch",
			"the %lld bytes received have %s", size, actual);
	if (fsync(lock) < 0)
		return err_errno(err, "sync an object");
	if (store_object_close(req->worker->db, &object, actual, size, err) < 0)
		return -1;
	res->status = 201;
	res->json = json_pack(
		"{s:s,s:s,s:I}", "id", object.id, "digest", actual, "size", (json_int_t)size);
	return 0;
}

int object_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct orchestrator_conf *conf = req->worker->program;
	struct object object;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		object_access_own(req, &object, err) < 0 ||
		store_object_delete(req->worker->db, &object, err) < 0 ||
		object_file_remove(conf, &object, err) < 0)
		return -1;
	res->status = 204;
	return 0;
}
