/* SPDX-License-Identifier: Apache-2.0 */
/* `_state` = base64url(HMAC-SHA256(http.secret, JSON) || JSON{Name,UUID,Offset,StartedAt}), padded.
 */
#include "services/registry-gw/backend_state.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/codec.h"
#include "lib/digest.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/config.h"

#define MAX_SECRET_BYTES 4096
#define ATTEMPTS 3

static int lost(const struct upload *upload, const char *why, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "upload.not_found",
		"the upload '%s' is lost: %s; start again", upload->id, why);
}

static const char *path_of(struct web_req *req, const struct upload *upload, const char *name)
{
	const struct registry_conf *conf = req->worker->program;

	return arena_printf(req->arena, "%s/docker/registry/v2/repositories/%s/_uploads/%s/%s",
		conf->storage, upload->repository, upload->backend_id, name);
}

static int size_of(
	struct web_req *req, const struct upload *upload, long long *ret_size, struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	struct stat status;

	if (!*conf->storage || !*conf->secret_file)
		return lost(upload, "the registry's storage is not known here", err);
	if (stat(path_of(req, upload, "data"), &status) < 0)
		return lost(upload, "the registry's storage has no such file", err);
	*ret_size = status.st_size;
	return 0;
}

/* A full disk leaves an empty hash state, over which the registry stumbles for ever. Without one it
 * reads the whole again when the upload is closed. */
static int mend(struct web_req *req, const struct upload *upload, long long size, struct err *err)
{
	const char *path =
		path_of(req, upload, arena_printf(req->arena, "hashstates/sha256/%lld", size));
	struct stat status;

	if (stat(path, &status) < 0 || status.st_size > 0 || unlink(path) == 0)
		return 0;
	return lost(upload, "the registry had no room for it", err);
}

static int sign(
	struct web_req *req, const char *text, unsigned char ret_mac[DIGEST_SIZE], struct err *err)
{
	const struct registry_conf *conf = req->worker->program;
	struct buf secret = BUF_INIT(MAX_SECRET_BYTES);
	size_t len;

	if (buf_read_file(&secret, conf->secret_file, err) < 0)
		return -1;
	len = secret.len;
	while (len > 0 && secret.data[len - 1] == '\n')
		len--;
	digest_hmac_sha256(secret.data, len, text, strlen(text), ret_mac);
	buf_wipe(&secret);
	return 0;
}

static int make_location(struct web_req *req, struct upload *upload, struct err *err)
{
	const char *json = arena_printf(req->arena,
		"{\"Name\":\"%s\",\"UUID\":\"%s\",\"Offset\":%lld,\"StartedAt\":\"2000-01-01T00:00:"
		"00Z\"}",
		upload->repository, upload->backend_id, upload->offset);
	size_t len = strlen(json);
	unsigned char *state = arena_alloc(req->arena, DIGEST_SIZE + len);
	auto_free char *text = NULL;
	static const char *const padding[] = { "", "", "==", "=" };

	if (sign(req, json, state, err) < 0)
		return -1;
	memcpy(state + DIGEST_SIZE, json, len);
	text = codec_b64url_text(state, DIGEST_SIZE + len);
	upload->location = arena_printf(req->arena, "/v2/%s/blobs/uploads/%s?_state=%s%s",
		upload->repository, upload->backend_id, text, padding[strlen(text) % 4]);
	return 0;
}

static int is_confirmed(
	struct web_req *req, const struct upload *upload, bool *ret_confirmed, struct err *err)
{
	const struct fetch_request call = { .method = "GET", .url = upload->location };
	auto_response answer = { .status = 0 };

	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	*ret_confirmed = answer.status == 204;
	return 0;
}

int backend_state_recover(struct web_req *req, struct upload *upload, struct err *err)
{
	struct upload found = *upload;
	bool confirmed = false;

	for (int i = 0; i < ATTEMPTS && !confirmed; i++) {
		if (size_of(req, upload, &found.offset, err) < 0 ||
			mend(req, upload, found.offset, err) < 0 ||
			make_location(req, &found, err) < 0 ||
			is_confirmed(req, &found, &confirmed, err) < 0)
			return -1;
	}
	if (!confirmed)
		return err_set(err, ERR_UNAVAILABLE, "upload.unsettled",
			"the registry does not confirm where the upload '%s' stands", upload->id);
	*upload = found;
	return 0;
}
