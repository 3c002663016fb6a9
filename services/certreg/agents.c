/* SPDX-License-Identifier: Apache-2.0 */
/* Verifying the assertions of sandboxes. */
#include "services/certreg/agents.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/jwt.h"
#include "lib/mem.h"
#include "lib/peer.h"
#include "lib/service.h"
#include "services/certreg/assertions.h"
#include "services/certreg/certreg.h"
#include "services/certreg/credentials.h"
#include "services/certreg/issuer.h"

#define ASSERTION_TYPE "strongroom-agent-assertion+jwt"

/* --- rules --- */

const char *agent_subject(struct arena *arena, const json_t *claims)
{
	const char *subject = json_text(claims, "sub");

	return subject && id_is(subject, "sbx") ? arena_strdup(arena, subject) : NULL;
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
	if (!assertion_has(found, "id", sandbox) || !assertion_has(found, "state", "ready") ||
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

/* The audience that an assertion must name: our token route under the base URL, or under another
 * name of the edge. Guests reach it by an address of their own. What the request itself says of the
 * server (Host) counts for nothing: an assertion made for another server would pass. */
static const char *token_endpoint(struct web_req *req, const json_t *claims)
{
	const char *name = req->worker->conf->edge_names;

	for (name += strspn(name, " "); *name; name += strspn(name, " ")) {
		size_t len = strcspn(name, " ");
		const char *audience =
			arena_printf(req->arena, "https://%.*s/v1/token", (int)len, name);

		if (assertion_has(claims, "aud", audience))
			return audience;
		name += len;
	}
	return arena_printf(req->arena, "%s/v1/token", req->worker->conf->base_url);
}

int agent_check(
	struct web_req *req, const char *assertion, struct agent *ret_agent, struct err *err)
{
	static const char *const algorithms[] = { "ES256", NULL };
	auto_json json_t *header = NULL, *shown = NULL, *sandbox = NULL, *claims = NULL;
	struct agent agent = { .sandbox = NULL };

	if (jwt_header(assertion, ASSERTION_TYPE, algorithms, &header, err) < 0 ||
		jwt_claims(assertion, &shown, err) < 0)
		return -1;
	agent.sandbox = agent_subject(req->arena, shown);
	if (!agent.sandbox)
		return credential_refuse(err);
	if (assertion_claims_check(shown, agent.sandbox, token_endpoint(req, shown), err) < 0)
		return -1;
	if (auth_limit_attempt(req->worker->auth, req, agent.sandbox, err) < 0 ||
		find_sandbox(req, agent.sandbox, &sandbox, err) < 0 ||
		verify(sandbox, assertion, &agent, &claims, err) < 0)
		return -1;
	if (store_tenant(req->worker->db, json_text(sandbox, "tenant"), req->arena, &agent.tenant,
		    err) < 0)
		return -1;
	if (strcmp(agent.tenant.state, "active") != 0)
		return credential_refuse(err);
	if (assertion_use(req, agent.tenant.id, agent.tenant.space, claims, err) < 0)
		return -1;
	*ret_agent = agent;
	return 0;
}
