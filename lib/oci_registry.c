/* SPDX-License-Identifier: Apache-2.0 */
/* One authorised request of the registry client, its errors, and the small calls on top of it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "lib/oci_registry_inner.h"

#define DEFAULT_ATTEMPTS 6u
#define FIRST_WAIT_MS 100u
#define MAX_WAIT_MS 5000u
#define MAX_NAME 255u
#define MAX_TAG 128u
#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* --- names --- */

/* Words of lower-case letters and digits; between them '.', '/', '_', "__" or any number of '-'. */
static bool is_repository(const char *name)
{
	bool after_word = false;
	char before = '\0';

	if (strlen(name) > MAX_NAME)
		return false;
	for (; *name; before = *name++) {
		bool is_word = strchr(LETTERS DIGITS, *name) != NULL;
		bool is_run = before == *name && (*name == '-' || *name == '_');

		if (!is_word && !is_run && (!after_word || !strchr("._-/", *name)))
			return false;
		after_word = is_word;
	}
	return after_word;
}

static bool is_reference(const char *text)
{
	unsigned char digest[DIGEST_SIZE];
	size_t len = strlen(text);

	if (digest_parse(text, digest, NULL) == 0)
		return true;
	return len > 0 && len <= MAX_TAG && *text != '.' && *text != '-' &&
	       strspn(text, LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "._-") == len;
}

