/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error value. Every fallible function takes `struct err *err` last, returns 0 or -1
 * (or NULL), leaves its outputs alone on failure and `err` alone on success.
 * Raise and return in one line:  return err_set(err, ERR_CONFLICT, "run.exists", "run '%s' exists",
 * id); Codes are stable, dotted and listed in proto/errors.json.
 */
#ifndef STRONGROOM_ERR_H
#define STRONGROOM_ERR_H

#define ERR_MAX_FIELDS 8

enum err_kind {
	ERR_NONE,
	ERR_INVALID,		   /* 400 */
	ERR_UNAUTHENTICATED,	   /* 401 */
	ERR_FORBIDDEN,		   /* 403 */
	ERR_NOT_FOUND,		   /* 404 */
	ERR_METHOD,		   /* 405 */
	ERR_CONFLICT,		   /* 409 */
	ERR_GONE,		   /* 410 */
	ERR_PRECONDITION_FAILED,   /* 412 */
	ERR_TOO_LARGE,		   /* 413 */
	ERR_UNSUPPORTED_TYPE,	   /* 415 */
	ERR_RANGE,		   /* 416 */
	ERR_UNPROCESSABLE,	   /* 422 */
	ERR_PRECONDITION_REQUIRED, /* 428 */
	ERR_LIMITED,		   /* 429 */
	ERR_INTERNAL,		   /* 500 */
	ERR_UPSTREAM,		   /* 502 */
	ERR_UNAVAILABLE,	   /* 503 */
	ERR_TIMEOUT,		   /* 504 */
};

/* One bad member of the input: `pointer` is its JSON Pointer (RFC 6901). */
struct err_field {
	char pointer[96];
	char code[32];
	char detail[96];
};

struct err {
	enum err_kind kind;
	char code[48];
	char detail[256];
	unsigned retry_s; /* of ERR_LIMITED and ERR_UNAVAILABLE: when to come again; 0: soon */
	unsigned n_fields;
	struct err_field fields[ERR_MAX_FIELDS];
};

/* Fills `err` (which may be NULL) and returns -1. */
int err_set(struct err *err, enum err_kind kind, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* err_set() with ": strerror(errno)" behind the text; kind ERR_INTERNAL, code "internal.system". */
int err_errno(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the detail of an error that is on its way up. Returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds one bad field; the ninth and later are counted out silently. Returns -1. */
int err_field(struct err *err, const char *pointer, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

void err_clear(struct err *err);

#endif
