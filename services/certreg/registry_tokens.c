/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry tokens. A member's reach is the repositories of the tenant, by role; an agent's is a
 * pull of the one image that it is to run now, which the orchestrator names with the tenant that
 * has it: its own, or one that shares the application with the run's space.
 */
#include "services/certreg/registry_tokens.h"

#include <string.h>

#include "lib/json.h"
#include "lib/peer.h"
#include "lib/service.h"
#include "services/certreg/agents.h"
#include "services/certreg/credentials.h"
#include "services/certreg/form.h"
#include "services/certreg/issuer.h"
#include "services/certreg/roles.h"

#define AUDIENCE "registry-gw"
#define GRANT_PASSWORD "password"
#define SCOPE_MAX 512
#define ACCESS_MAX 16
#define REPOSITORY_MAX 255

/* --- rules --- */

struct registry_rights registry_rights_of(const char *prefix, const char *roles, const char *scope)
{
	bool changes = roles_have(roles, "owner") || roles_have(roles, "admin") ||
		       roles_have(roles, "algorithm-owner");
	bool reads = changes || roles_have(roles, "data-owner") || roles_have(roles, "auditor");

	return (struct registry_rights) {
		.prefix = prefix,
		.pull = reads && roles_have(scope, "read"),
		.push = changes && roles_have(scope, "write"),
		.delete = changes && roles_have(scope, "write"),
	};
}

/* Lower-case parts of letters, digits and . _ - joined by '/', as OCI has it. */
static bool is_repository(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > REPOSITORY_MAX || name[0] == '/' || name[len - 1] == '/')
		return false;
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-/") != len)
		return false;
	return !strstr(name, "//") && !strstr(name, "..") && !strstr(name, "/.") && name[0] != '.';
}

static bool reaches(const struct registry_rights *rights, const char *name)
{
	if (rights->repository)
		return strcmp(rights->repository, name) == 0;
	return strncmp(name, rights->prefix, strlen(rights->prefix)) == 0;
}

static bool asks(const char *actions, const char *action)
{
	size_t len = strlen(action);

	for (const char *at = actions;;) {
		size_t part = strcspn(at, ",");

		if ((part == len && strncmp(at, action, len) == 0) || (part == 1 && *at == '*'))
			return true;
		if (!at[part])
			return false;
		at += part + 1;
	}
}

static json_t *granted(const struct registry_rights *rights, const char *actions)
{
	json_t *list = json_array();

	if (rights->pull && asks(actions, "pull"))
		json_array_append_new(list, json_string("pull"));
	if (rights->push && asks(actions, "push"))
		json_array_append_new(list, json_string("push"));
	if (rights->delete &&asks(actions, "delete"))
		json_array_append_new(list, json_string("delete"));
	return list;
}

/* One scope, "repository:NAME:ACTIONS"; other types are nothing that we grant. */
static int add_scope(
	const struct registry_rights *rights, char *scope, json_t *access, struct err *err)
{
	char *name = strchr(scope, ':'), *actions = strrchr(scope, ':');
	json_t *list;

	if (!name || name == actions)
		return err_set(
			err, ERR_INVALID, "registry.bad_scope", "a scope is type:name:actions");
	*name++ = '\0';
	*actions++ = '\0';
	if (strcmp(scope, "repository") != 0 || !is_repository(name) || !reaches(rights, name))
		return 0;
	list = granted(rights, actions);
	if (json_array_size(list) == 0) {
		json_decref(list);
		return 0;
	}
	if (json_array_size(access) == ACCESS_MAX) {
		json_decref(list);
		return err_set(err, ERR_INVALID, "registry.too_many_scopes", "more than %d scopes",
			ACCESS_MAX);
	}
	json_array_append_new(
		access, json_pack("{s:s,s:s,s:o}", "type", scope, "name", name, "actions", list));
	return 0;
}

int registry_access_add(struct arena *arena, const struct registry_rights *rights, const char *text,
	json_t *access, struct err *err)
{
	if (strlen(text) > SCOPE_MAX)
		return err_set(err, ERR_INVALID, "registry.bad_scope",
			"a scope has at most %d characters", SCOPE_MAX);
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, " ");

		if (len > 0 && add_scope(rights, arena_strndup(arena, at, len), access, err) < 0)
			return -1;
		at += len + (at[len] == ' ');
	}
	return 0;
}

/* --- answers --- */

/* The scopes asked for: of a form one text, of a URL one or more. */
static int read_access(struct web_req *req, const struct form *form,
	const struct registry_rights *rights, json_t *access, struct err *err)
{
	const char *scope = form ? form_text(form, "scope") : NULL;

	if (form)
		return scope ? registry_access_add(req->arena, rights, scope, access, err) : 0;
	for (size_t n = 0; (scope = web_query_at(req, "scope", n)); n++) {
		if (registry_access_add(req->arena, rights, scope, access, err) < 0)
			return -1;
	}
	return 0;
}

static int answer(struct web_req *req, struct web_res *res, json_t *claims, long long expires_at,
	struct err *err)
{
	long long now = issuer_now();
	char issued_at[CLOCK_TEXT_SIZE];
	const char *token;

