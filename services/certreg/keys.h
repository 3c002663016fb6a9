/* SPDX-License-Identifier: Apache-2.0 */
/* API keys as resources: the client makes the secret and sends only its hash. */
#ifndef CERTREG_KEYS_H
#define CERTREG_KEYS_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/web.h"

struct key;

#define KEYS_ROUTE "POST /v1/keys"
#define KEY_ROTATE_ROUTE "POST /v1/keys/{key_id}:rotate"
#define SCOPES_ALL "read write"

int key_create(struct web_req *req, struct web_res *res, struct err *err);
int key_list(struct web_req *req, struct web_res *res, struct err *err);
int key_show(struct web_req *req, struct web_res *res, struct err *err);
int key_rotate(struct web_req *req, struct web_res *res, struct err *err);
int key_revoke(struct web_req *req, struct web_res *res, struct err *err);

/* A time to come, written as our own answers write times: key.bad_expiry. */
int key_check_expiry(const char *text, struct err *err);
/* {id?, name, hash} of the first key of a new member, with all scopes. */
int key_read_first(struct web_req *req, json_t *object, struct key *ret_key, struct err *err);

json_t *key_json(const struct key *key);
/* The scopes of `wanted` (joined by spaces) that `allowed` has too; scope.unknown for one that does
 * not exist. */
int scopes_narrow(struct arena *arena, const char *allowed, const char *wanted,
	const char **ret_scopes, struct err *err);

#endif
