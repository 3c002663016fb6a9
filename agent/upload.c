/* SPDX-License-Identifier: Apache-2.0 */
/* The resumable object protocol of proto/README.md 2.5, from the sender's side. */
#include "agent/upload.h"

#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"

#define CHUNK (4u << 20)
#define CHUNK_TIMEOUT_MS 120000
#define CLOSE_TIMEOUT_MS 300000 /* the server hashes all of it */

struct upload {
	struct api *api;
	char object[ID_SIZE], *path;
	unsigned char *chunk;
	size_t len;
	long long offset; /* of the chunk's first byte */
	struct digest_stream *digest;
};

static int create(struct upload *upload, const char *run, long long fence, struct err *err)
{
	auto_free char *key = mem_printf("Idempotency-Key: output-%s-%lld", run, fence);
	const char *headers[] = { key, NULL };
	const struct fetch_request req = {
		.method = "POST", .url = "/v1/agent/objects", .headers = headers
	};
	auto_json json_t *body = json_pack(
		"{s:s,s:s,s:I}", "role", "output", "run", run, "fence", (json_int_t)fence);
	auto_json json_t *answer = NULL;
	const char *id;

	if (api_call(upload->api, &req, body, &answer, err) < 0)
		return -1;
	id = json_text(answer, "id");
	if (!id || !id_is(id, "obj"))
		return err_set(err, ERR_UPSTREAM, "upstream.protocol", "no object came back");
	snprintf(upload->object, sizeof(upload->object), "%s", id);
	upload->path = mem_printf("/v1/agent/objects/%s", id);
	return 0;
}

int upload_new(struct api *api, const char *run, long long fence, struct upload **ret_upload,
	struct err *err)
{
	struct upload *upload = mem_alloc(sizeof(*upload));

	upload->api = api;
	upload->chunk = mem_alloc(CHUNK);
	upload->digest = digest_stream_new();
	if (create(upload, run, fence, err) < 0) {
		upload_free(upload);
		return -1;
	}
	*ret_upload = upload;
	return 0;
}

void upload_free(struct upload *upload)
{
	if (!upload)
		return;
	digest_stream_free(upload->digest);
	free(upload->chunk);
	free(upload->path);
	free(upload);
}

/* --- chunks --- */

static int send_from(struct upload *upload, size_t skip, struct err *err)
{
	long long from = upload->offset + (long long)skip;
	auto_free char *range = mem_printf(
		"Content-Range: %lld-%lld", from, upload->offset + (long long)upload->len - 1);
	const char *headers[] = { range, "Content-Type: application/octet-stream", NULL };
	const struct fetch_request req = { .method = "PATCH",
		.url = upload->path,
		.headers = headers,
		.body = upload->chunk + skip,
		.body_len = upload->len - skip,
		.timeout_ms = CHUNK_TIMEOUT_MS };

	return api_try(upload->api, &req, NULL, NULL, NULL, err);
}

/* How much of the chunk the server has already. */
static int ask_offset(struct upload *upload, size_t *ret_skip, struct err *err)
{
	auto_free char *text = NULL;
	auto_response res = { 0 };
	long long at;

	if (api_head(upload->api, upload->path, &res, err) < 0)
		return -1;
	text = fetch_header(&res, "Upload-Offset");
	at = text ? strtoll(text, NULL, 10) - upload->offset : -1;
	if (at < 0 || at > (long long)upload->len)
		return err_set(err, ERR_CONFLICT, "upload.lost",
			"the server is at byte %s, the upload at %lld", text ? text : "?",
			upload->offset);
	*ret_skip = (size_t)at;
	return 0;
}

/* A wrong offset means that an answer was lost, or that bytes of a cut connection still arrived:
 * the next try asks first. */
static bool may_pass(struct edge_patience *patience, struct err *failure)
{
	if (failure->kind == ERR_RANGE)
		failure->kind = ERR_UNAVAILABLE;
	return edge_wait(patience, failure);
}

static int flush(struct upload *upload, struct err *err)
{
	struct edge_patience patience = edge_patience_new();
	bool in_doubt = false;
	size_t skip = 0;

	while (skip < upload->len) {
		struct err failure = { 0 };
		int rc = in_doubt ? ask_offset(upload, &skip, &failure) : 0;

		if (rc == 0 && skip == upload->len)
			break;
		if (rc == 0 && send_from(upload, skip, &failure) == 0)
			break;
		if (!may_pass(&patience, &failure)) {
			*err = failure;
			return -1;
		}
		in_doubt = true;
	}
	upload->offset += (long long)upload->len;
	upload->len = 0;
	return 0;
}

int upload_add(struct upload *upload, const void *data, size_t len, struct err *err)
{
	const unsigned char *at = data;

	digest_stream_add(upload->digest, data, len);
	while (len > 0) {
		size_t room = CHUNK - upload->len, part = len < room ? len : room;

		memcpy(upload->chunk + upload->len, at, part);
		upload->len += part;
		at += part;
		len -= part;
		if (upload->len == CHUNK && flush(upload, err) < 0)
			return -1;
	}
	return 0;
}

/* --- the end --- */

/* Closed already: by a try of ours whose answer was lost, if the digest is ours. */
static int check_closed(struct upload *upload, const char *digest, struct err *err)
{
	auto_free char *closed = NULL;
	auto_response res = { 0 };

	if (api_head(upload->api, upload->path, &res, err) < 0)
		return -1;
	closed = fetch_header(&res, "Upload-Digest");
	if (!closed || strcmp(closed, digest) != 0)
		return err_set(err, ERR_CONFLICT, "upload.lost", "the object has other bytes");
	return 0;
}

static int close_object(struct upload *upload, const char *digest, struct err *err)
{
	auto_free char *path = mem_printf("%s?digest=%s", upload->path, digest);
	const struct fetch_request req = {
		.method = "PUT", .url = path, .timeout_ms = CLOSE_TIMEOUT_MS
	};
	auto_json json_t *answer = NULL;
	struct err failure = { 0 };

	if (api_call(upload->api, &req, NULL, &answer, &failure) == 0)
		return 0;
	if (strcmp(failure.code, "object.closed") == 0)
		return check_closed(upload, digest, err);
	*err = failure;
	return -1;
}

int upload_finish(struct upload *upload, char ret_object[ID_SIZE],
	char ret_digest[DIGEST_TEXT_SIZE], long long *ret_size, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];

	if (flush(upload, err) < 0)
		return -1;
	digest_stream_finish_text(upload->digest, digest);
	if (close_object(upload, digest, err) < 0)
		return -1;
	snprintf(ret_object, ID_SIZE, "%s", upload->object);
	snprintf(ret_digest, DIGEST_TEXT_SIZE, "%s", digest);
	*ret_size = upload->offset;
	return 0;
}
