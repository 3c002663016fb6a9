/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens, problems and repetition for the calls of api.h. */
#include "client/api.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli.h"
#include "client/keystore.h"
#include "lib/codec.h"
#include "lib/crash.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define MAX_TOKENS 8
#define RETRY_MS 60000
#define TOKEN_SPARE_MS 30000
#define WAIT_TIMEOUT_MS 45000 /* above the longest ?wait= */

struct token {
	char *audience;
	char *value;
	long long expires_ms; /* monotonic */
};

struct api {
	const struct profile *profile;
	struct fetch *fetch;
	struct token tokens[MAX_TOKENS];
	json_t *tenant;
};

struct api *api_new(const struct profile *profile)
{
	struct fetch_conf conf = {
		.ca_file = profile->ca_file,
		.user_agent = "strongroom/" CLI_VERSION,
	};
	struct api *api = mem_alloc(sizeof(*api));

	api->profile = profile;
	api->fetch = fetch_new(&conf);
	return api;
}

static void token_forget(struct token *token)
{
	if (token->value)
		mem_wipe_free(token->value, strlen(token->value));
	token->value = NULL;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	for (int i = 0; i < MAX_TOKENS; i++) {
		token_forget(&api->tokens[i]);
		free(api->tokens[i].audience);
	}
	json_decref(api->tenant);
	fetch_free(api->fetch);
	free(api);
}

const struct profile *api_profile(const struct api *api)
{
	return api->profile;
}

static enum err_kind kind_of(long status)
{
	static const struct {
		long status;
		enum err_kind kind;
	} kinds[] = {
		{ 400, ERR_INVALID },
		{ 401, ERR_UNAUTHENTICATED },
		{ 403, ERR_FORBIDDEN },
		{ 404, ERR_NOT_FOUND },
		{ 405, ERR_METHOD },
		{ 409, ERR_CONFLICT },
		{ 410, ERR_GONE },
		{ 412, ERR_PRECONDITION_FAILED },
		{ 413, ERR_TOO_LARGE },
		{ 415, ERR_UNSUPPORTED_TYPE },
		{ 416, ERR_RANGE },
		{ 422, ERR_UNPROCESSABLE },
		{ 428, ERR_PRECONDITION_REQUIRED },
		{ 429, ERR_LIMITED },
		{ 502, ERR_UPSTREAM },
		{ 503, ERR_UNAVAILABLE },
		{ 504, ERR_TIMEOUT },
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i].status == status)
			return kinds[i].kind;
	}
	return ERR_INTERNAL;
}

static void copy_fields(const json_t *problem, struct err *err)
{
	const json_t *field;
	size_t i;

	json_array_foreach (json_object_get(problem, "errors"), i, field) {
		const char *pointer = json_text(field, "pointer");
		const char *code = json_text(field, "code");
		const char *detail = json_text(field, "detail");

		err_field(
			err, pointer ? pointer : "", code ? code : "", "%s", detail ? detail : "");
	}
}

int api_problem(const struct fetch_response *res, struct err *err)
{
	struct err ignored = { 0 };
	auto_json json_t *problem = json_parse(
		res->body.data ? (const char *)res->body.data : "", res->body.len, &ignored);
	const char *code = problem ? json_text(problem, "code") : NULL;
	const char *detail = problem ? json_text(problem, "detail") : NULL;
	const char *request = problem ? json_text(problem, "request_id") : NULL;

	if (!detail)
		detail = problem ? json_text(problem, "title") : NULL;
	err_set(err, kind_of(res->status), code ? code : "upstream.status", "%s (status %ld%s%s)",
		detail ? detail : "the server refused", res->status, request ? ", request " : "",
		request ? request : "");
	copy_fields(problem, err);
	return -1;
}

static bool is_away(const struct err *err)
{
	return strcmp(err->code, "upstream.unreachable") == 0 ||
	       strcmp(err->code, "upstream.timeout") == 0 || err->kind == ERR_TIMEOUT;
}

static bool is_away_status(long status)
{
	return status == 502 || status == 503 || status == 504 || status == 429;
}

