/* SPDX-License-Identifier: Apache-2.0 */
/* Sending and fetching of encrypted objects. */
#include "client/upload.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/files.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define CHUNK (8LL * 1024 * 1024)
#define MAX_STALLS 20

struct transfer {
	struct api *api;
	struct ui *ui;
	const char *label;
	long long base, size; /* bytes before this request; of the whole */
	int fd;
};

static void on_progress(void *arg, long long done, long long total)
{
	const struct transfer *transfer = arg;

	(void)total;
	ui_progress(transfer->ui, transfer->label, transfer->base + done, transfer->size);
}

/* How far the upload came, and whether it was closed before we could note that. */
static int get_offset(
	struct api *api, const char *url, long long *ret_offset, bool *ret_closed, struct err *err)
{
	struct fetch_request req = { .method = "HEAD", .url = url };
	auto_response res = { 0 };
	auto_free char *offset = NULL, *state = NULL;

	if (api_raw(api, "object-offset", "orchestrator", &req, &res, err) < 0)
		return -1;
	if (res.status >= 400)
		return api_problem(&res, err);
	offset = fetch_header(&res, "Upload-Offset");
	if (!offset)
		return err_set(err, ERR_UPSTREAM, "upstream.answer", "the object tells no offset");
	state = fetch_header(&res, "Upload-State");
	*ret_offset = strtoll(offset, NULL, 10);
	*ret_closed = state && strcmp(state, "closed") == 0;
	return 0;
}

/* One range. Whatever went wrong on the way, HEAD says afterwards how far it came. */
static int send_chunk(struct transfer *transfer, const char *url, long long offset, struct err *err)
{
	long long len = transfer->size - offset < CHUNK ? transfer->size - offset : CHUNK;
	auto_free char *range = mem_printf("Content-Range: %lld-%lld", offset, offset + len - 1);
	const char *headers[] = { range, "Content-Type: application/octet-stream", NULL };
	struct fetch_request req = { .method = "PATCH",
		.url = url,
		.headers = headers,
		.body_fd = transfer->fd,
		.body_offset = offset,
		.body_len = (size_t)len,
		.timeout_ms = -1,
		.progress = on_progress,
		.progress_arg = transfer };
	auto_response res = { 0 };

	transfer->base = offset;
	if (api_raw(transfer->api, "object-patch", "orchestrator", &req, &res, err) < 0)
		return -1;
	return res.status >= 400 ? api_problem(&res, err) : 0;
}

static int send_all(struct transfer *transfer, const char *url, bool *ret_closed, struct err *err)
{
	long long offset = 0, before = -1;
	struct err reason = { 0 };

	for (int stalls = 0; stalls < MAX_STALLS; stalls++) {
		if (get_offset(transfer->api, url, &offset, ret_closed, err) < 0)
			return -1;
		if (offset >= transfer->size)
			return 0;
		if (offset > before)
			stalls = 0;
		before = offset;
		if (send_chunk(transfer, url, offset, &reason) < 0 && reason.kind != ERR_UPSTREAM &&
			reason.kind != ERR_TIMEOUT && reason.kind != ERR_RANGE &&
			reason.kind != ERR_UNAVAILABLE && reason.kind != ERR_CONFLICT)
			break;
	}
	*err = reason;
	return err_wrap(err, "upload stopped at byte %lld", offset);
}

static int close_object(struct task *task, const char *url, const char *digest, struct err *err)
{
	auto_free char *closing = mem_printf("%s?digest=%s", url, digest);
	struct fetch_request req = { .method = "PUT", .url = closing, .timeout_ms = 120000 };
	auto_response res = { 0 };

	if (api_raw(task->project->api, "object-close", "orchestrator", &req, &res, err) < 0)
		return -1;
	return res.status >= 400 ? api_problem(&res, err) : 0;
}

