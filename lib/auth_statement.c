/* SPDX-License-Identifier: Apache-2.0 */
/* What a service says about something, by its service key, for whoever has its public half. */
#include "lib/auth.h"
#include "lib/jose.h"
#include "lib/json.h"

int auth_statement_key(struct auth *auth, json_t **ret_jwk, struct err *err)
{
	EVP_PKEY *key = auth_service_key(auth, err);
	auto_json json_t *pair = NULL;
	char thumbprint[JOSE_THUMBPRINT_SIZE];

	if (!key || jose_key_from_evp(key, "sig", &pair, err) < 0 ||
		jose_key_thumbprint(pair, thumbprint, err) < 0)
		return -1;
	*ret_jwk = jose_key_public(pair);
	json_object_set_new(*ret_jwk, "kid", json_string(thumbprint));
	return 0;
}

int auth_statement(
	struct auth *auth, const char *typ, const json_t *claims, char **ret_token, struct err *err)
{
	auto_json json_t *jwk = NULL;

	if (auth_statement_key(auth, &jwk, err) < 0)
		return -1;
	return jose_token_sign(
		auth_service_key(auth, err), typ, json_text(jwk, "kid"), claims, ret_token, err);
}
