/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One blob into the registry: POST opens a session, PATCH sends chunks at the offset, PUT the rest
 * and the digest. After a failure the registry is asked how much it has. A session that it has
 * forgotten, or whose offset it disputes, is replaced by a new one.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci_registry_inner.h"

#define LAST_PIECE (4LL << 20) /* what the PUT may carry */
#define MAX_SESSION 16384u

struct upload {
	struct oci_registry *registry;
	const struct oci_blob *blob;
	int fd;
	char *location; /* path and query; NULL: no session */
	long long offset, best, shown_from;
	bool rejected; /* the registry did not like the whole once */
};

/* --- the session and its file --- */

/* Only places of the same server: the token goes there too. */
static int take_location(struct upload *up, const char *location, struct err *err)
{
	const char *base = up->registry->base_url, *path = location;
	size_t len = strlen(base);

	while (len > 0 && base[len - 1] == '/')
		len--;
	if (path && strncmp(path, base, len) == 0 && path[len] == '/')
		path += len;
	else if (path && strncmp(base, "unix:", 5) == 0 && strncmp(path, "http://", 7) == 0)
		path = strchr(path + 7, '/');
	if (!path || path[0] != '/' || path[1] == '/' || strlen(path) > MAX_SESSION / 2)
		return err_set(err, ERR_UPSTREAM, "registry.location",
			"the upload would go on at another server: '%.100s'",
			location ? location : "");
	path = mem_strdup(path);
	free(up->location);
	up->location = (char *)path;
	return 0;
}

static int follow(struct upload *up, const struct fetch_response *res, struct err *err)
{
	auto_free char *location = fetch_header(res, "Location");

	return take_location(up, location, err);
}

static int remember(const struct upload *up, struct err *err)
{
	auto_json json_t *session = NULL;
	auto_free char *text = NULL;

	if (!up->registry->session_file)
		return 0;
	session = json_pack("{s:s,s:s,s:s,s:s}", "server", up->registry->base_url, "repository",
		up->registry->repository, "digest", up->blob->digest, "location", up->location);
	text = json_dumps(session, JSON_COMPACT);
	return buf_write_file(up->registry->session_file, text, strlen(text), 0600, err);
}

static bool is_member(const json_t *session, const char *name, const char *expected)
{
	const char *text = json_text(session, name);

	return text && strcmp(text, expected) == 0;
}

/* What cannot be read or is about something else is no session. */
static void recall(struct upload *up)
{
	auto_buf buf = BUF_INIT(MAX_SESSION);
	auto_json json_t *session = NULL;

	if (!up->registry->session_file ||
		buf_read_file(&buf, up->registry->session_file, NULL) < 0 || buf.len == 0)
		return;
	session = json_parse((const char *)buf.data, buf.len, NULL);
	if (is_member(session, "server", up->registry->base_url) &&
		is_member(session, "repository", up->registry->repository) &&
		is_member(session, "digest", up->blob->digest))
		(void)take_location(up, json_text(session, "location"), NULL);
}

static void forget(struct upload *up)
{
	free(up->location);
	up->location = NULL;
	up->offset = 0;
}

/* --- steps --- */

static int start(struct upload *up, struct err *err)
{
	auto_free char *path = mem_printf("/v2/%s/blobs/uploads/", up->registry->repository);
	struct oci_call call = { .method = "POST", .path = path };
	auto_response res = { 0 };

	if (oci_registry_call_patiently(up->registry, &call, &res, err) < 0)
		return -1;
	if (res.status != 202)
		return oci_registry_refused(&res, "start an upload", err);
	if (follow(up, &res, err) < 0)
		return -1;
	up->offset = 0;
	return remember(up, err);
}

static void show(void *arg, long long done, long long total)
{
	struct upload *up = arg;
	const struct oci_registry_conf *conf = &up->registry->conf;

	(void)total;
	conf->progress(conf->progress_arg, up->shown_from + done, up->blob->size);
}

static void body_of(struct upload *up, long long len, struct fetch_request *io)
{
	*io = (struct fetch_request) { .timeout_ms = -1 };
	if (len == 0)
		return;
	io->body_fd = up->fd;
	io->body_offset = up->offset;
	io->body_len = (size_t)len;
	up->shown_from = up->offset;
	if (up->registry->conf.progress) {
		io->progress = show;
		io->progress_arg = up;
	}
}

