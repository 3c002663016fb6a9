/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests in the agent's name: tokens for one service by RFC 7523 assertions of the machine
 * signing key, and a DPoP proof (RFC 9449) of the same key with each request.
 */
#ifndef STRONGROOM_AGENT_API_H
#define STRONGROOM_AGENT_API_H

#include <jansson.h>

#include "agent/edge.h"
#include "agent/machine.h"
#include "lib/err.h"
#include "lib/fetch.h"

struct api {
	struct edge *edge;
	const struct machine *machine;
	const char *audience; /* the service */
	char *token;
	long long token_end_ms; /* monotonic */
};

void api_init(
	struct api *api, struct edge *edge, const struct machine *machine, const char *audience);
void api_release(struct api *api);

/* One try. `req->url` is a path; its headers, at most API_MAX_EXTRA, follow ours. An answer >= 400
 * becomes the error it says; an error 401 drops the token, so that the next try has a new one. */
int api_try(struct api *api, const struct fetch_request *req, const json_t *body, json_t **ret_json,
	long *ret_status, struct err *err) __attribute__((warn_unused_result));
/* The same with patience. */
int api_call(struct api *api, const struct fetch_request *req, const json_t *body,
	json_t **ret_json, struct err *err) __attribute__((warn_unused_result));
/* HEAD with patience; an answer other than 200 is an error. */
int api_head(struct api *api, const char *path, struct fetch_response *ret_res, struct err *err)
	__attribute__((warn_unused_result));

/* A request as it goes out: with the whole address, token and proof. */
#define API_MAX_EXTRA 4u
struct api_signed {
	struct fetch_request req;
	char *url, *authorization, *proof;
	const char *headers[API_MAX_EXTRA + 3];
};

/* For who sends it himself; released also after a failure, if it was zeroed before. */
int api_sign(struct api *api, const struct fetch_request *req, struct api_signed *ret_signed,
	struct err *err) __attribute__((warn_unused_result));
void api_signed_release(struct api_signed *request);
void api_forget_token(struct api *api); /* after a 401 */

/* A form with a fresh assertion for certreg, good for one token, beside `members`; wipe and free
 * it.
 */
int api_assertion_form(const struct api *api, const char *members, char **ret_form, struct err *err)
	__attribute__((warn_unused_result));
extern const char *const api_form_headers[]; /* for fetch_request.headers */

#endif