int upload_object(struct task *task, const char *path, const char *digest, long long size,
	const char **ret_object, struct err *err)
{
	auto_json json_t *body =
		json_pack("{s:s,s:s*}", "role", "input", "space", task_field(task, "space"));
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct transfer transfer = { .api = task->project->api,
		.ui = task->project->ui,
		.label = "upload",
		.size = size,
		.fd = fd };
	auto_free char *url = NULL;
	bool is_closed = false;
	const char *id;

	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	if (task_create(task, "create-object", "orchestrator", "/v1/objects", body, &id, err) < 0)
		return -1;
	url = mem_printf("%s/v1/objects/%s", task->project->profile.url, id);
	if (!task_kept(task, "object-closed")) {
		if (send_all(&transfer, url, &is_closed, err) < 0 ||
			(!is_closed && close_object(task, url, digest, err) < 0) ||
			task_keep(task, "object-closed", digest, err) < 0)
			return -1;
	}
	*ret_object = id;
	return 0;
}

static int to_file(void *arg, const void *data, size_t len, struct err *err)
{
	const struct transfer *transfer = arg;

	return files_write_all(transfer->fd, data, len, err);
}

/* From where the file ends. A server that answers 200 sends the whole: start again then. */
static int receive(struct transfer *transfer, const char *url, struct err *err)
{
	auto_free char *range = mem_printf("Range: bytes=%lld-", transfer->base);
	const char *headers[] = { range, NULL };
	struct fetch_request req = { .method = "GET",
		.url = url,
		.headers = transfer->base ? headers : NULL,
		.timeout_ms = -1,
		.sink = to_file,
		.sink_arg = transfer,
		.progress = on_progress,
		.progress_arg = transfer };
	auto_response res = { 0 };
	long long start = transfer->base;

	if (api_raw(transfer->api, "object-get", "orchestrator", &req, &res, err) < 0)
		return -1;
	if (res.status == 200 || res.status == 206) {
		if ((res.status == 206) == (start > 0))
			return 0;
		err_set(err, ERR_UPSTREAM, "upstream.answer",
			"the server did not keep to the range");
	} else {
		api_problem(&res, err);
	}
	if (ftruncate(transfer->fd, start) < 0)
		return err_errno(err, "truncate");
	return -1;
}

static int receive_all(struct transfer *transfer, const char *url, struct err *err)
{
	struct err reason = { 0 };

	for (int tries = 0; tries < MAX_STALLS; tries++) {
		struct stat st;

		if (fstat(transfer->fd, &st) < 0 || lseek(transfer->fd, 0, SEEK_END) < 0)
			return err_errno(err, "look at the partial file");
		if (st.st_size >= transfer->size)
			return 0;
		if (st.st_size > transfer->base)
			tries = 0;
		transfer->base = st.st_size;
		if (receive(transfer, url, &reason) < 0 && reason.kind != ERR_UPSTREAM &&
			reason.kind != ERR_TIMEOUT && reason.kind != ERR_UNAVAILABLE)
			break;
	}
	*err = reason;
	return err_wrap(err, "download stopped at byte %lld", transfer->base);
}

int download_object(struct api *api, struct ui *ui, const struct download *wanted, const char *path,
	struct err *err)
{
	auto_free char *url = mem_printf("%s/v1/objects/%s", api_profile(api)->url, wanted->object);
	auto_free char *part = mem_printf("%s.part", path);
	auto_fd int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct transfer transfer = {
		.api = api, .ui = ui, .label = "download", .size = wanted->size, .fd = fd
	};
	char actual[DIGEST_TEXT_SIZE];
	long long actual_size = 0;

	if (fd < 0)
		return err_errno(err, "open '%s'", part);
	if (receive_all(&transfer, url, err) < 0 ||
		digest_file(part, actual, &actual_size, err) < 0)
		return -1;
	if (strcmp(actual, wanted->digest) != 0 || actual_size != wanted->size) {
		unlink(part);
		return err_set(err, ERR_UNPROCESSABLE, "digest.mismatch",
			"the object is not the one that the run names");
	}
	return rename(part, path) < 0 ? err_errno(err, "rename '%s'", part) : 0;
}
