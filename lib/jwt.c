/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JWTs: see the header. */
#include "lib/jwt.h"

#include <stdlib.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"

static int invalid(struct err *err, const char *what)
{
	return err_set(err, ERR_UNAUTHENTICATED, "auth.invalid_token", "%s", what);
}

static int check_size(const char *token, struct err *err)
{
	if (strnlen(token, JWT_MAX_BYTES + 1) <= JWT_MAX_BYTES)
		return 0;
	return err_set(err, ERR_UNAUTHENTICATED, "auth.too_large", "a token has at most %u bytes",
		JWT_MAX_BYTES);
}

static int check_algorithm(const char *alg, const char *const *algorithms, struct err *err)
{
	for (size_t i = 0; alg && algorithms[i]; i++) {
		if (strcmp(algorithms[i], alg) == 0)
			return 0;
	}
	return err_set(err, ERR_UNAUTHENTICATED, "auth.wrong_algorithm",
		"the token is signed by none of the allowed algorithms");
}

int jwt_header(const char *token, const char *typ, const char *const *algorithms,
	json_t **ret_header, struct err *err)
{
	auto_json json_t *header = NULL;
	const char *found;

	if (check_size(token, err) < 0)
		return -1;
	if (jose_token_peek(token, &header, NULL) < 0)
		return invalid(err, "not a token");
	found = json_text(header, "typ");
	if (!found || strcmp(found, typ) != 0)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.wrong_type",
			"the token is not of type %s", typ);
	if (check_algorithm(json_text(header, "alg"), algorithms, err) < 0)
		return -1;
	*ret_header = take_ptr(header);
	return 0;
}

int jwt_claims(const char *token, json_t **ret_claims, struct err *err)
{
	const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
	auto_free unsigned char *payload = NULL;
	auto_json json_t *claims = NULL;
	size_t len;

	if (check_size(token, err) < 0)
		return -1;
	if (!second || codec_b64url_decode(
			       first + 1, (size_t)(second - first - 1), &payload, &len, NULL) < 0)
		return invalid(err, "not a token");
	claims = json_parse((const char *)payload, len, NULL);
	if (!json_is_object(claims))
		return invalid(err, "the token's claims are no JSON object");
	*ret_claims = take_ptr(claims);
	return 0;
}

int jwt_check_times(const json_t *claims, long long skew_s, struct err *err)
{
	const json_t *iat = json_object_get(claims, "iat"), *exp = json_object_get(claims, "exp");
	const json_t *nbf = json_object_get(claims, "nbf");
	long long now = clock_unix_ms() / 1000;

	if (!json_is_integer(iat) || !json_is_integer(exp) || (nbf && !json_is_integer(nbf)))
		return invalid(err, "the token has no times");
	if (json_integer_value(iat) < 0) /* so that exp - iat is a number */
		return invalid(err, "the token was made before all time");
	if (json_integer_value(exp) <= now - skew_s)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.expired", "the token has expired");
	if (json_integer_value(iat) > now + skew_s)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.clock_skew",
			"the token was made in the future: one of the clocks is wrong");
	if (json_integer_value(nbf) > now + skew_s)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.not_yet_valid",
			"the token is not valid yet");
	return 0;
}