static void pause_ms(long ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

/* fetch_do(), again while the server is away. */
static int do_patiently(
	struct api *api, struct fetch_request *req, struct fetch_response *ret_res, struct err *err)
{
	long long until = clock_monotonic_ms() + RETRY_MS;

	for (long ms = 100;; ms = ms < 2000 ? ms * 2 : ms) {
		struct err reason = { 0 };
		int result = fetch_do(api->fetch, req, ret_res, &reason);
		bool is_late = clock_monotonic_ms() > until || req->sink;

		if (result == 0 && (!is_away_status(ret_res->status) || is_late))
			return 0;
		if (result < 0 && (!is_away(&reason) || is_late)) {
			*err = reason;
			return -1;
		}
		if (result == 0)
			fetch_response_release(ret_res);
		pause_ms(ms);
	}
}

/* Sends the request and parses a JSON object; a status >= 400 is an error. */
static int do_json(struct api *api, struct fetch_request *req, json_t **ret_json, struct err *err)
{
	auto_response res = { 0 };

	if (do_patiently(api, req, &res, err) < 0)
		return -1;
	if (res.status >= 400)
		return api_problem(&res, err);
	*ret_json = json_parse(res.body.data ? (char *)res.body.data : "", res.body.len, err);
	return *ret_json ? 0 : err_wrap(err, "answer of the server");
}

static char *basic_header(const struct profile *profile)
{
	auto_free char *pair = mem_printf("%s:%s", profile->key_id, profile->secret);
	char *encoded = codec_b64_text(pair, strlen(pair));
	char *header = mem_printf("Authorization: Basic %s", encoded);

	explicit_bzero(pair, strlen(pair));
	mem_wipe_free(encoded, strlen(encoded));
	return header;
}

static int token_fetch(struct api *api, struct token *token, struct err *err)
{
	auto_free char *url = mem_printf("%s/v1/token", api->profile->url);
	auto_free char *form =
		mem_printf("grant_type=client_credentials&audience=%s", token->audience);
	char *basic = basic_header(api->profile);
	const char *headers[] = { basic, "Content-Type: application/x-www-form-urlencoded",
		"Accept: application/json", NULL };
	struct fetch_request req = { .method = "POST",
		.url = url,
		.headers = headers,
		.body = form,
		.body_len = strlen(form) };
	auto_json json_t *answer = NULL;
	int result = do_json(api, &req, &answer, err);

	mem_wipe_free(basic, strlen(basic));
	if (result < 0)
		return err_wrap(err, "get a token for %s", token->audience);
	if (!json_text(answer, "access_token"))
		return err_set(
			err, ERR_UPSTREAM, "upstream.answer", "the token answer has no token");
	token_forget(token);
	token->value = mem_strdup(json_text(answer, "access_token"));
	token->expires_ms = clock_monotonic_ms() - TOKEN_SPARE_MS +
			    1000 * json_integer_value(json_object_get(answer, "expires_in"));
	return 0;
}

static int token_get(struct api *api, const char *audience, const char **ret_token, struct err *err)
{
	struct token *token = NULL;

	for (int i = 0; i < MAX_TOKENS && !token; i++) {
		if (!api->tokens[i].audience)
			api->tokens[i].audience = mem_strdup(audience);
		if (strcmp(api->tokens[i].audience, audience) == 0)
			token = &api->tokens[i];
	}
	if (!token)
		return err_set(err, ERR_INTERNAL, "internal.limit", "more services than expected");
	if ((!token->value || token->expires_ms < clock_monotonic_ms()) &&
		token_fetch(api, token, err) < 0)
		return -1;
	*ret_token = token->value;
	return 0;
}

static void token_drop(struct api *api, const char *audience)
{
	for (int i = 0; i < MAX_TOKENS; i++) {
		if (api->tokens[i].audience && strcmp(api->tokens[i].audience, audience) == 0)
			token_forget(&api->tokens[i]);
	}
}

static int raw_once(struct api *api, const char *audience, struct fetch_request *req,
	struct fetch_response *ret_res, struct err *err)
{
	const char *headers[16], *const *given = req->headers;
	struct fetch_request sent = *req;
	const char *token = NULL;
	char *bearer;
	int n = 0, result;

	if (!audience)
		return do_patiently(api, req, ret_res, err);
	if (token_get(api, audience, &token, err) < 0)
		return -1;
	bearer = mem_printf("Authorization: Bearer %s", token);
	headers[n++] = bearer;
	while (given && *given && n < 15)
		headers[n++] = *given++;
	headers[n] = NULL;
	sent.headers = headers;
	result = do_patiently(api, &sent, ret_res, err);
	mem_wipe_free(bearer, strlen(bearer));
	return result;
}

int api_raw(struct api *api, const char *label, const char *audience, struct fetch_request *req,
	struct fetch_response *ret_res, struct err *err)
{
	crash_point("before", label);
	if (raw_once(api, audience, req, ret_res, err) < 0)
		return err_wrap(err, "%s", label);
	if (ret_res->status == 401 && audience) {
		fetch_response_release(ret_res);
		token_drop(api, audience);
		if (raw_once(api, audience, req, ret_res, err) < 0)
			return err_wrap(err, "%s", label);
	}
	crash_point("after", label);
	return 0;
}

/* "Name: value" or NULL. */
static char *header_of(const char *name, const char *value)
{
	return value ? mem_printf("%s: %s", name, value) : NULL;
}

static int parse_answer(const struct fetch_response *res, json_t **ret_json, struct err *err)
{
	if (res->status >= 400)
		return api_problem(res, err);
	if (!ret_json)
		return 0;
	*ret_json = NULL;
	if (res->status == 204 || res->status == 304 || res->body.len == 0)
		return 0;
	*ret_json = json_parse((const char *)res->body.data, res->body.len, err);
	return *ret_json ? 0 : -1;
}

int api_call(struct api *api, const struct api_call *call, json_t **ret_json, long *ret_status,
	struct err *err)
{
	bool is_read = strcmp(call->method, "GET") == 0;
	auto_free char *url = mem_printf("%s%s", api->profile->url, call->path);
	auto_free char *text = call->body ? json_dumps(call->body, JSON_COMPACT) : NULL;
	auto_free char *accept =
		header_of("Accept", call->accept ? call->accept : "application/json");
	auto_free char *key = header_of("Idempotency-Key", call->idempotency_key);
	auto_free char *etag = header_of(is_read ? "If-None-Match" : "If-Match", call->etag);
	const char *headers[5] = { accept };
	struct fetch_request req = { .method = call->method,
		.url = url,
		.headers = headers,
		.body = text,
		.body_len = text ? strlen(text) : 0,
		.timeout_ms = WAIT_TIMEOUT_MS };
	auto_response res = { 0 };
	int n = 1;

	if (text)
		headers[n++] = "Content-Type: application/json";
	if (key)
		headers[n++] = key;
	if (etag)
		headers[n++] = etag;
	if (api_raw(api, call->label, call->audience, &req, &res, err) < 0)
		return -1;
	if (text)
		explicit_bzero(text, strlen(text)); /* may hold an invitation's secret */
	if (ret_status)
		*ret_status = res.status;
	return parse_answer(&res, ret_json, err) < 0 ? err_wrap(err, "%s", call->label) : 0;
}

/* The item with that member on one page: 1, 0 with the next page's token (or NULL), -1. */
static int find_on_page(const json_t *page, const char *member, const char *value,
	json_t **ret_item, char **ret_next)
{
	const json_t *items = json_object_get(page, "items");
	const char *next = json_text(page, "next_page_token");
	json_t *item;
	size_t i;

	json_array_foreach (items, i, item) {
		const char *text = json_text(item, member);

		if (text && strcmp(text, value) == 0) {
			*ret_item = json_incref(item);
			return 1;
		}
	}
	*ret_next = next ? mem_strdup(next) : NULL;
	return 0;
}

int api_find(struct api *api, const char *audience, const char *path, const char *member,
	const char *value, json_t **ret_item, struct err *err)
{
	char *next = NULL;
	int found = 0;

	do {
		auto_free char *url = mem_printf(
			"%s?page_size=200%s%s", path, next ? "&page_token=" : "", next ? next : "");
		struct api_call call = {
			.label = "list", .audience = audience, .method = "GET", .path = url
		};
		auto_json json_t *page = NULL;

		free(take_ptr(next));
		if (api_call(api, &call, &page, NULL, err) < 0)
			return -1;
		found = find_on_page(page, member, value, ret_item, &next);
	} while (!found && next);
	free(next);
	return found;
}

int api_registry_token(void *arg, const char *scope, char **ret_token, struct err *err)
{
	struct api *api = arg;
	auto_free char *url = mem_printf(
		"%s/v1/registry-token?service=registry-gw&scope=%s", api->profile->url, scope);
	char *basic = basic_header(api->profile);
	const char *headers[] = { basic, "Accept: application/json", NULL };
	struct fetch_request req = { .method = "GET", .url = url, .headers = headers };
	auto_json json_t *answer = NULL;
	int result = do_json(api, &req, &answer, err);

	mem_wipe_free(basic, strlen(basic));
	if (result < 0)
		return err_wrap(err, "get a registry token");
	if (!json_text(answer, "token"))
		return err_set(
			err, ERR_UPSTREAM, "upstream.answer", "the token answer has no token");
	*ret_token = mem_strdup(json_text(answer, "token"));
	return 0;
}

const json_t *api_tenant(struct api *api, struct err *err)
{
	struct api_call call = { .label = "tenant",
		.audience = "certreg",
		.method = "GET",
		.path = "/v1/tenants/self" };
	json_t *tenant = NULL;

	if (api->tenant)
		return api->tenant;
	if (api_call(api, &call, &tenant, NULL, err) < 0)
		return NULL;
	if (!json_text(tenant, "name") || !json_text(tenant, "space")) {
		json_decref(tenant);
		err_set(err, ERR_UPSTREAM, "upstream.answer", "the tenant has no name or no space");
		return NULL;
	}
	api->tenant = tenant;
	return tenant;
}
