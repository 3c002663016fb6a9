/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET and POST /v1/registry-token: the docker token flow and its OAuth2 form. Asking for too much
 * is no error: the token has the intersection of what was asked and what the caller may do.
 */
#ifndef CERTREG_REGISTRY_TOKENS_H
#define CERTREG_REGISTRY_TOKENS_H

#include <jansson.h>

#include "lib/web.h"

int registry_token_create(struct web_req *req, struct web_res *res, struct err *err);	/* GET */
int registry_token_exchange(struct web_req *req, struct web_res *res, struct err *err); /* POST */

/* What somebody may do; names below `prefix` ("acme/") or exactly `repository`. */
struct registry_rights {
	const char *prefix, *repository;
	bool pull, push, delete;
};

struct registry_rights registry_rights_of(const char *prefix, const char *roles, const char *scope);
/* Adds what `text` (one or more scopes, joined by spaces) and the rights have in common.
 * registry.bad_scope. */
int registry_access_add(struct arena *arena, const struct registry_rights *rights, const char *text,
	json_t *access, struct err *err);

#endif
