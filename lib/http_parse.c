/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of http_parse.h. llhttp does the grammar; the rules here refuse what two parsers in a
 * row could read differently: anything but exactly one Host, Transfer-Encoding other than one
 * "chunked", any repeated header that decides something, targets that are not a path.
 */
#include "lib/http_parse.h"

#include <limits.h>
#include <llhttp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/mem.h"

/* Framing bytes (sizes, extensions, trailers) between two bytes of data. */
#define MAX_FRAMING_BYTES 4096u

struct http_parse {
	llhttp_t llhttp;
	struct http_head *head;
	uint16_t name_len[HTTP_MAX_HEADERS];
	uint16_t value_len[HTTP_MAX_HEADERS];
	size_t target_len;
	size_t n_names;
	bool headers_done, message_done, is_proxy;
	/* chunked bodies */
	http_sink *sink;
	void *sink_arg;
	size_t data_bytes, framing;
	const char *piece_end;
	unsigned line_end_due; /* of the two bytes behind a chunk's data, which llhttp skips */
	bool sink_failed;
	struct err sink_err;
};

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parse *parse = llhttp->data;

	if (parse->head->target)
		return -1;
	parse->head->target = (char *)(uintptr_t)at;
	parse->target_len = len;
	return 0;
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parse *parse = llhttp->data;
	struct http_head *head = parse->head;

	if (parse->headers_done)
		return 0;
	if (parse->n_names != head->n_headers || parse->n_names >= HTTP_MAX_HEADERS)
		return -1;
	parse->name_len[parse->n_names] = (uint16_t)len;
	head->headers[parse->n_names++].name = at;
	return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parse *parse = llhttp->data;
	struct http_head *head = parse->head;

	if (parse->headers_done)
		return 0;
	if (parse->n_names != head->n_headers + 1)
		return -1;
	while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
		len--;
	if (len == 0)
		at = ""; /* an empty span points behind the line: nothing may be cut there */
	parse->value_len[head->n_headers] = (uint16_t)len;
	head->headers[head->n_headers++].value = at;
	return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
	struct http_parse *parse = llhttp->data;

	parse->headers_done = true;
	parse->head->keep_alive = llhttp_should_keep_alive(llhttp) != 0;
	llhttp->upgrade = 0; /* no protocol is offered, so Upgrade is passed over (RFC 9110 7.8) */
	return 0;
}

static bool line_ends(struct http_parse *parse, const char *at)
{
	while (parse->line_end_due > 0 && at < parse->piece_end) {
		if (*at++ != "\r\n"[2 - parse->line_end_due--])
			return false;
	}
	return true;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parse *parse = llhttp->data;

	parse->data_bytes += len;
	parse->framing = 0;
	parse->line_end_due = llhttp->content_length == 0 ? 2 : 0; /* of this chunk */
	if (!line_ends(parse, at + len))
		return -1;
	parse->sink_failed = parse->sink(parse->sink_arg, at, len, &parse->sink_err) < 0;
	return parse->sink_failed ? -1 : 0;
}

