/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks of access.h. What another tenant has is never told apart from what does not exist; a
 * right that another token could give is asked for by a challenge (401), as docker's token flow
 * wants it.
 */
#include "services/registry-gw/access.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/store.h"

/* docker-registry's cache puts "docker.io/" in front and fails above 255. */
#define NAME_MAX_BYTES 245
#define ALNUM "abcdefghijklmnopqrstuvwxyz0123456789"

static const char *const actions[] = {
	[ACCESS_PULL] = "pull",
	[ACCESS_PUSH] = "push",
	[ACCESS_DELETE] = "delete",
};

/* --- names --- */

/* Length of one separator: '.', '_', '__', or any number of '-'; 0: none. */
static size_t separator_len(const char *text)
{
	if (text[0] == '-')
		return strspn(text, "-");
	if (text[0] == '_' && text[1] == '_')
		return 2;
	return text[0] == '.' || text[0] == '_';
}

bool access_is_name(const char *name)
{
	if (strlen(name) > NAME_MAX_BYTES)
		return false;
	for (const char *at = name;;) {
		size_t len = strspn(at, ALNUM);

		if (len == 0)
			return false;
		at += len;
		if (!*at)
			return true;
		len = *at == '/' ? 1 : separator_len(at);
		if (len == 0)
			return false;
		at += len;
	}
}

static bool has_prefix(const char *repository, const char *tenant_name)
{
	size_t len = strlen(tenant_name);

	return len > 0 && strncmp(repository, tenant_name, len) == 0 && repository[len] == '/';
}

/* --- the token --- */

static void challenge(
	struct web_req *req, struct web_res *res, const char *scope, const char *error)
{
	web_header_add(res, "WWW-Authenticate",
		arena_printf(req->arena,
			"Bearer realm=\"%s/v1/registry-token\",service=\"registry-gw\"%s%s%s%s%s%s",
			req->worker->conf->base_url, scope ? ",scope=\"" : "", scope ? scope : "",
			scope ? "\"" : "", error ? ",error=\"" : "", error ? error : "",
			error ? "\"" : ""));
}

/* What a token for this request would have to hold. */
static const char *scope_of(struct web_req *req, const char *repository, enum access_right right)
{
	const char *from =
		right == ACCESS_PUSH && web_query(req, "mount") ? web_query(req, "from") : NULL;

	if (from && access_is_name(from))
		return arena_printf(
			req->arena, "repository:%s:pull,push repository:%s:pull", repository, from);
	return arena_printf(req->arena, "repository:%s:%s", repository,
		right == ACCESS_PUSH ? "pull,push" : actions[right]);
}

static int authenticate(
	struct web_req *req, struct web_res *res, const char *scope, bool late, struct err *err)
{
	int (*check)(struct auth *, struct web_req *, enum web_access, const char *,
		const struct principal **, struct err *) = late ? auth_check_late : auth_check;

	if (!req->worker->auth)
		return err_set(
			err, ERR_UNAVAILABLE, "auth.epoch_stale", "certreg_url is not configured");
	if (check(req->worker->auth, req, WEB_REGISTRY, NULL, &req->principal, err) == 0)
		return 0;
	if (err->kind == ERR_UNAUTHENTICATED)
		challenge(req, res, scope,
			strcmp(err->code, "auth.missing") == 0 ? NULL : "invalid_token");
	return -1;
}

static bool holds(const json_t *actions_of_entry, const char *action)
{
	json_t *item;
	size_t i;

	json_array_foreach (actions_of_entry, i, item) {
		if (json_is_string(item) && strcmp(json_string_value(item), action) == 0)
			return true;
	}
	return false;
}

static bool grants(const struct principal *principal, const char *repository, const char *action)
{
	const json_t *list = json_object_get(principal->claims, "access");
	json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		const char *type = json_text(entry, "type"), *name = json_text(entry, "name");

		if (type && name && strcmp(type, "repository") == 0 &&
			strcmp(name, repository) == 0 &&
			holds(json_object_get(entry, "actions"), action))
			return true;
	}
	return false;
}

