/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers as bytes: heads, JSON, problem+json (RFC 9457), files. The only place where a failure is
 * logged, and where the access line is written. Runs on the worker, so that the loop only moves
 * bytes.
 */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/web_inner.h"

static const char *phrase_of(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
		{ 101, "Switching Protocols" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 426, "Upgrade Required" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
		if (phrases[i].status == status)
			return phrases[i].phrase;
	}
	return "Status";
}

void web_reply_reset(struct web_call *call)
{
	json_decref(call->res.json);
	if (call->res.file_fd >= 0)
		close(call->res.file_fd);
	call->res = (struct web_res) { .status = 200, .file_fd = -1 };
}

static json_t *fields_of(const struct err *err)
{
	json_t *fields = json_array();

	for (unsigned i = 0; i < err->n_fields; i++)
		json_array_append_new(fields,
			json_pack("{s:s, s:s, s:s}", "pointer", err->fields[i].pointer, "code",
				err->fields[i].code, "detail", err->fields[i].detail));
	return fields;
}

static int status_of(const struct web_call *call)
{
	return call->status ? call->status : web_status_of(call->err.kind);
}

/* How the failures of this call read to those whose protocol is not ours; NULL: RFC 9457. */
static web_problem *foreign_problem(const struct web_call *call)
{
	if (call->entry && call->entry->route->access != WEB_REGISTRY)
		return NULL;
	return call->server->conf.problem;
}

/* What went wrong inside stays in the log. */
json_t *web_reply_problem(const struct web_call *call)
{
	const struct err *err = &call->err;
	int status = status_of(call);
	const char *help = call->server->conf.help ? call->server->conf.help(err->code) : NULL;
	json_t *problem = json_object();
	char type[sizeof(err->code) + 32];

	snprintf(type, sizeof(type), "urn:strongroom:error:%s", err->code);
	json_object_set_new(problem, "type", json_string(type));
	json_object_set_new(problem, "title", json_string(phrase_of(status)));
	json_object_set_new(problem, "status", json_integer(status));
	if (status < 500)
		json_object_set_new(problem, "detail", json_string(err->detail));
	json_object_set_new(problem, "code", json_string(err->code));
	json_object_set_new(problem, "request_id", json_string(call->req.id));
	if (err->n_fields > 0)
		json_object_set_new(problem, "errors", fields_of(err));
	if (help)
		json_object_set_new(problem, "help", json_string(help));
	return problem;
}

static const char *retry_after(const struct web_call *call)
{
	unsigned seconds = call->err.retry_s;

	return arena_printf(call->arena, "%u", seconds > 0 ? seconds : 1);
}

/* Turns the failure into an answer; headers that were added stay. */
static void fill_problem(struct web_call *call)
{
	web_problem *foreign = foreign_problem(call);
	struct web_res *res = &call->res;
	int status = status_of(call);
	json_t *problem = foreign ? foreign(&call->err, status) : web_reply_problem(call);

	json_decref(res->json);
	res->json = problem;
	if (res->file_fd >= 0)
		close(res->file_fd);
	res->file_fd = -1;
	res->status = status;
	res->content_type = foreign ? "application/json" : "application/problem+json";
	if ((status == 503 || status == 429) && res->n_headers < WEB_MAX_RES_HEADERS)
		web_header_add(res, "Retry-After", retry_after(call));
	if (status == 401 && !foreign && res->n_headers < WEB_MAX_RES_HEADERS)
		web_header_add(res, "WWW-Authenticate",
			call->entry && call->entry->route->access == WEB_AGENT
				? "DPoP realm=\"strongroom\""
				: "Bearer realm=\"strongroom\"");
	log_failure("request failed", &call->err);
}

static void add_text(struct evbuffer *out, const char *text)
{
	evbuffer_add(out, text, strlen(text));
}

/* A value that came from elsewhere must not end the line it stands in. */
static void add_header(struct evbuffer *out, const char *name, const char *value)
{
	size_t len = strcspn(value, "\r\n");

	add_text(out, name);
	add_text(out, ": ");
	evbuffer_add(out, value, len);
	add_text(out, "\r\n");
}

