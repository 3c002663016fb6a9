/* SPDX-License-Identifier: Apache-2.0 */
/* PATCH of an object: bytes go from the socket to the end of the file; what arrived before a cut
 * stays. */
#include <errno.h>
#include <event2/buffer.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/auth.h"
#include "lib/mem.h"
#include "services/orchestrator/object_access.h"
#include "services/orchestrator/object_file.h"
#include "services/orchestrator/objects.h"

struct upload {
	int fd;
	long long offset; /* the file's size now */
	long long end;	  /* where the announced bytes end */
};

static int bad_range(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "object.bad_range", "%s", what);
}

/* "a-b" of Content-Range, inclusive; a must be the offset. */
static int parse_content_range(const char *text, struct upload *upload, struct err *err)
{
	long long from, to;
	char *end;

	if (strncmp(text, "bytes ", 6) == 0)
		text += 6;
	errno = 0;
	from = strtoll(text, &end, 10);
	if (errno || end == text || *end != '-')
		return bad_range(err, "Content-Range must be a-b");
	text = end + 1;
	to = strtoll(text, &end, 10);
	if (errno || end == text || (*end && *end != '/') || from < 0 || to < from ||
		to == LLONG_MAX)
		return bad_range(err, "Content-Range must be a-b");
	if (from != upload->offset)
		return err_set(err, ERR_RANGE, "object.offset", "the upload goes on at byte %lld",
			upload->offset);
	upload->end = to + 1;
	return 0;
}

/* Without Content-Range the body is appended; the room for it is taken before it comes, so its
 * length must be known. */
static int find_end(const struct web_req *req, struct upload *upload, struct err *err)
{
	const char *range = web_header(req, "Content-Range");
	const char *length = web_header(req, "Content-Length");
	long long len = length ? strtoll(length, NULL, 10) : 0;

	if (range)
		return parse_content_range(range, upload, err);
	if (web_header(req, "Transfer-Encoding") || len > LLONG_MAX - upload->offset)
		return bad_range(err, "a body of unknown length needs a Content-Range");
	upload->end = upload->offset + len;
	return 0;
}

static int open_upload(
	struct web_req *req, const struct object *object, struct upload *upload, struct err *err)
{
	const struct orchestrator_conf *conf = req->worker->program;

	if (object_file_append(conf, object, &upload->fd, err) < 0 ||
		object_file_size(upload->fd, &upload->offset, err) < 0 ||
		find_end(req, upload, err) < 0)
		return -1;
	if (upload->end > conf->object_quota_bytes)
		return err_set(err, ERR_FORBIDDEN, "object.quota",
			"the tenant's quota is %ld bytes", conf->object_quota_bytes);
	if (store_object_reserve(
		    req->worker->db, object, upload->end, conf->object_quota_bytes, err) == 0)
		return 0;
	if (err->kind == ERR_NOT_FOUND) /* deleted meanwhile, and made again above */
		(void)!object_file_remove(conf, object, NULL);
	return -1;
}

static void upload_release(void *ctx)
{
	struct upload *upload = ctx;

	if (!upload)
		return;
	if (upload->fd >= 0)
		close(upload->fd);
	free(upload);
}

static int upload_begin(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err)
{
	struct upload *upload;
	struct object object;

	(void)res;
	if (object_access_write(req, &object, err) < 0)
		return -1;
	upload = mem_alloc(sizeof(*upload));
	upload->fd = -1;
	if (open_upload(req, &object, upload, err) < 0) {
		upload_release(upload);
		return -1;
	}
	*ret_ctx = upload;
	return 0;
}

static int upload_body(struct web_stream *stream, void *ctx, struct evbuffer *in, struct err *err)
{
	struct upload *upload = ctx;

	(void)stream;
	while (evbuffer_get_length(in) > 0) {
		long long have = (long long)evbuffer_get_length(in);
		int done;

		if (have > upload->end - upload->offset)
			return bad_range(err, "the body is longer than its Content-Range");
		done = evbuffer_write(in, upload->fd);
		if (done < 0)
			return err_errno(err, "write an object");
		upload->offset += done;
	}
	return 0;
}

static int upload_finish(struct web_req *req, struct web_res *res, void *ctx, struct err *err)
{
	struct upload *upload = ctx;
	struct object object;

	if (upload->offset != upload->end)
		return bad_range(err, "the body is shorter than its Content-Range");
	if (object_access_write(req, &object, err) < 0 ||
		store_object_resize(req->worker->db, &object, upload->offset, err) < 0)
		return -1;
	res->status = 202;
	web_header_add(res, "Upload-Offset", arena_printf(req->arena, "%lld", upload->offset));
	return 0;
}

const struct web_stream_ops object_upload = {
	.begin = upload_begin,
	.body = upload_body,
	.finish = upload_finish,
	.release = upload_release,
};
