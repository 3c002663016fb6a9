/* SPDX-License-Identifier: Apache-2.0 */
/* Signing tokens with the key that init.c read. */
#include "services/certreg/issuer.h"

#include "lib/id.h"
#include "lib/json.h"
#include "lib/service.h"

long long issuer_now(void)
{
	return clock_unix_ms() / 1000;
}

json_t *issuer_jwks(const struct certreg *certreg)
{
	auto_json json_t *pair = NULL;
	json_t *jwk;

	if (jose_key_from_evp(certreg->secrets->issuer_key, "sig", &pair, NULL) < 0)
		return json_pack("{s:[]}", "keys");
	jwk = jose_key_public(pair);
	json_object_set_new(jwk, "kid", json_string(certreg->secrets->issuer_kid));
	return json_pack("{s:[o]}", "keys", jwk);
}

int issuer_sign(struct worker *worker, const char *typ, const char *audience, long long expires_at,
	json_t *claims, char **ret_token, struct err *err)
{
	const struct certreg *certreg = certreg_of(worker);
	char jti[ID_SIZE];

	id_new("jti", jti);
	json_object_set_new(claims, "iss", json_string(worker->conf->base_url));
	json_object_set_new(claims, "aud", json_string(audience));
	json_object_set_new(claims, "iat", json_integer(issuer_now()));
	json_object_set_new(claims, "exp", json_integer(expires_at));
	json_object_set_new(claims, "jti", json_string(jti));
	return jose_token_sign(certreg->secrets->issuer_key, typ, certreg->secrets->issuer_kid,
		claims, ret_token, err);
}