static bool has_header(const struct web_pair *headers, size_t n_headers, const char *name)
{
	for (size_t i = 0; i < n_headers; i++) {
		if (strcasecmp(headers[i].name, name) == 0)
			return true;
	}
	return false;
}

void web_reply_head_add(struct web_call *call, struct evbuffer *out, int status,
	const struct web_pair *headers, size_t n_headers)
{
	evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nX-Request-Id: %s\r\ntraceparent: %s\r\n",
		status, phrase_of(status), call->req.id, call->req.traceparent);
	for (size_t i = 0; i < n_headers; i++)
		add_header(out, headers[i].name, headers[i].value);
	if (!has_header(headers, n_headers, "Cache-Control"))
		add_text(out, "Cache-Control: no-store\r\n");
	add_text(out, "X-Content-Type-Options: nosniff\r\n");
	if (!call->keep_alive)
		add_text(out, "Connection: close\r\n");
	else if (call->head.http_1_0)
		add_text(out, "Connection: keep-alive\r\n");
}

static void free_text(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	free(arg);
}

/* `text` is malloc()ed and owned by the buffer from here on. */
static void add_body(struct web_call *call, char *text, size_t len)
{
	if (evbuffer_add_reference(call->out, text, len, free_text, text) < 0)
		free(text);
}

static bool sends_body(const struct web_call *call)
{
	return !(call->head.method && strcmp(call->head.method, "HEAD") == 0);
}

static void add_file(struct web_call *call)
{
	int fd = take_fd(call->res.file_fd);

	if (call->res.file_len == 0 || !sends_body(call) ||
		evbuffer_add_file(call->out, fd, call->res.file_offset, call->res.file_len) < 0)
		close(fd);
}

static char *encode(struct web_call *call, size_t *ret_len)
{
	auto_json json_t *json = take_ptr(call->res.json);

	return json_encode(json, ret_len);
}

static void add_length(struct web_call *call, long long len)
{
	const struct web_res *res = &call->res;

	if (res->status != 204 && res->status != 304 &&
		!has_header(res->headers, res->n_headers, "Content-Length"))
		evbuffer_add_printf(call->out, "Content-Length: %lld\r\n", len);
	add_text(call->out, "\r\n");
}

static void add_answer(struct web_call *call)
{
	struct web_res *res = &call->res;
	size_t len = res->text ? res->text_len : 0;
	auto_free char *json = res->json ? encode(call, &len) : NULL;

	web_reply_head_add(call, call->out, res->status, res->headers, res->n_headers);
	if (json || res->content_type)
		add_header(call->out, "Content-Type",
			res->content_type ? res->content_type : "application/json");
	if (res->file_fd >= 0) {
		add_length(call, res->file_len);
		add_file(call);
		return;
	}
	add_length(call, (long long)len);
	if (!sends_body(call) || res->status == 204 || res->status == 304)
		return;
	if (json)
		add_body(call, take_ptr(json), len);
	else if (len > 0)
		evbuffer_add(call->out, res->text, len);
}

void web_reply_account(struct web_call *call, int status)
{
	char status_text[8], ms[24], bytes[24];
	int class = status / 100 - 1;

	if (call->entry && class >= 0 && class < WEB_STATUS_CLASSES)
		metric_add(&call->entry->answers[class], 1);
	if (!log_shows(LOG_LEVEL_INFO))
		return;
	snprintf(status_text, sizeof(status_text), "%d", status);
	snprintf(ms, sizeof(ms), "%lld", clock_monotonic_ms() - call->started_ms);
	snprintf(bytes, sizeof(bytes), "%zu", call->out_bytes);
	log_info("request", "method", call->head.method ? call->head.method : "-", "route",
		call->entry ? call->entry->route->path : "-", "status", status_text, "ms", ms,
		"bytes", bytes, NULL);
}

void web_reply_build(struct web_call *call)
{
	if (call->result < 0)
		fill_problem(call);
	if (call->res.close || atomic_load(&call->server->draining))
		call->keep_alive = false;
	call->out = evbuffer_new();
	if (!call->out)
		abort();
	if (!call->tls)
		evbuffer_set_flags(call->out, EVBUFFER_FLAG_DRAINS_TO_FD);
	add_answer(call);
	call->built = true;
	call->out_bytes = evbuffer_get_length(call->out);
	web_reply_account(call, call->res.status);
}