	if (issuer_sign(req, "strongroom-registry+jwt", AUDIENCE, expires_at, claims, &token, err) <
		0)
		return -1;
	clock_rfc3339(now * 1000, issued_at);
	res->json = json_pack("{s:s,s:s,s:I,s:s}", "token", token, "access_token", token,
		"expires_in", (json_int_t)(expires_at - now), "issued_at", issued_at);
	web_header_add(res, "Cache-Control", "no-store");
	return 0;
}

static int create_for_member(struct web_req *req, struct web_res *res, const struct form *form,
	const char *user, const char *password, struct err *err)
{
	long long expires_at = issuer_now() + REGISTRY_TOKEN_SECONDS;
	auto_json json_t *claims = NULL, *access = json_array();
	struct registry_rights rights;
	struct credential credential;
	char id[ID_SIZE];

	if (credential_id_of(password, id))
		user = id; /* docker login with any name */
	if (credential_check(req, user, password, &credential, err) < 0)
		return -1;
	rights = registry_rights_of(arena_printf(req->arena, "%s/", credential.tenant_name),
		credential.roles, credential.scopes);
	if (read_access(req, form, &rights, access, err) < 0)
		return -1;
	if (credential.expires_at && credential.expires_at < expires_at)
		expires_at = credential.expires_at;
	if (credential_claims(req, &credential, &claims, err) < 0)
		return -1;
	json_object_set(claims, "access", access);
	return answer(req, res, claims, expires_at, err);
}

/* The image that the sandbox is to run now; 404 of the orchestrator means none. */
static int find_image(struct web_req *req, const char *sandbox, json_t **ret_image, struct err *err)
{
	const char *path = arena_printf(req->arena, "/internal/v1/sandboxes/%s/image", sandbox);
	struct err failure;

	err_clear(&failure);
	if (peer_get(req->worker, PEER_ORCHESTRATOR, path, ret_image, &failure) == 0)
		return 0;
	*ret_image = NULL;
	if (failure.kind == ERR_NOT_FOUND)
		return 0;
	*err = failure;
	return -1;
}

static int create_for_agent(
	struct web_req *req, struct web_res *res, const struct form *form, struct err *err)
{
	const char *assertion = form_text(form, "assertion");
	auto_json json_t *claims = NULL, *image = NULL, *access = json_array();
	struct registry_rights rights = { .repository = "", .pull = true };
	const char *tenant, *repository, *manifest;
	struct agent agent;

	if (!assertion)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.missing", "this needs an assertion");
	if (agent_check(req, assertion, &agent, err) < 0 ||
		find_image(req, agent.sandbox, &image, err) < 0)
		return -1;
	tenant = json_text(image, "tenant");
	repository = json_text(image, "repository");
	manifest = json_text(image, "manifest");
	if (tenant && repository && manifest)
		rights.repository = repository;
	if (read_access(req, form, &rights, access, err) < 0)
		return -1;
	claims = agent_claims(&agent);
	json_object_set(claims, "access", access);
	if (*rights.repository)
		json_object_set_new(claims, "image",
			json_pack("{s:s,s:s}", "tenant", tenant, "digest", manifest));
	return answer(req, res, claims, issuer_now() + REGISTRY_TOKEN_SECONDS, err);
}

static int check_service(const char *service, struct err *err)
{
	if (!service || strcmp(service, AUDIENCE) == 0)
		return 0;
	return err_set(err, ERR_INVALID, "registry.bad_service", "service must be " AUDIENCE);
}

/* What stands in a URL is written into logs on the way. */
static int refuse_assertion(const struct web_req *req, struct err *err)
{
	if (!web_query(req, "assertion"))
		return 0;
	return err_set(err, ERR_INVALID, "registry.assertion_in_url",
		"an assertion belongs into the form of a POST");
}

int registry_token_create(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *user, *password;

	if (check_service(web_query(req, "service"), err) < 0 || refuse_assertion(req, err) < 0)
		return -1;
	if (credential_basic(req, &user, &password, err) == 0 &&
		create_for_member(req, res, NULL, user, password, err) == 0)
		return 0;
	if (err->kind == ERR_UNAUTHENTICATED)
		web_header_add(
			res, "WWW-Authenticate", "Basic realm=\"strongroom\", charset=\"UTF-8\"");
	return -1;
}

int registry_token_exchange(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *grant, *user, *password;
	struct form form;

	if (refuse_assertion(req, err) < 0 || form_read(req, &form, err) < 0 ||
		check_service(form_text(&form, "service"), err) < 0)
		return -1;
	grant = form_text(&form, "grant_type");
	if (grant && strcmp(grant, AGENT_GRANT) == 0)
		return create_for_agent(req, res, &form, err);
	if (!grant || strcmp(grant, GRANT_PASSWORD) != 0)
		return err_set(err, ERR_INVALID, "token.bad_grant",
			"grant_type must be " GRANT_PASSWORD " or " AGENT_GRANT);
	user = form_text(&form, "username");
	password = form_text(&form, "password");
	if (!user || !password)
		return err_set(err, ERR_UNAUTHENTICATED, "auth.missing", "this needs an API key");
	return create_for_member(req, res, &form, user, password, err);
}