static int on_answer_headers_complete(llhttp_t *llhttp)
{
	struct http_parse *parse = llhttp->data;

	parse->headers_done = true;
	parse->head->keep_alive = llhttp_should_keep_alive(llhttp) != 0;
	return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
	struct http_parse *parse = llhttp->data;

	parse->message_done = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

static const llhttp_settings_t answer_settings = {
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_answer_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

struct http_parse *http_parse_new(void)
{
	return mem_alloc(sizeof(struct http_parse));
}

struct http_parse *http_parse_new_proxy(void)
{
	struct http_parse *parse = http_parse_new();

	parse->is_proxy = true;
	return parse;
}

void http_parse_free(struct http_parse *parse)
{
	mem_cleanup_free(&parse);
}

static int refuse(
	int *ret_status, int status, struct err *err, const char *code, const char *detail)
{
	*ret_status = status;
	return err_set(err, ERR_INVALID, code, "%s", detail);
}

/* What is wrong with byte `c` of a head, or NULL. */
static const char *byte_fault(const struct http_scan *scan, unsigned char c)
{
	if (scan->last == '\r' && c != '\n')
		return "a carriage return without a line feed";
	if (c == '\n')
		return scan->last == '\r' ? NULL : "a line feed without a carriage return";
	if (c == '\r')
		return NULL;
	if (scan->line_len == 0 && scan->lines > 0 && (c == ' ' || c == '\t'))
		return "a folded header line";
	if ((c < ' ' && c != '\t') || c == 0x7f)
		return "a control character in the head";
	return NULL;
}

/* Most of a head: within a line, where every byte but these is plain. */
static size_t plain_run(const struct http_scan *scan, const unsigned char *data, size_t len)
{
	size_t end = len < HTTP_MAX_HEAD_BYTES ? len : HTTP_MAX_HEAD_BYTES, at = scan->seen;

	if (scan->line_len == 0 || scan->last == '\r')
		return 0;
	while (at < end && data[at] >= ' ' && data[at] != 0x7f)
		at++;
	return at > scan->seen ? at - scan->seen : 0;
}

int http_parse_scan(struct http_scan *scan, const unsigned char *data, size_t len, int *ret_status,
	struct err *err)
{
	while (scan->seen < len) {
		size_t plain = plain_run(scan, data, len);
		unsigned char c;
		const char *fault;

		if (plain > 0) {
			scan->line_len += plain;
			scan->seen += plain;
			scan->last = ' ';
			continue;
		}
		c = data[scan->seen++];
		fault = byte_fault(scan, c);
		if (fault)
			return refuse(ret_status, 400, err, "request.malformed", fault);
		if (scan->seen > HTTP_MAX_HEAD_BYTES)
			return refuse(ret_status, 431, err, "request.head_too_large",
				"more than 32 KiB of head");
		scan->last = c;
		if (c != '\n') {
			scan->line_len += c != '\r';
			continue;
		}
		if (scan->line_len == 0)
			return scan->lines > 0 ? 1
					       : refuse(ret_status, 400, err, "request.malformed",
							 "an empty request line");
		if (scan->lines++ > HTTP_MAX_HEADERS)
			return refuse(ret_status, 431, err, "request.head_too_large",
				"more than 100 headers");
		scan->line_len = 0;
	}
	return 0;
}

static const char *method_of(unsigned method, bool is_proxy)
{
	static const unsigned known[] = { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH,
		HTTP_DELETE, HTTP_OPTIONS, HTTP_LOCK, HTTP_UNLOCK };

	if (is_proxy && method == HTTP_CONNECT)
		return "CONNECT";
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (known[i] == method)
			return llhttp_method_name((llhttp_method_t)method);
	}
	return NULL;
}

static bool is_host(const char *host)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";

	return *host && strspn(host, allowed) == strlen(host);
}

static const char *repeated_header(const struct http_head *head)
{
	static const char *const single[] = { "authorization", "content-length", "content-range",
		"content-type", "dpop", "expect", "if-match", "range", "transfer-encoding" };

	for (size_t i = 0; i < ARRAY_LEN(single); i++) {
		if (http_head_count(head, single[i]) > 1)
			return single[i];
	}
	return NULL;
}

static int check_framing(struct http_head *head, int *ret_status, struct err *err)
{
	const char *encoding = http_head_find(head, "transfer-encoding");
	const char *length = http_head_find(head, "content-length");

	if (encoding && head->http_1_0)
		return refuse(ret_status, 400, err, "request.bad_framing",
			"Transfer-Encoding in HTTP/1.0");
	if (encoding && length)
		return refuse(ret_status, 400, err, "request.bad_framing",
			"both Transfer-Encoding and Content-Length");
	if (encoding && strcasecmp(encoding, "chunked") != 0)
		return refuse(ret_status, 400, err, "request.bad_framing",
			"a Transfer-Encoding other than chunked");
	if (length && (!*length || strspn(length, "0123456789") != strlen(length)))
		return refuse(ret_status, 400, err, "request.bad_framing",
			"a Content-Length that is no number");
	return 0;
}

