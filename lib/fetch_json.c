/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON over fetch.h: a refusal (RFC 9457 problem) becomes the error it was on the other side. What
 * the other side wrote is cleaned first: it ends in logs and on terminals.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fetch_inner.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_HEADERS 24u

static const struct {
	long status;
	enum err_kind kind;
} kinds[] = { { 400, ERR_INVALID }, { 401, ERR_UNAUTHENTICATED }, { 403, ERR_FORBIDDEN },
	{ 404, ERR_NOT_FOUND }, { 405, ERR_METHOD }, { 409, ERR_CONFLICT }, { 410, ERR_GONE },
	{ 412, ERR_PRECONDITION_FAILED }, { 413, ERR_TOO_LARGE }, { 415, ERR_UNSUPPORTED_TYPE },
	{ 416, ERR_RANGE }, { 422, ERR_UNPROCESSABLE }, { 428, ERR_PRECONDITION_REQUIRED },
	{ 429, ERR_LIMITED }, { 502, ERR_UPSTREAM }, { 503, ERR_UNAVAILABLE },
	{ 504, ERR_TIMEOUT } };

static enum err_kind kind_of(long status)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i].status == status)
			return kinds[i].kind;
	}
	return status >= 500 ? ERR_UPSTREAM : ERR_INVALID;
}

static bool is_code(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	return len > 0 && len < sizeof(((struct err *)0)->code) &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static void clean(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

static void take_fields(const json_t *problem, struct err *err)
{
	json_t *field;
	size_t i;

	json_array_foreach (json_object_get(problem, "errors"), i, field) {
		const char *pointer = json_text(field, "pointer"), *code = json_text(field, "code");
		const char *detail = json_text(field, "detail");

		if (err->n_fields == ERR_MAX_FIELDS)
			return;
		err_field(err, pointer ? pointer : "", is_code(code) ? code : "field.value", "%s",
			detail ? detail : "");
		clean(err->fields[err->n_fields - 1].pointer);
		clean(err->fields[err->n_fields - 1].detail);
	}
}

int fetch_refused(const struct fetch_response *res, struct err *err)
{
	auto_json json_t *problem = json_parse((const char *)res->body.data, res->body.len, NULL);
	const char *code = json_text(problem, "code"), *detail = json_text(problem, "detail");

	if (!err)
		return -1;
	if (!is_code(code))
		return err_set(err, kind_of(res->status), "upstream.status",
			"the server answered %ld", res->status);
	if (!detail)
		detail = json_text(problem, "title");
	err_set(err, kind_of(res->status), code, "%s", detail ? detail : "");
	clean(err->detail);
	take_fields(problem, err);
	return -1;
}

/* The caller's headers, then ours; `ret_list` has MAX_HEADERS places. */
static int headers_with_types(
	const struct fetch_request *req, bool has_body, const char **ret_list, struct err *err)
{
	size_t n = 0;

	for (const char *const *header = req->headers; header && *header; header++) {
		if (n == MAX_HEADERS - 3)
			return err_set(err, ERR_INTERNAL, "fetch.bad_header", "too many headers");
		ret_list[n++] = *header;
	}
	ret_list[n++] = "Accept: application/json, application/problem+json";
	if (has_body)
		ret_list[n++] = "Content-Type: application/json";
	ret_list[n] = NULL;
	return 0;
}

static int take_json(const struct fetch_response *res, json_t **ret_json, struct err *err)
{
	json_t *value = NULL;

	if (!ret_json)
		return 0;
	if (res->body.len > 0) {
		struct err inner;

		value = json_parse((const char *)res->body.data, res->body.len, &inner);
		if (!value)
			return err_set(err, ERR_UPSTREAM, "upstream.not_json",
				"the answer with status %ld is refused: %s", res->status,
				inner.detail);
	}
	*ret_json = value;
	return 0;
}

int fetch_json(struct fetch *fetch, struct fetch_request *req, const json_t *body,
	json_t **ret_json, long *ret_status, struct err *err)
{
	char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	const char *headers[MAX_HEADERS];
	struct fetch_request sent = *req;
	auto_response res = { 0 };
	int result;

	if (text) {
		sent.body = text;
		sent.body_len = strlen(text);
	}
	sent.headers = headers;
	result = headers_with_types(req, text != NULL, headers, err);
	if (result == 0)
		result = fetch_do(fetch, &sent, &res, err);
	if (text)
		mem_wipe_free(text, strlen(text));
	if (result < 0)
		return -1;
	if (res.status >= 400)
		return fetch_refused(&res, err);
	if (take_json(&res, ret_json, err) < 0)
		return -1;
	if (ret_status)
		*ret_status = res.status;
	return 0;
}

int fetch_split_url(const char *base, const char *path, char **ret_url, const char **ret_socket,
	struct err *err)
{
	size_t len = strlen(base);

	if (strncmp(base, "unix:/", 6) == 0) {
		*ret_url = mem_strdup(path);
		*ret_socket = base + 5;
		return 0;
	}
	if (strncmp(base, "https://", 8) != 0 && strncmp(base, "http://", 7) != 0)
		return err_set(err, ERR_INTERNAL, "fetch.bad_url",
			"'%s' is neither unix:/path nor https://host", base);
	while (base[len - 1] == '/')
		len--;
	*ret_url = mem_printf("%.*s%s", (int)len, base, path);
	*ret_socket = NULL;
	return 0;
}