static char *copy(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

int oci_registry_new(
	const struct oci_registry_conf *conf, struct oci_registry **ret_registry, struct err *err)
{
	struct oci_registry *registry;
	auto_free char *url = NULL;
	const char *socket;

	if (!is_repository(conf->repository))
		return err_set(err, ERR_INVALID, "registry.name", "'%.100s' is no repository name",
			conf->repository);
	if (fetch_split_url(conf->base_url, "/v2/", &url, &socket, err) < 0)
		return -1;
	registry = mem_alloc(sizeof(*registry));
	registry->conf = *conf;
	registry->conf.base_url = registry->base_url = mem_strdup(conf->base_url);
	registry->conf.repository = registry->repository = mem_strdup(conf->repository);
	registry->conf.session_file = registry->session_file = copy(conf->session_file);
	registry->scope = mem_printf("repository:%s:%s", conf->repository, conf->actions);
	if (!conf->chunk_bytes)
		registry->conf.chunk_bytes = OCI_REGISTRY_CHUNK;
	if (!conf->attempts)
		registry->conf.attempts = DEFAULT_ATTEMPTS;
	*ret_registry = registry;
	return 0;
}

static void drop_token(struct oci_registry *registry)
{
	if (registry->token)
		mem_wipe_free(registry->token, strlen(registry->token));
	registry->token = NULL;
}

void oci_registry_free(struct oci_registry *registry)
{
	if (!registry)
		return;
	drop_token(registry);
	free(registry->base_url);
	free(registry->repository);
	free(registry->scope);
	free(registry->session_file);
	free(registry);
}

/* --- errors --- */

static const struct {
	long status;
	enum err_kind kind;
	const char *code;
} refusals[] = {
	{ 401, ERR_UNAUTHENTICATED, "registry.denied" },
	{ 403, ERR_FORBIDDEN, "registry.denied" },
	{ 404, ERR_NOT_FOUND, "registry.not_found" },
	{ 429, ERR_LIMITED, "registry.limited" },
	{ 500, ERR_UNAVAILABLE, "registry.unavailable" },
	{ 502, ERR_UNAVAILABLE, "registry.unavailable" },
	{ 503, ERR_UNAVAILABLE, "registry.unavailable" },
	{ 504, ERR_UNAVAILABLE, "registry.unavailable" },
};

/* What a stranger wrote ends on a terminal. */
static void clean(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

int oci_registry_refused(const struct fetch_response *res, const char *what, struct err *err)
{
	auto_json json_t *body = json_parse((const char *)res->body.data, res->body.len, NULL);
	const json_t *first = json_array_get(json_object_get(body, "errors"), 0);
	const char *code = json_text(first, "code"), *message = json_text(first, "message");
	enum err_kind kind = res->status >= 500 ? ERR_UPSTREAM : ERR_UNPROCESSABLE;
	const char *ours = "registry.refused";

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (refusals[i].status == res->status) {
			kind = refusals[i].kind;
			ours = refusals[i].code;
		}
	}
	err_set(err, kind, ours, "%s: the registry answered %ld%s%.40s%s%.140s", what, res->status,
		code ? " " : "", code ? code : "", message ? ": " : "", message ? message : "");
	if (err)
		clean(err->detail);
	return -1;
}

bool oci_registry_again(
	const struct oci_registry *registry, const struct err *err, unsigned *failures)
{
	unsigned wait_ms = FIRST_WAIT_MS << (*failures < 6 ? *failures : 6);
	struct timespec pause;

	if (err->kind != ERR_UNAVAILABLE && err->kind != ERR_TIMEOUT && err->kind != ERR_LIMITED &&
		strcmp(err->code, "upstream.truncated") != 0)
		return false;
	if (++*failures >= registry->conf.attempts)
		return false;
	if (wait_ms > MAX_WAIT_MS)
		wait_ms = MAX_WAIT_MS;
	pause = (struct timespec) { wait_ms / 1000, (long)(wait_ms % 1000) * 1000000 };
	nanosleep(&pause, NULL);
	return true;
}

/* --- one request --- */

static int send_once(struct oci_registry *registry, const struct oci_call *call,
	struct fetch_response *ret_res, struct err *err)
{
	char *bearer =
		registry->token ? mem_printf("Authorization: Bearer %s", registry->token) : NULL;
	const char *headers[ARRAY_LEN(call->headers) + 2] = { NULL };
	struct fetch_request req = call->io;
	auto_free char *url = NULL;
	size_t n = 0;
	int result;

	for (const char *const *header = call->headers; *header; header++)
		headers[n++] = *header;
	headers[n] = bearer;
	req.method = call->method;
	req.headers = headers;
	result = fetch_split_url(registry->base_url, call->path, &url, &req.unix_socket, err);
	req.url = url;
	if (result == 0)
		result = fetch_do(registry->conf.fetch, &req, ret_res, err);
	if (bearer)
		mem_wipe_free(bearer, strlen(bearer));
	return result;
}

static int get_token(struct oci_registry *registry, struct err *err)
{
	drop_token(registry);
	return registry->conf.token(
		registry->conf.token_arg, registry->scope, &registry->token, err);
}

int oci_registry_call(struct oci_registry *registry, const struct oci_call *call,
	struct fetch_response *ret_res, struct err *err)
{
	bool is_fresh = !registry->token;

	if (!registry->conf.token)
		return send_once(registry, call, ret_res, err);
	if (is_fresh && get_token(registry, err) < 0)
		return -1;
	if (send_once(registry, call, ret_res, err) < 0)
		return -1;
	if (ret_res->status != 401 || is_fresh)
		return 0;
	fetch_response_release(ret_res);
	if (get_token(registry, err) < 0)
		return -1;
	return send_once(registry, call, ret_res, err);
}

int oci_registry_call_patiently(struct oci_registry *registry, const struct oci_call *call,
	struct fetch_response *ret_res, struct err *err)
{
	struct err inner = { .kind = ERR_NONE };
	unsigned failures = 0;

	for (;;) {
		if (oci_registry_call(registry, call, ret_res, &inner) == 0) {
			if (ret_res->status < 500 && ret_res->status != 429)
				return 0;
			oci_registry_refused(ret_res, call->method, &inner);
			fetch_response_release(ret_res);
		}
		if (!oci_registry_again(registry, &inner, &failures)) {
			if (err)
				*err = inner;
			return -1;
		}
	}
}

/* --- small calls --- */

int oci_registry_has_blob(
	struct oci_registry *registry, const struct oci_blob *blob, bool *ret_has, struct err *err)
{
	auto_free char *path = mem_printf("/v2/%s/blobs/%s", registry->repository, blob->digest);
	struct oci_call call = { .method = "HEAD", .path = path };
	auto_response res = { 0 };

	if (oci_registry_call_patiently(registry, &call, &res, err) < 0)
		return -1;
	if (res.status != 200 && res.status != 404)
		return oci_registry_refused(&res, "look for a blob", err);
	*ret_has = res.status == 200;
	return 0;
}

static int manifest_path(const struct oci_registry *registry, const char *reference,
	char **ret_path, struct err *err)
{
	if (!is_reference(reference))
		return err_set(err, ERR_INVALID, "registry.name",
			"'%.100s' is neither a tag nor a digest", reference);
	*ret_path = mem_printf("/v2/%s/manifests/%s", registry->repository, reference);
	return 0;
}

/* `299 - "text"`, and nothing else has a meaning here. */
static void tell_warnings(const struct oci_registry *registry, const struct fetch_response *res)
{
	static const char start[] = "299 - \"";
	char *line;

	for (size_t i = 0; registry->conf.warned && (line = fetch_header_at(res, "Warning", i));
		i++) {
		size_t len = strlen(line);

		if (strncmp(line, start, strlen(start)) == 0 && len > strlen(start) &&
			line[len - 1] == '"') {
			line[len - 1] = '\0';
			clean(line);
			registry->conf.warned(registry->conf.warned_arg, line + strlen(start));
		}
		free(line);
	}
}

int oci_registry_put_manifest(struct oci_registry *registry, const char *reference,
	const char *type, const void *text, size_t len, struct err *err)
{
	auto_free char *path = NULL, *header = mem_printf("Content-Type: %s", type);
	struct oci_call call = {
		.method = "PUT",
		.headers = { header },
		.io = { .body = text, .body_len = len },
	};
	auto_response res = { 0 };

	if (manifest_path(registry, reference, &path, err) < 0)
		return -1;
	call.path = path;
	if (oci_registry_call_patiently(registry, &call, &res, err) < 0)
		return -1;
	if (res.status != 201)
		return oci_registry_refused(&res, "put the manifest", err);
	tell_warnings(registry, &res);
	return 0;
}

static int compare(const char *reference, const struct buf *body, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];

	digest_text(body->data ? body->data : (const unsigned char *)"", body->len, digest);
	if (strncmp(reference, "sha256:", 7) == 0 && strcmp(digest, reference) != 0)
		return err_set(err, ERR_UPSTREAM, "oci.digest", "manifest %s came with digest %s",
			reference, digest);
	return 0;
}

