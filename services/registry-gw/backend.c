/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of backend.h: what the registry says is believed only as far as we can use it. */
#include "services/registry-gw/backend.h"

#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/config.h"

int backend_call(struct worker *worker, const struct fetch_request *call,
	struct fetch_response *ret_answer, struct err *err)
{
	const struct registry_conf *conf = worker->program;
	struct fetch_request request = *call;

	request.unix_socket = conf->socket;
	if (fetch_do(worker->fetch, &request, ret_answer, err) < 0)
		return -1;
	if (ret_answer->status < 500)
		return 0;
	err_set(err, ERR_UPSTREAM, "registry.failed", "the registry answered %ld to %s",
		ret_answer->status, call->method);
	fetch_response_release(ret_answer);
	return -1;
}

int backend_do(struct web_req *req, const struct fetch_request *call,
	struct fetch_response *ret_answer, struct err *err)
{
	return backend_call(req->worker, call, ret_answer, err);
}

const char *backend_header(
	struct web_req *req, const struct fetch_response *answer, const char *name)
{
	auto_free char *value = fetch_header(answer, name);

	return value ? arena_strdup(req->arena, value) : NULL;
}

void backend_error(struct web_req *req, const struct fetch_response *answer, const char **ret_code,
	const char **ret_message)
{
	auto_json json_t *body = answer->body.len > 0 ? json_parse((const char *)answer->body.data,
								answer->body.len, NULL)
						      : NULL;
	const json_t *first = json_array_get(json_object_get(body, "errors"), 0);
	const char *code = json_text(first, "code"), *message = json_text(first, "message");

	*ret_code = code ? arena_strdup(req->arena, code) : "";
	*ret_message = message ? arena_strdup(req->arena, message) : "";
}

int backend_location(struct web_req *req, const char *url, const char *repository,
	const char **ret_location, struct err *err)
{
	const char *expected = arena_printf(req->arena, "/v2/%s/blobs/uploads/", repository);
	const char *scheme = url ? strstr(url, "://") : NULL;
	const char *path = scheme ? strchr(scheme + 3, '/') : url;

	if (!path || strncmp(path, expected, strlen(expected)) != 0 || !strchr(path, '?') ||
		strpbrk(path, " \t\r\n"))
		return err_set(err, ERR_UPSTREAM, "registry.failed",
			"the registry gave no usable Location");
	*ret_location = arena_strdup(req->arena, path);
	return 0;
}

int backend_blob_size(struct web_req *req, const char *repository, const char *digest,
	long long *ret_size, struct err *err)
{
	const struct fetch_request call = {
		.method = "HEAD",
		.url = arena_printf(req->arena, "/v2/%s/blobs/%s", repository, digest),
	};
	auto_response answer = { .status = 0 };
	const char *length;

	if (backend_do(req, &call, &answer, err) < 0)
		return -1;
	length = backend_header(req, &answer, "Content-Length");
	*ret_size = answer.status == 200 && length ? strtoll(length, NULL, 10) : -1;
	return 0;
}
