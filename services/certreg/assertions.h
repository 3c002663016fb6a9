/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all assertions for tokens have in common (RFC 7521, 7523): by the subject itself, for our
 * token route, made just now, good for a minute, once. All of that is said of the assertion before
 * anybody is looked up, with codes of its own (lib/jwt.h): they tell nothing but what the sender
 * wrote. Whatever depends on what we know is auth.invalid_client.
 */
#ifndef CERTREG_ASSERTIONS_H
#define CERTREG_ASSERTIONS_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"
#include "lib/web.h"

/* Exactly iss, sub, aud, iat, exp, jti (and nbf); iss and sub are `subject`, aud is `audience`.
 * auth.invalid_token, auth.wrong_audience, auth.lives_too_long, and those of jwt_check_times(). */
int assertion_claims_check(
	const json_t *claims, const char *subject, const char *audience, struct err *err);
bool assertion_has(const json_t *claims, const char *name, const char *value);

/* Of a verified one: auth.replayed. */
int assertion_use(struct web_req *req, const char *tenant_id, const char *space_id,
	const json_t *claims, struct err *err);

#endif
