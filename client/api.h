/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Talking to the middleware: a token per service, cached in memory only; calls with JSON; and the
 * raw request for objects. While a service is away (restart, 502, 503) a call is repeated for up to
 * a minute: every call that changes something carries an Idempotency-Key, so that a repetition does
 * nothing twice.
 */
#ifndef STRONGROOM_CLIENT_API_H
#define STRONGROOM_CLIENT_API_H

#include <jansson.h>

#include "client/profile.h"
#include "lib/err.h"
#include "lib/fetch.h"

struct api;

struct api *api_new(const struct profile *profile); /* borrows the profile */
void api_free(struct api *api);			    /* wipes the tokens */

struct api_call {
	const char *label;    /* "create-sandbox": in messages and kill points */
	const char *audience; /* service; NULL: a public route, no token is shown */
	const char *method;
	const char *path; /* with query */
	const json_t *body;
	const char *idempotency_key;
	const char *etag;   /* If-Match for PUT, DELETE and actions, If-None-Match for GET */
	const char *accept; /* NULL: application/json */
};

/* Errors carry the problem's own code, and the request id behind the text. ret_json may be NULL; it
 * becomes NULL for 204 and 304. */
int api_call(struct api *api, const struct api_call *call, json_t **ret_json, long *ret_status,
	struct err *err) __attribute__((warn_unused_result));
/* All pages of a list, until `name` equals the member: 1 and *ret_item, or 0. */
int api_find(struct api *api, const char *audience, const char *path, const char *member,
	const char *value, json_t **ret_item, struct err *err) __attribute__((warn_unused_result));

/* One request as it is, with Authorization added; `headers` without it. Any status is 0; 401 is
 * tried again once with a new token. */
int api_raw(struct api *api, const char *label, const char *audience, struct fetch_request *req,
	struct fetch_response *ret_res, struct err *err) __attribute__((warn_unused_result));
/* The problem of an answer >= 400 as err; always -1. */
int api_problem(const struct fetch_response *res, struct err *err);

/* {id,name,space,…} of the own tenant, asked for once. Borrowed. */
const json_t *api_tenant(struct api *api, struct err *err);

/* For image_push: a docker token for that scope; `arg`: the api. */
int api_registry_token(void *arg, const char *scope, char **ret_token, struct err *err);
const struct profile *api_profile(const struct api *api);

#endif
