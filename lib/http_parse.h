/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 from bytes, requests and (for relays) a server's answers: the one file behind which
 * llhttp stands. A head is first scanned byte by byte as it arrives (size, count, bare CR or LF,
 * NUL, folded lines: refused before anything is allocated), then parsed whole in a copy that the
 * caller owns, then held against the rules that llhttp leaves open. Bodies with a Content-Length
 * need no parser; chunked ones go through http_parse_chunks().
 */
#ifndef STRONGROOM_HTTP_PARSE_H
#define STRONGROOM_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/web.h"

#define HTTP_MAX_HEADERS 100
#define HTTP_MAX_HEAD_BYTES 32768u

struct http_parse;

/* Where the scan of a head that is still arriving stands; zeroed for the next one. */
struct http_scan {
	size_t seen;
	size_t line_len;
	unsigned lines;
	unsigned char last;
};

struct http_head {
	const char *method; /* static text; NULL in an answer */
	char *target;
	int status; /* of an answer */
	struct web_pair headers[HTTP_MAX_HEADERS];
	size_t n_headers;
	long long content_length; /* -1: none given */
	bool http_1_0;
	bool keep_alive;
	bool chunked;
	bool expect_continue;
};

struct http_parse *http_parse_new(void);
struct http_parse *http_parse_new_proxy(void); /* CONNECT host:port is a request, too */
void http_parse_free(struct http_parse *parse);

/* Looks at data[scan->seen..len). 1: the head ends at scan->seen; 0: more is needed; -1: refused,
 * and *ret_status is the answer's status. */
int http_parse_scan(struct http_scan *scan, const unsigned char *data, size_t len, int *ret_status,
	struct err *err);

/* `text` is a scanned head of `len` bytes; it is cut into C strings in place and must outlive
 * `ret_head`. */
int http_parse_head(struct http_parse *parse, char *text, size_t len, struct http_head *ret_head,
	int *ret_status, struct err *err);

/* The same for an answer's head; an interim answer (1xx) has no body. http.bad_answer. A body whose
 * length is neither given nor chunked ends with the connection: content_length -1, chunked false.
 */
int http_parse_answer(struct http_parse *parse, char *text, size_t len, struct http_head *ret_head,
	struct err *err);

typedef int http_sink(void *arg, const void *data, size_t len, struct err *err);

struct http_chunks {
	http_sink *sink;
	void *arg;
	size_t used; /* bytes that were consumed */
	bool done;   /* the last chunk was among them */
};

/* Takes chunked framing apart. */
int http_parse_chunks(struct http_parse *parse, const void *data, size_t len,
	struct http_chunks *chunks, struct err *err);

/* First header of that name, or NULL. */
const char *http_head_find(const struct http_head *head, const char *name);
size_t http_head_count(const struct http_head *head, const char *name);

#endif
