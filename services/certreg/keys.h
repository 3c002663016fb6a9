/* SPDX-License-Identifier: Apache-2.0 */
/* API keys as resources: the client makes the secret and sends only its hash. */
#ifndef CERTREG_KEYS_H
#define CERTREG_KEYS_H

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/web.h"

struct key;

#define KEYS_ROUTE "POST /v1/keys"
#define SCOPES_ALL "read write"

int key_create(struct web_req *req, struct web_res *res, struct err *err);
int key_list(struct web_req *req, struct web_res *res, struct err *err);
int key_show(struct web_req *req, struct web_res *res, struct err *err);
int key_revoke(struct web_req *req, struct web_res *res, struct err *err);

json_t *key_json(const struct key *key);
/* The scopes of `wanted` (joined by spaces) that `allowed` has too; scope.unknown for one that does
 * not exist. */
int scopes_narrow(struct arena *arena, const char *allowed, const char *wanted,
	const char **ret_scopes, struct err *err);

#endif
