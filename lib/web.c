/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers ask of a request and put into an answer (web.h). */
#include "lib/web.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/web_inner.h"

#define MAX_WAIT_MS 60000

const char *web_param(const struct web_req *req, const char *name)
{
	for (size_t i = 0; i < req->n_params; i++) {
		if (strcmp(req->params[i].name, name) == 0)
			return req->params[i].value;
	}
	abort(); /* the route has no such parameter: a programming error */
}

const char *web_query_at(const struct web_req *req, const char *name, size_t n)
{
	const struct web_call *call = req->head;

	for (size_t i = 0; call && i < call->n_query; i++) {
		if (strcmp(call->query[i].name, name) == 0 && n-- == 0)
			return call->query[i].value;
	}
	return NULL;
}

const char *web_query(const struct web_req *req, const char *name)
{
	return web_query_at(req, name, 0);
}

const char *web_header(const struct web_req *req, const char *name)
{
	const struct web_call *call = req->head;

	return call ? http_head_find(&call->head, name) : NULL;
}

int web_wait_ms(const struct web_req *req, long long *ret_ms, struct err *err)
{
	const char *text = web_query(req, "wait");
	long long number;
	char *end;

	if (!text) {
		*ret_ms = 0;
		return 0;
	}
	number = isdigit((unsigned char)*text) && strlen(text) <= 8 ? strtoll(text, &end, 10) : -1;
	if (number >= 0 && strcmp(end, "s") == 0)
		number *= 1000;
	else if (number < 0 || strcmp(end, "ms") != 0)
		return err_set(
			err, ERR_INVALID, "request.bad_wait", "'wait' is not like 30s or 500ms");
	*ret_ms = number < MAX_WAIT_MS ? number : MAX_WAIT_MS;
	return 0;
}

void web_header_add(struct web_res *res, const char *name, const char *value)
{
	if (res->n_headers == WEB_MAX_RES_HEADERS)
		abort(); /* a programming error */
	res->headers[res->n_headers++] = (struct web_pair) { name, value };
}

bool web_event(
	struct web_req *req, struct web_res *res, long long id, const char *type, json_t *data)
{
	struct web_call *call = req->head;
	auto_free char *text = NULL;
	struct err ignored;

	res->sse = true;
	if (!call->events_full)
		text = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(data);
	if (call->events_full)
		return false;
	if (!text || buf_printf(&call->events, &ignored, "id: %lld\nevent: %s\ndata: %s\n\n", id,
			     type, text) < 0)
		abort(); /* out of memory, or a single event of many megabytes */
	call->next_event_id = id;
	call->events_full = call->events.len >= WEB_EVENTS_HIGH_BYTES;
	return !call->events_full;
}

void web_park(struct web_req *req, struct web_res *res, const char *key, long long wait_ms)
{
	struct web_call *call = req->head;
	long long now = clock_monotonic_ms();

	if (!call->park_until_ms)
		call->park_until_ms = now + wait_ms;
	if (now >= call->park_until_ms)
		return;
	res->park_key = arena_strdup(req->arena, key);
	res->park_until_ms = call->park_until_ms;
}

int web_status_of(enum err_kind kind)
{
	static const int statuses[] = {
		[ERR_NONE] = 500,
		[ERR_INVALID] = 400,
		[ERR_UNAUTHENTICATED] = 401,
		[ERR_FORBIDDEN] = 403,
		[ERR_NOT_FOUND] = 404,
		[ERR_METHOD] = 405,
		[ERR_CONFLICT] = 409,
		[ERR_GONE] = 410,
		[ERR_PRECONDITION_FAILED] = 412,
		[ERR_TOO_LARGE] = 413,
		[ERR_UNSUPPORTED_TYPE] = 415,
		[ERR_RANGE] = 416,
		[ERR_UNPROCESSABLE] = 422,
		[ERR_PRECONDITION_REQUIRED] = 428,
		[ERR_LIMITED] = 429,
		[ERR_INTERNAL] = 500,
		[ERR_UPSTREAM] = 502,
		[ERR_UNAVAILABLE] = 503,
		[ERR_TIMEOUT] = 504,
	};

	return (size_t)kind < sizeof(statuses) / sizeof(statuses[0]) ? statuses[kind] : 500;
}
