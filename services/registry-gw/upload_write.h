/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes for a session: PATCH, PUT ?digest= with or without a last piece, POST ?digest= with all at
 * once. Whatever the client does, the registry gets a chunked PATCH that is ended cleanly, even
 * when the client vanishes in the middle: so what arrived stays, byte for byte (registry.md 1.5,
 * C2). A commit is a PUT without a body behind it.
 */
#ifndef REGISTRY_GW_UPLOAD_WRITE_H
#define REGISTRY_GW_UPLOAD_WRITE_H

#include "lib/web_stream.h"
#include "services/registry-gw/relay.h"
#include "services/registry-gw/store.h"
#include "services/registry-gw/writers.h"

/* One write, from begin to release; the request's arena holds it. */
struct upload_write {
	struct access access;
	struct upload upload;
	const char *digest; /* commit behind the bytes; NULL: PATCH */
	const char *socket;
	const char *head; /* of the request to the registry */
	struct writers *writers;
	struct writer writer;
	struct wake *wake;
	struct relay relay;
	struct event *patience; /* looks whether the quota grew; NULL: never waited */
	struct web_stream *stream;
	bool is_over;	/* its body does not fit into the quota */
	bool gone;	/* the client, before the end of its body */
	struct err err; /* the registry could not be reached */
};

/* On the lane: web_stream_ops.begin of each method, and their finish. */
int upload_write_post(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err);
int upload_write_patch(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err);
int upload_write_put(struct web_req *req, struct web_res *res, void **ret_ctx, struct err *err);
int upload_write_finish(struct web_req *req, struct web_res *res, void *ctx, struct err *err);

/* How far a body of unknown length may go at first, and at each further step. */
#define UPLOAD_STEP_BYTES (16LL * 1024 * 1024)

/* "a-b", inclusive, without a unit. Returns 0, with *ret_from -1 when `text` is NULL.
 * upload.bad_range. */
int upload_write_range(const char *text, long long *ret_from, long long *ret_to, struct err *err);

#endif
