/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET of a blob: registry -> client, as fast as the client takes it. The registry's answer is read
 * no further than what waits for the client.
 */
#include "services/registry-gw/relay_blob.h"

#include <event2/buffer.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/blobs.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/relay.h"

struct download {
	const char *digest;
	long long size;
	const char *socket;
	const char *head;
	struct relay relay;
	struct web_stream *stream;
	bool refused; /* the client has its answer already */
};

/* One range of bytes is passed on; anything else is answered with the whole, as RFC 9110 14.2
 * allows. */
static const char *range_line(struct web_req *req)
{
	const char *range = web_header(req, "Range");
	size_t zeros;

	if (!range || strncmp(range, "bytes=", 6) != 0 ||
		strspn(range + 6, "0123456789-") != strlen(range + 6))
		return "";
	zeros = range[6] == '-' ? strspn(range + 7, "0") : 0;
	if (zeros > 0 && !range[7 + zeros]) /* the last 0 bytes: docker-registry answers 206 */
		return "Range: bytes=9223372036854775807-\r\n";
	return arena_printf(req->arena, "Range: %s\r\n", range);
}

static int begin(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	struct download *download = arena_alloc(req->arena, sizeof(*download));
	struct access access;

	if (blob_check(req, res, &access, &download->size, err) < 0)
		return -1;
	download->digest = web_param(req, "digest");
	download->socket = conf->socket;
	download->head = arena_printf(req->arena,
		"GET /v2/%s/blobs/%s HTTP/1.1\r\nHost: registry\r\n%sConnection: close\r\n\r\n",
		access.repository, download->digest, range_line(req));
	*ret_ctx = download;
	return 0;
}

static void refuse(struct download *download, int status)
{
	struct err err;

	download->refused = true;
	if (status == 404)
		err_set(&err, ERR_NOT_FOUND, "blob.not_found", "there is no blob '%s'",
			download->digest);
	else if (status == 416)
		err_set(&err, ERR_RANGE, "blob.range", "the range lies outside the blob");
	else
		err_set(&err, ERR_UPSTREAM, "registry.failed", "the registry answered %d to a blob",
			status);
	web_stream_fail(download->stream, &err);
}

static void on_head(struct relay *relay)
{
	struct download *download = relay->owner;
	const char *range = http_head_find(&relay->head, "Content-Range");
	struct web_pair headers[4] = {
		{ "Content-Type", "application/octet-stream" },
		{ "Docker-Content-Digest", download->digest },
		{ "Accept-Ranges", "bytes" },
	};
	size_t n_headers = 3;

	if (relay->head.status != 206 &&
		(relay->head.status != 200 || relay->head.content_length != download->size)) {
		refuse(download, relay->head.status);
		return;
	}
	if (range)
		headers[n_headers++] = (struct web_pair) { "Content-Range", range };
	web_stream_reply_head(download->stream, relay->head.status, headers, n_headers,
		relay->head.content_length);
}

static void on_data(struct relay *relay, struct evbuffer *data)
{
	struct download *download = relay->owner;

	if (download->refused)
		evbuffer_drain(data, evbuffer_get_length(data));
	else if (!web_stream_reply_data(download->stream, data))
		relay_pause(relay);
}

static void on_settled(struct relay *relay)
{
	struct download *download = relay->owner;

	if (download->refused)
		return;
	if (relay->state == RELAY_DONE)
		web_stream_reply_end(download->stream);
	else
		web_stream_fail(download->stream, &relay->err);
}

static const struct relay_hooks hooks = { .head = on_head, .data = on_data, .settled = on_settled };

static int start(struct web_stream *stream, void *ctx, struct err *err)
{
	struct download *download = ctx;

	download->stream = stream;
	download->relay.hooks = &hooks;
	download->relay.owner = download;
	return relay_start(&download->relay, web_stream_base(stream), download->socket,
		download->head, false, err);
}

static void drained(struct web_stream *stream, void *ctx)
{
	struct download *download = ctx;

	(void)stream;
	relay_resume(&download->relay);
}

/* What is still on its way has nobody to go to. */
static void gone(struct web_stream *stream, void *ctx)
{
	struct download *download = ctx;

	(void)stream;
	download->refused = true;
}

static void release(void *ctx)
{
	struct download *download = ctx;

	relay_release(&download->relay);
}

const struct web_stream_ops relay_blob = {
	.begin = begin,
	.relay = start,
	.drained = drained,
	.gone = gone,
	.release = release,
};
