/* SPDX-License-Identifier: Apache-2.0 */
/* Verifying the assertions of sandboxes. */
#include "services/certreg/agents.h"

#include <string.h>

#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/peer.h"
#include "lib/service.h"
#include "services/certreg/credentials.h"
#include "services/certreg/issuer.h"

#define ASSERTION_TYPE "strongroom-agent-assertion+jwt"
#define ASSERTION_MAX 4096
#define LIFE_SECONDS 60
#define SKEW_SECONDS 60
#define JTI_MAX 64

/* --- rules --- */

const char *agent_subject(struct arena *arena, const char *assertion)
{
	const char *first = strchr(assertion, '.'), *second = first ? strchr(first + 1, '.') : NULL;
	auto_free unsigned char *payload = NULL;
	auto_json json_t *claims = NULL;
	const char *subject;
	size_t len;

	if (!second || strlen(assertion) > ASSERTION_MAX)
		return NULL;
	if (codec_b64url_decode(first + 1, (size_t)(second - first - 1), &payload, &len, NULL) < 0)
		return NULL;
	claims = json_parse((const char *)payload, len, NULL);
	subject = json_text(claims, "sub");
	return subject && id_is(subject, "sbx") ? arena_strdup(arena, subject) : NULL;
}

static bool has_text(const json_t *claims, const char *name, const char *value)
{
	const char *text = json_text(claims, name);

	return text && strcmp(text, value) == 0;
}

int agent_claims_check(const json_t *claims, const char *sandbox, const char *audience,
	long long now, struct err *err)
{
	const json_t *iat = json_object_get(claims, "iat"), *exp = json_object_get(claims, "exp");
	const char *jti = json_text(claims, "jti");
	long long made = json_integer_value(iat), ends = json_integer_value(exp);

	if (json_object_size(claims) != 6 || !json_is_integer(iat) || !json_is_integer(exp))
		return credential_refuse(err);
	if (!has_text(claims, "iss", sandbox) || !has_text(claims, "sub", sandbox) ||
		!has_text(claims, "aud", audience))
		return credential_refuse(err);
	if (!jti || !*jti || strlen(jti) > JTI_MAX)
		return credential_refuse(err);
	if (made > now + SKEW_SECONDS || ends <= now || ends > now + LIFE_SECONDS + SKEW_SECONDS)
		return credential_refuse(err);
	return ends - made > LIFE_SECONDS || ends < made ? credential_refuse(err) : 0;
}

json_t *agent_claims(const struct agent *agent)
{
	return json_pack("{s:s,s:I,s:s,s:s,s:s,s:{s:s}}", "sub", agent->sandbox, "boot",
		(json_int_t)agent->boot, "tenant", agent->tenant.id, "tenant_name",
		agent->tenant.name, "space", agent->tenant.space, "cnf", "jkt", agent->jkt);
}

/* --- asking the provisioner --- */

static int find_sandbox(
	struct web_req *req, const char *sandbox, json_t **ret_sandbox, struct err *err)
{
	const char *path = arena_printf(req->arena, "/internal/v1/sandboxes/%s", sandbox);
	auto_json json_t *found = NULL;
	struct err failure;

	err_clear(&failure);
	if (peer_get(req->worker, PEER_PROVISIONER, path, &found, &failure) < 0) {
		if (failure.kind == ERR_NOT_FOUND)
			return credential_refuse(err);
		*err = failure;
		return -1;
	}
	if (!has_text(found, "id", sandbox) || !has_text(found, "state", "ready") ||
		!json_text(found, "tenant"))
		return credential_refuse(err);
	*ret_sandbox = take_ptr(found);
	return 0;
}

/* The assertion's claims, verified with the key that the provisioner has for the sandbox. */
static int verify(const json_t *sandbox, const char *assertion, struct agent *agent,
	json_t **ret_claims, struct err *err)
{
	const json_t *jwk = json_object_get(sandbox, "sig_jwk");
	auto_key EVP_PKEY *key = NULL;

	if (!json_is_object(jwk) || jose_key_check_public(jwk, "sig", NULL) < 0 ||
		jose_key_to_evp(jwk, &key, NULL) < 0 ||
		jose_key_thumbprint(jwk, agent->jkt, NULL) < 0)
		return credential_refuse(err);
	if (jose_token_verify(key, ASSERTION_TYPE, false, assertion, ret_claims, NULL) < 0)
		return credential_refuse(err);
	agent->boot = json_integer_value(json_object_get(sandbox, "boot"));
	return 0;
}

static int use_once(
	struct web_req *req, const json_t *claims, const struct agent *agent, struct err *err)
{
	long long exp = json_integer_value(json_object_get(claims, "exp"));
	struct err failure;

	err_clear(&failure);
	if (store_assertion_use(req->worker->db, &agent->tenant, agent->sandbox,
		    json_text(claims, "jti"), exp, &failure) == 0)
		return 0;
	if (strcmp(failure.code, "auth.replayed") == 0)
		return credential_refuse(err);
	*err = failure;
	return -1;
}

/* The audience that an assertion must name. A guest reaches the edge by another host name than
 * people do, so the Host that the request was sent to counts as well (as for DPoP proofs). */
static const char *token_endpoint(struct web_req *req, const json_t *claims)
{
	const char *host = web_header(req, "Host");
	const char *as_sent = arena_printf(req->arena, "https://%s/v1/token", host ? host : "");

	if (has_text(claims, "aud", as_sent))
		return as_sent;
	return arena_printf(req->arena, "%s/v1/token", req->worker->conf->base_url);
}

int agent_check(
	struct web_req *req, const char *assertion, struct agent *ret_agent, struct err *err)
{
	auto_json json_t *sandbox = NULL, *claims = NULL;
	struct agent agent = { .sandbox = agent_subject(req->arena, assertion) };

	if (!agent.sandbox)
		return credential_refuse(err);
	if (find_sandbox(req, agent.sandbox, &sandbox, err) < 0 ||
		verify(sandbox, assertion, &agent, &claims, err) < 0)
		return -1;
	if (agent_claims_check(
		    claims, agent.sandbox, token_endpoint(req, claims), issuer_now(), err) < 0)
		return -1;
	if (store_tenant(req->worker->db, json_text(sandbox, "tenant"), req->arena, &agent.tenant,
		    err) < 0)
		return -1;
	if (use_once(req, claims, &agent, err) < 0)
		return -1;
	*ret_agent = agent;
	return 0;
}
