/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection's parser on hostile bytes, as http_read.c drives it: scan in pieces, head, chunked
 * body, next request; then the same as a proxy has it, the agent's for its app. Where the bytes are
 * cut must not matter, and what was accepted must keep the edge's promises.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/http_parse.h"
#include "lib/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static int gather(void *arg, const void *data, size_t len, struct err *err)
{
	return buf_add(arg, data, len, err);
}

/* As http_parse_scan(), with the bytes coming in pieces of `step`. */
static int scan(const uint8_t *data, size_t size, size_t step, size_t *ret_len)
{
	struct http_scan state = { .seen = 0 };
	int result = 0, status = 0;
	struct err err;

	for (size_t seen = step; result == 0; seen += step) {
		result = http_parse_scan(&state, data, seen < size ? seen : size, &status, &err);
		if (seen >= size)
			break;
	}
	require(result >= 0 || status == 400 || status == 431);
	*ret_len = state.seen;
	return result;
}

static void check_head(const struct http_head *head)
{
	size_t hosts = 0;

	require(head->method && head->target);
	require(!head->chunked || (head->content_length < 0 && !head->http_1_0));
	for (size_t i = 0; i < head->n_headers; i++) {
		require(*head->headers[i].name);
		require(!strpbrk(head->headers[i].name, " \t\r\n:"));
		require(!strpbrk(head->headers[i].value, "\r\n"));
		hosts += strcasecmp(head->headers[i].name, "host") == 0;
	}
	require(hosts == 1 || (hosts == 0 && strcmp(head->method, "CONNECT") == 0));
}

/* The body in pieces of `step`; returns how many bytes it took, or SIZE_MAX. */
static size_t take_chunks(struct http_parse *parse, const uint8_t *data, size_t size, size_t step,
	struct buf *body, bool *ret_done)
{
	struct http_chunks chunks = { .sink = gather, .arg = body };
	struct err err;
	size_t at = 0;

	while (at < size && !chunks.done) {
		size_t len = size - at < step ? size - at : step;

		if (http_parse_chunks(parse, data + at, len, &chunks, &err) < 0)
			return SIZE_MAX;
		require(chunks.used <= len && (chunks.used == len || chunks.done));
		at += chunks.used;
	}
	*ret_done = chunks.done;
	return at;
}

/* One request at data[0..size); returns its length, or 0 when there is none. */
static size_t one_request(
	const uint8_t *data, size_t size, size_t step, bool is_proxy, struct buf *body)
{
	struct http_parse *parse = is_proxy ? http_parse_new_proxy() : http_parse_new();
	struct http_head *head = mem_alloc(sizeof(*head));
	char *text = NULL;
	size_t len = 0, total = 0;
	int status = 0;
	struct err err;
	bool done;

	if (scan(data, size, step, &len) == 1) {
		text = mem_alloc(len + 1);
		memcpy(text, data, len);
		if (http_parse_head(parse, text, len, head, &status, &err) == 0) {
			check_head(head);
			total = len;
			if (head->chunked) {
				size_t used = take_chunks(
					parse, data + len, size - len, step, body, &done);

				total = used == SIZE_MAX || !done ? 0 : len + used;
			}
		} else {
			require(status >= 400);
		}
	}
	free(text);
	free(head);
	http_parse_free(parse);
	return total;
}

static void all_requests(const uint8_t *data, size_t size, bool is_proxy)
{
	for (size_t at = 0; at < size;) {
		auto_buf whole = BUF_INIT(1024 * 1024);
		auto_buf pieces = BUF_INIT(1024 * 1024);
		size_t len = one_request(data + at, size - at, size - at, is_proxy, &whole);

		require(one_request(data + at, size - at, 1, is_proxy, &pieces) == len);
		if (len > 0)
			require(whole.len == pieces.len &&
				(whole.len == 0 ||
					memcmp(whole.data, pieces.data, whole.len) == 0));
		if (len == 0)
			break;
		at += len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	all_requests(data, size, false);
	all_requests(data, size, true);
	return 0;
}