static int check_head(struct http_head *head, int *ret_status, struct err *err)
{
	const char *expect = http_head_find(head, "expect");
	const char *host = http_head_find(head, "host");
	const char *repeated = repeated_header(head);
	/* A proxy's clients need none: the target says it, and CONNECT may be of HTTP/1.0. */
	bool is_optional = strcmp(head->method, "CONNECT") == 0;

	if (!head->target ||
		(host ? http_head_count(head, "host") != 1 || !is_host(host) : !is_optional))
		return refuse(ret_status, 400, err, "request.bad_host",
			"not exactly one valid Host header");
	if (repeated)
		return refuse(ret_status, 400, err, "request.repeated_header", repeated);
	if (expect && strcasecmp(expect, "100-continue") != 0)
		return refuse(ret_status, 417, err, "request.bad_expect",
			"an Expect other than 100-continue");
	head->expect_continue = expect && !head->http_1_0;
	return check_framing(head, ret_status, err);
}

static int refuse_llhttp(const struct http_parse *parse, int *ret_status, struct err *err)
{
	const char *reason = llhttp_get_error_reason(&parse->llhttp);
	llhttp_errno_t code = llhttp_get_errno(&parse->llhttp);

	*ret_status = 400;
	if (code == HPE_INVALID_METHOD)
		return err_set(err, ERR_INVALID, "request.unknown_method", "unknown method");
	if (code == HPE_INVALID_VERSION)
		return refuse(ret_status, 505, err, "request.bad_version", "unknown version");
	return err_set(err, ERR_INVALID, "request.malformed", "%s",
		reason && *reason ? reason : llhttp_errno_name(code));
}

/* What llhttp knows of the head beside the texts. */
static int take_facts(
	struct http_parse *parse, struct http_head *head, int *ret_status, struct err *err)
{
	const llhttp_t *llhttp = &parse->llhttp;
	const char *length = http_head_find(head, "content-length");

	if (llhttp->http_major != 1 || llhttp->http_minor > 1)
		return refuse(ret_status, 505, err, "request.bad_version", "only HTTP/1.0 and 1.1");
	head->http_1_0 = llhttp->http_minor == 0;
	head->method = method_of(llhttp->method, parse->is_proxy);
	if (!head->method)
		return refuse(ret_status, 400, err, "request.unknown_method", "unknown method");
	if (check_head(head, ret_status, err) < 0)
		return -1;
	head->chunked = http_head_find(head, "transfer-encoding") != NULL;
	head->content_length =
		length && !parse->message_done ? (long long)llhttp->content_length : -1;
	if (length && parse->message_done)
		head->content_length = 0;
	if (head->content_length < 0 && length)
		return refuse(
			ret_status, 400, err, "request.bad_framing", "a Content-Length too large");
	return 0;
}

/* What llhttp forgives: more than one space in the request line, a space before a header's colon,
 * no name at all. */
static const char *loose_syntax(const struct http_parse *parse, const char *text)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const struct http_head *head = parse->head;
	const char *space = strchr(text, ' ');

	if (!space || !head->target || head->target != space + 1 ||
		strncmp(head->target + parse->target_len, " HTTP/", 6) != 0)
		return "a request line with other than two single spaces";
	for (size_t i = 0; i < head->n_headers; i++) {
		const char *name = head->headers[i].name;
		size_t len = strspn(name, token);

		if (len == 0 || len != parse->name_len[i] || name[len] != ':')
			return "a header name that is no token";
	}
	return NULL;
}

/* Only now: llhttp looks at the byte behind a span again. */
static void cut_strings(const struct http_parse *parse, struct http_head *head)
{
	if (head->target)
		head->target[parse->target_len] = '\0';
	for (size_t i = 0; i < head->n_headers; i++) {
		((char *)(uintptr_t)head->headers[i].name)[parse->name_len[i]] = '\0';
		if (parse->value_len[i] > 0)
			((char *)(uintptr_t)head->headers[i].value)[parse->value_len[i]] = '\0';
	}
}

