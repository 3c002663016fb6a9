/* SPDX-License-Identifier: Apache-2.0 */
/* Buffered calls to the registry behind us; streams go through relay.h. */
#ifndef REGISTRY_GW_BACKEND_H
#define REGISTRY_GW_BACKEND_H

#include "lib/fetch.h"
#include "lib/web.h"

/* fetch_do() to the registry's socket; `call->url` is a path. 5xx and no answer at all:
 * registry.failed, upstream.*. */
int backend_do(struct web_req *req, const struct fetch_request *call,
	struct fetch_response *ret_answer, struct err *err) __attribute__((warn_unused_result));

/* The same for background loops. */
int backend_call(struct worker *worker, const struct fetch_request *call,
	struct fetch_response *ret_answer, struct err *err) __attribute__((warn_unused_result));

/* A header of an answer in the request's arena, or NULL. */
const char *backend_header(
	struct web_req *req, const struct fetch_response *answer, const char *name);
/* code and message of the first of its errors; "" where there are none. */
void backend_error(struct web_req *req, const struct fetch_response *answer, const char **ret_code,
	const char **ret_message);
/* Path and query of the Location of an upload in `repository`, out of an absolute or relative URL.
 * registry.failed. */
int backend_location(struct web_req *req, const char *url, const char *repository,
	const char **ret_location, struct err *err);
/* The size of what the registry has under the digest in this repository, -1 for nothing. */
int backend_blob_size(struct web_req *req, const char *repository, const char *digest,
	long long *ret_size, struct err *err);

#endif
