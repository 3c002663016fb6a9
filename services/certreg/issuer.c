/* SPDX-License-Identifier: Apache-2.0 */
/* The claims that every token has, and its signature. */
#include "services/certreg/issuer.h"

#include <string.h>

#include "lib/audit.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/certreg/form.h"
#include "services/certreg/signing_keys.h"

long long issuer_now(void)
{
	return clock_unix_ms() / 1000;
}

json_t *issuer_jwks(const struct certreg *certreg)
{
	return signing_keys_jwks(certreg->secrets->signing_keys);
}

/* The first token of a key for a service in an hour by itself, the others as a number. */
static void tell(struct web_req *req, const char *audience, const json_t *claims)
{
	const char *key = json_text(claims, "key");
	const struct audit_act act = {
		.action = "token.issue",
		.on = audience,
		.space = json_text(claims, "space"),
		.subject = json_text(claims, "sub"),
		.credential = key ? key : json_text(claims, "crt"),
		.roles = json_text(claims, "roles"),
	};

	audit_often(req->worker, json_text(claims, "tenant"), &act, 1, 3600);
}

int issuer_sign(struct web_req *req, const char *typ, const char *audience, long long expires_at,
	json_t *claims, const char **ret_token, struct err *err)
{
	struct signing_keys *keys = certreg_of(req->worker)->secrets->signing_keys;
	char jti[ID_SIZE], *token, *kept;
	size_t len;

	id_new("jti", jti);
	json_object_set_new(claims, "iss", json_string(req->worker->conf->base_url));
	json_object_set_new(claims, "aud", json_string(audience));
	if (!json_object_get(claims, "iat"))
		json_object_set_new(claims, "iat", json_integer(issuer_now()));
	json_object_set_new(claims, "exp", json_integer(expires_at));
	json_object_set_new(claims, "jti", json_string(jti));
	if (signing_keys_sign(keys, typ, claims, &token, err) < 0)
		return -1;
	tell(req, audience, claims);
	len = strlen(token);
	kept = form_secret(req->arena, len);
	memcpy(kept, token, len + 1);
	mem_wipe_free(token, len);
	*ret_token = kept;
	return 0;
}