int http_parse_head(struct http_parse *parse, char *text, size_t len, struct http_head *ret_head,
	int *ret_status, struct err *err)
{
	llhttp_errno_t code;
	const char *fault;

	*ret_head = (struct http_head) { .content_length = -1 };
	*parse = (struct http_parse) { .head = ret_head, .is_proxy = parse->is_proxy };
	llhttp_init(&parse->llhttp, HTTP_REQUEST, &settings);
	parse->llhttp.data = parse;
	code = llhttp_execute(&parse->llhttp, text, len);
	if (code != HPE_OK && !(code == HPE_PAUSED && parse->message_done))
		return refuse_llhttp(parse, ret_status, err);
	if (!parse->headers_done)
		return refuse(ret_status, 400, err, "request.malformed", "the head does not end");
	fault = loose_syntax(parse, text);
	if (fault)
		return refuse(ret_status, 400, err, "request.malformed", fault);
	cut_strings(parse, ret_head);
	return take_facts(parse, ret_head, ret_status, err);
}

/* A status line and the headers that frame the body; strings were cut. */
static const char *answer_fault(
	const struct http_parse *parse, const struct http_head *head, const char *length)
{
	const char *encoding = http_head_find(head, "transfer-encoding");

	if (!parse->headers_done)
		return "the head does not end";
	if (parse->llhttp.http_major != 1 || head->status < 100 || head->status > 599)
		return "the version or the status is unknown";
	if (http_head_count(head, "content-length") > 1 ||
		http_head_count(head, "transfer-encoding") > 1 || (encoding && length))
		return "the body's framing is not clear";
	if (encoding && strcasecmp(encoding, "chunked") != 0)
		return "a Transfer-Encoding other than chunked";
	if (length && (!*length || strspn(length, "0123456789") != strlen(length)))
		return "a Content-Length that is no number";
	return NULL;
}

int http_parse_answer(struct http_parse *parse, char *text, size_t len, struct http_head *ret_head,
	struct err *err)
{
	const char *length, *fault;
	llhttp_errno_t code;

	*ret_head = (struct http_head) { .content_length = -1 };
	*parse = (struct http_parse) { .head = ret_head };
	llhttp_init(&parse->llhttp, HTTP_RESPONSE, &answer_settings);
	parse->llhttp.data = parse;
	code = llhttp_execute(&parse->llhttp, text, len);
	if (code != HPE_OK && !(code == HPE_PAUSED && parse->message_done))
		return err_set(err, ERR_UPSTREAM, "http.bad_answer", "not an answer: %s",
			llhttp_errno_name(code));
	cut_strings(parse, ret_head);
	ret_head->status = parse->llhttp.status_code;
	length = http_head_find(ret_head, "content-length");
	fault = answer_fault(parse, ret_head, length);
	if (fault)
		return err_set(err, ERR_UPSTREAM, "http.bad_answer", "%s", fault);
	ret_head->http_1_0 = parse->llhttp.http_minor == 0;
	ret_head->chunked = http_head_find(ret_head, "transfer-encoding") != NULL;
	if (length)
		ret_head->content_length = strtoll(length, NULL, 10);
	return 0;
}

int http_parse_chunks(struct http_parse *parse, const void *data, size_t len,
	struct http_chunks *chunks, struct err *err)
{
	llhttp_errno_t code;

	chunks->used = len;
	parse->sink = chunks->sink;
	parse->sink_arg = chunks->arg;
	parse->data_bytes = 0;
	parse->framing += len;
	parse->piece_end = (const char *)data + len;
	code = line_ends(parse, data) ? llhttp_execute(&parse->llhttp, data, len)
				      : HPE_INVALID_CHUNK_SIZE;
	if (parse->sink_failed) {
		*err = parse->sink_err;
		return -1;
	}
	if (code == HPE_PAUSED && parse->message_done)
		chunks->used = (size_t)(llhttp_get_error_pos(&parse->llhttp) - (const char *)data);
	else if (code != HPE_OK)
		return err_set(err, ERR_INVALID, "request.bad_framing", "bad chunked framing: %s",
			llhttp_errno_name(code));
	if (parse->data_bytes == 0 && parse->framing > MAX_FRAMING_BYTES && !parse->message_done)
		return err_set(err, ERR_INVALID, "request.bad_framing", "too much chunk framing");
	chunks->done = parse->message_done;
	return 0;
}
