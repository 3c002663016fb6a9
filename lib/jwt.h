/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a JWT (RFC 7519) says besides its signature, read strictly before any key is looked for.
 * Each fault has a code of its own, the same for tokens at services and for assertions at the
 * issuer. No code depends on anything that only the other side knows, so saying which it was tells
 * nobody about accounts.
 */
#ifndef STRONGROOM_JWT_H
#define STRONGROOM_JWT_H

#include <jansson.h>

#include "lib/err.h"

#define JWT_MAX_BYTES 12288u

/* The header of a token of type `typ` by one of `algorithms` (ends with NULL). Codes:
 * auth.too_large, auth.invalid_token, auth.wrong_type, auth.wrong_algorithm. */
int jwt_header(const char *token, const char *typ, const char *const *algorithms,
	json_t **ret_header, struct err *err) __attribute__((warn_unused_result));
/* The claims, NOT VERIFIED: to know whom to ask for, and to refuse early. auth.too_large,
 * auth.invalid_token. */
int jwt_claims(const char *token, json_t **ret_claims, struct err *err)
	__attribute__((warn_unused_result));
/* iat, exp, and nbf if there is one, with `skew_s` seconds of grace. auth.invalid_token,
 * auth.expired, auth.clock_skew (made in the future), auth.not_yet_valid. */
int jwt_check_times(const json_t *claims, long long skew_s, struct err *err)
	__attribute__((warn_unused_result));

#endif
