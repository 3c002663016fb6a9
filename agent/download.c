/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of tries, and what counts the bytes. */
#include "agent/download.h"

#include <string.h>

#include "agent/edge.h"
#include "lib/mem.h"

/* A server that breaks off this often without a single byte does not have them. */
#define MAX_EMPTY_TRIES 5

struct progress {
	const struct download *download;
	struct digest_stream *stream;
	long long done;
	unsigned empty_tries;
	struct err refusal; /* by us or by the sink: no other try will help */
};

static int wrong(const struct download *download, const char *what, struct err *err)
{
	return err_set(err, ERR_UNPROCESSABLE, download->code, "%s: %s", download->digest, what);
}

static int take(void *arg, const void *data, size_t len, struct err *err)
{
	struct progress *progress = arg;
	const struct download *download = progress->download;
	int rc;

	if (progress->done + (long long)len > download->size)
		rc = wrong(download, "there are more bytes than announced", &progress->refusal);
	else
		rc = download->sink(download->sink_arg, data, len, &progress->refusal);
	if (rc < 0) {
		*err = progress->refusal;
		return -1;
	}
	digest_stream_add(progress->stream, data, len);
	progress->done += (long long)len;
	return 0;
}

/* 0 when the server sent all that it meant to. */
static int try_once(struct progress *progress, struct err *err)
{
	const struct download *download = progress->download;
	auto_free char *range = mem_printf("Range: bytes=%lld-", progress->done);
	const char *headers[] = { progress->done ? range : NULL, NULL };
	const struct fetch_request req = { .method = "GET",
		.url = download->path,
		.headers = headers,
		.timeout_ms = -1,
		.sink = take,
		.sink_arg = progress };
	long status = 0;

	if (download->get(download->get_arg, &req, &status, err) < 0)
		return -1;
	if (progress->done < download->size)
		return err_set(err, ERR_UPSTREAM, "upstream.truncated", "%lld of %lld bytes came",
			progress->done, download->size);
	return 0;
}

/* Whether the bytes that are missing will not come, however long we wait. */
static bool is_short(struct progress *progress, bool is_further, const struct err *failure)
{
	if (strcmp(failure->code, "upstream.truncated") != 0)
		return false;
	progress->empty_tries = is_further ? 0 : progress->empty_tries + 1;
	return progress->empty_tries >= MAX_EMPTY_TRIES;
}

static int fetch_all(struct progress *progress, struct err *err)
{
	struct edge_patience patience = edge_patience_new();

	while (progress->done < progress->download->size) {
		long long before = progress->done;
		struct err failure = { 0 };

		if (try_once(progress, &failure) == 0)
			break;
		if (progress->refusal.kind != ERR_NONE)
			failure = progress->refusal;
		else if (is_short(progress, progress->done > before, &failure))
			return wrong(
				progress->download, "there are fewer bytes than announced", err);
		else if (progress->done > before)
			edge_progress(&patience);
		if (progress->refusal.kind != ERR_NONE || !edge_wait(&patience, &failure)) {
			*err = failure;
			return -1;
		}
	}
	return 0;
}

int download_run(const struct download *download, struct err *err)
{
	struct progress progress = { .download = download, .stream = digest_stream_new() };
	char digest[DIGEST_TEXT_SIZE];
	int rc = fetch_all(&progress, err);

	if (rc == 0) {
		digest_stream_finish_text(progress.stream, digest);
		if (strcmp(digest, download->digest) != 0)
			rc = wrong(download, "other bytes came", err);
	}
	digest_stream_free(progress.stream);
	return rc;
}