/* The registry has no such session, or another idea of where it stands. */
static bool is_lost(long status)
{
	return status == 400 || status == 404 || status == 409 || status == 416;
}

static int lost(struct upload *up, const struct fetch_response *res, struct err *err)
{
	oci_registry_refused(res, "send a blob", err);
	if (is_lost(res->status)) {
		forget(up);
		err->kind = ERR_UNAVAILABLE; /* to be tried again, from the start */
	}
	return -1;
}

static int patch(struct upload *up, long long len, struct err *err)
{
	auto_free char *range =
		mem_printf("Content-Range: %lld-%lld", up->offset, up->offset + len - 1);
	struct oci_call call = {
		.method = "PATCH",
		.path = up->location,
		.headers = { range, "Content-Type: application/octet-stream" },
	};
	auto_response res = { 0 };

	body_of(up, len, &call.io);
	if (oci_registry_call(up->registry, &call, &res, err) < 0)
		return -1;
	if (res.status != 202)
		return lost(up, &res, err);
	if (follow(up, &res, err) < 0)
		return -1;
	up->offset += len;
	return remember(up, err);
}

/* A digest that the registry does not find is tried once more: an old session may have held other
 * bytes. */
static int finish(struct upload *up, struct err *err)
{
	auto_free char *path = mem_printf("%s%cdigest=%s", up->location,
		strchr(up->location, '?') ? '&' : '?', up->blob->digest);
	struct oci_call call = {
		.method = "PUT",
		.path = path,
		.headers = { "Content-Type: application/octet-stream" },
	};
	auto_response res = { 0 };

	body_of(up, up->blob->size - up->offset, &call.io);
	if (oci_registry_call(up->registry, &call, &res, err) < 0)
		return -1;
	if (res.status == 201)
		return 0;
	if (res.status == 400 && up->rejected)
		return oci_registry_refused(&res, "finish a blob", err);
	up->rejected = up->rejected || res.status == 400;
	return lost(up, &res, err);
}

static int send_rest(struct upload *up, struct err *err)
{
	long long chunk = up->registry->conf.chunk_bytes;
	long long last = chunk < LAST_PIECE ? chunk : LAST_PIECE;

	if (!up->location && start(up, err) < 0)
		return -1;
	while (up->blob->size - up->offset > last) {
		long long left = up->blob->size - up->offset;

		if (patch(up, left < chunk ? left : chunk, err) < 0)
			return -1;
	}
	assert(up->location);
	return finish(up, err);
}

/* --- where the registry stands --- */

/* "0-N" of a Range header: N + 1 bytes; "0-0" means none, as with docker's registry. -1:
 * unreadable. */
static long long range_end(const char *range)
{
	char *end = NULL;
	long long last;

	if (!range || strncmp(range, "0-", 2) != 0 || range[2] < '0' || range[2] > '9')
		return -1;
	errno = 0;
	last = strtoll(range + 2, &end, 10);
	if (errno || *end || last >= OCI_MAX_BLOB)
		return -1;
	return last == 0 ? 0 : last + 1;
}

/* Asks for the offset of the session; without a good answer there is no session any more. */
static void ask_offset(struct upload *up)
{
	struct oci_call call = { .method = "GET", .path = up->location };
	auto_response res = { 0 };
	auto_free char *range = NULL;
	long long offset;

	if (!up->location)
		return;
	if (oci_registry_call_patiently(up->registry, &call, &res, NULL) < 0 || res.status != 204) {
		forget(up);
		return;
	}
	range = fetch_header(&res, "Range");
	offset = range_end(range);
	if (offset < 0 || offset > up->blob->size || follow(up, &res, NULL) < 0) {
		forget(up);
		return;
	}
	up->offset = offset;
}

int oci_registry_put_blob(
	struct oci_registry *registry, const struct oci_blob *blob, int fd, struct err *err)
{
	struct upload up = { .registry = registry, .blob = blob, .fd = fd };
	struct err inner = { .kind = ERR_NONE };
	unsigned failures = 0;
	int result;

	recall(&up);
	ask_offset(&up);
	while ((result = send_rest(&up, &inner)) < 0) {
		if (up.offset > up.best) {
			up.best = up.offset;
			failures = 0;
		}
		if (!oci_registry_again(registry, &inner, &failures))
			break;
		ask_offset(&up);
	}
	free(up.location);
	if (result == 0 && registry->session_file)
		unlink(registry->session_file);
	if (result < 0 && err)
		*err = inner;
	return result;
}
