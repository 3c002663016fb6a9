/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of assertions. */
#include "services/certreg/assertions.h"

#include <string.h>

#include "lib/json.h"
#include "lib/jwt.h"
#include "lib/service.h"
#include "services/certreg/store_tokens.h"

#define LIFE_SECONDS 60
#define SKEW_SECONDS 60
#define JTI_MAX 64

bool assertion_has(const json_t *claims, const char *name, const char *value)
{
	const char *text = json_text(claims, name);

	return text && strcmp(text, value) == 0;
}

static int invalid(struct err *err, const char *what)
{
	return err_set(err, ERR_UNAUTHENTICATED, "auth.invalid_token", "%s", what);
}

int assertion_claims_check(
	const json_t *claims, const char *subject, const char *audience, struct err *err)
{
	size_t members = json_object_get(claims, "nbf") ? 7 : 6;
	const char *jti = json_text(claims, "jti");
	long long life;

	if (!jti || !*jti || strlen(jti) > JTI_MAX)
		return invalid(err, "the assertion has no usable jti");
	if (!assertion_has(claims, "iss", subject) || !assertion_has(claims, "sub", subject))
		return invalid(err, "iss and sub must both be the client");
	if (!assertion_has(claims, "aud", audience))
		return err_set(err, ERR_UNAUTHENTICATED, "auth.wrong_audience",
			"the assertion is for another server");
	if (jwt_check_times(claims, SKEW_SECONDS, err) < 0)
		return -1;
	life = json_integer_value(json_object_get(claims, "exp")) -
	       json_integer_value(json_object_get(claims, "iat"));
	if (life > LIFE_SECONDS || life < 0)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.lives_too_long",
			"an assertion lives at most %d s", LIFE_SECONDS);
	if (json_object_size(claims) != members)
		return invalid(err, "the assertion has unknown claims");
	return 0;
}

int assertion_use(struct web_req *req, const char *tenant_id, const char *space_id,
	const json_t *claims, struct err *err)
{
	return store_assertion_use(req->worker->db, tenant_id, space_id, json_text(claims, "sub"),
		json_text(claims, "jti"), json_integer_value(json_object_get(claims, "exp")), err);
}