int access_login(struct web_req *req, struct web_res *res, struct err *err)
{
	return authenticate(req, res, NULL, false, err);
}

static int not_here(const char *repository, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "repository.not_found", "there is no repository '%s'",
		repository);
}

static int check_agent(struct access *access, const struct principal *principal,
	enum access_right right, struct err *err)
{
	access->image = json_text(json_object_get(principal->claims, "image"), "digest");
	if (!access->image || right != ACCESS_PULL ||
		!grants(principal, access->repository, "pull"))
		return not_here(access->repository, err);
	return 0;
}

static int check_member(struct web_req *req, struct web_res *res, const struct access *access,
	enum access_right right, struct err *err)
{
	const struct principal *principal = req->principal;

	if (!has_prefix(access->repository, principal->tenant_name)) {
		if (right == ACCESS_PULL)
			return not_here(access->repository, err);
		return err_set(err, ERR_FORBIDDEN, "repository.denied",
			"repositories of this tenant start with '%s/'", principal->tenant_name);
	}
	if (grants(principal, access->repository, actions[right]))
		return 0;
	challenge(req, res, scope_of(req, access->repository, right), "insufficient_scope");
	return err_set(err, ERR_UNAUTHENTICATED, "repository.scope", "the token does not %s '%s'",
		actions[right], access->repository);
}

/* Ours outside of /v2 have it in the query. */
static const char *repository_of(const struct web_req *req)
{
	const char *name;

	if (strncmp(req->path, "/v2/", 4) == 0)
		return web_param(req, "name");
	name = web_query(req, "repository");
	return name ? name : "";
}

struct access access_again(const struct web_req *req)
{
	const struct principal *principal = req->principal;
	const char *lender = json_text(json_object_get(principal->claims, "image"), "tenant");

	return (struct access) {
		.tenant = lender ? lender : principal->tenant,
		.space = principal->space,
		.subject = principal->subject,
		.repository = repository_of(req),
	};
}

static int check_all(struct web_req *req, struct web_res *res, enum access_right right, bool late,
	struct access *ret_access, struct err *err)
{
	const char *repository = repository_of(req);
	struct access access;

	if (!access_is_name(repository))
		return err_set(err, ERR_INVALID, "repository.bad_name",
			"'%.64s' is no repository's name", repository);
	if (authenticate(req, res, scope_of(req, repository, right), late, err) < 0)
		return -1;
	access = access_again(req);
	if (id_is(access.subject, "sbx") ? check_agent(&access, req->principal, right, err)
					 : check_member(req, res, &access, right, err))
		return -1;
	*ret_access = access;
	return 0;
}

int access_check(struct web_req *req, struct web_res *res, enum access_right right,
	struct access *ret_access, struct err *err)
{
	return check_all(req, res, right, false, ret_access, err);
}

int access_check_session(
	struct web_req *req, struct web_res *res, struct access *ret_access, struct err *err)
{
	return check_all(req, res, ACCESS_PUSH, true, ret_access, err);
}

int access_admit(struct web_req *req, struct web_res *res, struct err *err)
{
	struct access access;

	return access_check(req, res, ACCESS_PUSH, &access, err);
}

bool access_pulls(const struct web_req *req, const char *repository)
{
	return access_is_name(repository) && has_prefix(repository, req->principal->tenant_name) &&
	       grants(req->principal, repository, "pull");
}

bool access_pushes(const struct web_req *req, const char *repository)
{
	return grants(req->principal, repository, "push");
}

int access_reaches(struct web_req *req, const struct access *access, const char *digest,
	bool is_manifest, struct err *err)
{
	bool reaches = true;

	if (access->image &&
		store_manifest_reaches(req->worker->db, access, digest, &reaches, err) < 0)
		return -1;
	if (reaches)
		return 0;
	if (is_manifest)
		return err_set(err, ERR_NOT_FOUND, "manifest.not_found",
			"there is no manifest '%s'", digest);
	return err_set(err, ERR_NOT_FOUND, "blob.not_found", "there is no blob '%s'", digest);
}