int oci_registry_get_manifest(
	struct oci_registry *registry, const char *reference, struct buf *buf, struct err *err)
{
	struct oci_call call = {
		.method = "GET",
		.headers = { "Accept: " OCI_TYPE_MANIFEST, "Accept: " OCI_TYPE_INDEX,
			"Accept: " OCI_TYPE_DOCKER_MANIFEST, "Accept: " OCI_TYPE_DOCKER_INDEX },
		.io = { .max_response = OCI_MAX_DOCUMENT },
	};
	auto_free char *path = NULL;
	auto_response res = { 0 };

	if (manifest_path(registry, reference, &path, err) < 0)
		return -1;
	call.path = path;
	if (oci_registry_call_patiently(registry, &call, &res, err) < 0)
		return -1;
	if (res.status != 200)
		return oci_registry_refused(&res, "get the manifest", err);
	if (compare(reference, &res.body, err) < 0)
		return -1;
	return buf_add(buf, res.body.data, res.body.len, err);
}

int oci_registry_delete_manifest(
	struct oci_registry *registry, const char *reference, struct err *err)
{
	struct oci_call call = { .method = "DELETE" };
	auto_free char *path = NULL;
	auto_response res = { 0 };

	if (manifest_path(registry, reference, &path, err) < 0)
		return -1;
	call.path = path;
	if (oci_registry_call_patiently(registry, &call, &res, err) < 0)
		return -1;
	return res.status == 202 ? 0 : oci_registry_refused(&res, "delete the manifest", err);
}
