/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token route (RFC 6749 4.4, RFC 7523, RFC 8705; errors are RFC 9457 like everywhere here). A
 * token is for exactly one service, and lives no longer than the key or certificate behind it.
 */
#include "services/certreg/tokens.h"

#include <string.h>

#include "lib/json.h"
#include "lib/service.h"
#include "services/certreg/agents.h"
#include "services/certreg/client_certificates.h"
#include "services/certreg/credentials.h"
#include "services/certreg/form.h"
#include "services/certreg/issuer.h"
#include "services/certreg/keys.h"
#include "services/certreg/roles.h"

#define GRANT_KEY "client_credentials"

static const char *const member_audiences[] = { "certreg", "provisioner", "registry-gw", "policy",
	"orchestrator", NULL };
static const char *const agent_audiences[] = { "provisioner", "orchestrator", NULL };

static int read_audience(const struct form *form, const char *const *allowed,
	const char **ret_audience, struct err *err)
{
	const char *audience = form_text(form, "audience");

	for (size_t i = 0; audience && allowed[i]; i++) {
		if (strcmp(allowed[i], audience) == 0) {
			*ret_audience = allowed[i];
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "token.bad_audience",
		"audience must name the one service the token is for");
}

static int answer(struct web_res *res, const char *type, const char *token, long long seconds)
{
	res->json = json_pack("{s:s,s:s,s:I}", "access_token", token, "token_type", type,
		"expires_in", (json_int_t)seconds);
	web_header_add(res, "Cache-Control", "no-store");
	return 0;
}

/* --- members --- */

static int two_credentials(struct err *err)
{
	return err_set(err, ERR_INVALID, "token.two_credentials",
		"give credentials once: in the header or the form");
}

/* By Authorization: Basic, or by client_id and client_secret in the form; never both. */
static int read_client(struct web_req *req, const struct form *form, const char **ret_id,
	const char **ret_secret, struct err *err)
{
	const char *id = form_text(form, "client_id"), *secret = form_text(form, "client_secret");
	bool basic = web_header(req, "Authorization") != NULL;

	if (basic && secret)
		return two_credentials(err);
	if (basic)
		return credential_basic(req, ret_id, ret_secret, err);
	if (!id || !secret)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.missing", "this needs an API key");
	*ret_id = id;
	*ret_secret = secret;
	return 0;
}

/* One of three: a registered certificate by its signature (RFC 7523), the same by the TLS handshake
 * (RFC 8705), or an API key. */
static int check_client(struct web_req *req, const struct form *form,
	struct credential *ret_credential, struct err *err)
{
	const char *type = form_text(form, "client_assertion_type");
	const char *assertion = form_text(form, "client_assertion");
	const char *id = form_text(form, "client_id"), *secret;

	if (type || assertion) {
		if (!type || !assertion || strcmp(type, CLIENT_ASSERTION_TYPE) != 0)
			return err_set(err, ERR_INVALID, "token.bad_assertion_type",
				"client_assertion comes with client_assertion_type "
				"=" CLIENT_ASSERTION_TYPE);
		if (form_text(form, "client_secret") || web_header(req, "Authorization"))
			return two_credentials(err);
		return client_assertion_check(req, assertion, id, ret_credential, err);
	}
	if (id && id_is(id, "crt"))
		return client_certificate_check(req, id, ret_credential, err);
	if (read_client(req, form, &id, &secret, err) < 0)
		return -1;
	return credential_check(req, id, secret, ret_credential, err);
}

static int create_for_member(
	struct web_req *req, struct web_res *res, const struct form *form, struct err *err)
{
	const char *audience, *scope, *token, *wanted = form_text(form, "scope");
	long long now = issuer_now(), expires_at = now + TOKEN_SECONDS;
	struct credential credential;
	auto_json json_t *claims = NULL;

	if (check_client(req, form, &credential, err) < 0 ||
		read_audience(form, member_audiences, &audience, err) < 0)
		return -1;
	if (scopes_narrow(req->arena, credential.scopes, wanted ? wanted : credential.scopes,
		    &scope, err) < 0 ||
		credential_claims(req, &credential, &claims, err) < 0)
		return -1;
	json_object_set_new(claims, "scope", json_string(scope));
	if (credential.expires_at && credential.expires_at < expires_at)
		expires_at = credential.expires_at;
	if (issuer_sign(req, "at+jwt", audience, expires_at, claims, &token, err) < 0)
		return -1;
	return answer(res, "Bearer", token, expires_at - now);
}

/* --- agents --- */

static int create_for_agent(
	struct web_req *req, struct web_res *res, const struct form *form, struct err *err)
{
	const char *audience, *assertion = form_text(form, "assertion");
	auto_json json_t *claims = NULL;
	struct agent agent;
	const char *token;

	if (read_audience(form, agent_audiences, &audience, err) < 0)
		return -1;
	if (!assertion)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.missing", "this needs an assertion");
	if (agent_check(req, assertion, &agent, err) < 0)
		return -1;
	claims = agent_claims(&agent);
	if (issuer_sign(req, "strongroom-agent+jwt", audience, issuer_now() + TOKEN_SECONDS, claims,
		    &token, err) < 0)
		return -1;
	return answer(res, "DPoP", token, TOKEN_SECONDS);
}

int token_create(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *grant;
	struct form form;

	if (form_read(req, &form, err) < 0)
		return -1;
	grant = form_text(&form, "grant_type");
	if (grant && strcmp(grant, GRANT_KEY) == 0)
		return create_for_member(req, res, &form, err);
	if (grant && strcmp(grant, AGENT_GRANT) == 0)
		return create_for_agent(req, res, &form, err);
	return err_set(err, ERR_INVALID, "token.bad_grant",
		"grant_type must be " GRANT_KEY " or " AGENT_GRANT);
}
