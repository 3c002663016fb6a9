/* SPDX-License-Identifier: Apache-2.0 */
/*
 * API keys: made and taken away by their member, or by an owner or admin. A key never has a scope
 * that the token that makes it lacks. What is revoked here reaches every service through
 * auth-state.
 */
#include "services/certreg/keys.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/service.h"
#include "services/certreg/credentials.h"
#include "services/certreg/issuer.h"
#include "services/certreg/members.h"
#include "services/certreg/names.h"
#include "services/certreg/roles.h"
#include "services/certreg/store.h"
#include "services/certreg/store_tokens.h"

#define MAX_NAME 63
#define SCOPES_MAX 8
#define OVERLAP_DEFAULT_S 86400
#define OVERLAP_MAX_S 604800

static const char *const known_scopes[] = { "read", "write", NULL };

/* --- rules --- */

static bool is_known_scope(const char *scope)
{
	for (size_t i = 0; known_scopes[i]; i++) {
		if (strcmp(known_scopes[i], scope) == 0)
			return true;
	}
	return false;
}

int scopes_narrow(struct arena *arena, const char *allowed, const char *wanted,
	const char **ret_scopes, struct err *err)
{
	const char *scopes = "";

	for (const char *at = wanted; *at;) {
		size_t len = strcspn(at, " ");
		const char *scope = arena_strndup(arena, at, len);

		if (len > 0 && !is_known_scope(scope))
			return err_set(
				err, ERR_INVALID, "scope.unknown", "scopes are: " SCOPES_ALL);
		if (len > 0 && roles_have(allowed, scope) && !roles_have(scopes, scope))
			scopes = arena_printf(arena, "%s%s%s", scopes, *scopes ? " " : "", scope);
		at += len + (at[len] == ' ');
	}
	*ret_scopes = scopes;
	return 0;
}

int key_check_expiry(const char *text, struct err *err)
{
	long long at;

	if (!clock_read_rfc3339(text, &at) || at <= issuer_now())
		return err_set(err, ERR_INVALID, "key.bad_expiry",
			"expires_at must be a time to come, such as 2030-01-31T12:00:00Z");
	return 0;
}

/* --- making --- */

struct key_input {
	const char *name, *id, *hash, *member, *expires_at;
	json_t *scopes;
};

#define FIELD(name, kind, required, max)                                                           \
	{                                                                                          \
#name, kind, offsetof(struct key_input, name), required, max                       \
	}
static const struct json_field key_fields[] = {
	FIELD(name, JSON_FIELD_TEXT, true, MAX_NAME),
	FIELD(id, JSON_FIELD_TEXT, false, ID_SIZE),
	FIELD(hash, JSON_FIELD_DIGEST, true, 0),
	FIELD(member, JSON_FIELD_TEXT, false, ID_SIZE),
	FIELD(scopes, JSON_FIELD_ARRAY, false, SCOPES_MAX),
	FIELD(expires_at, JSON_FIELD_TEXT, false, CLOCK_TEXT_SIZE),
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int join_scopes(
	struct arena *arena, const json_t *list, const char **ret_text, struct err *err)
{
	const char *text = "";
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		if (!json_is_string(item))
			return err_set(
				err, ERR_INVALID, "scope.unknown", "scopes are: " SCOPES_ALL);
		text = arena_printf(arena, "%s%s%s", text, i ? " " : "", json_string_value(item));
	}
	*ret_text = text;
	return 0;
}

static int read_scopes(const struct web_req *req, const struct key_input *input,
	const char **ret_scopes, struct err *err)
{
	const char *wanted = SCOPES_ALL;

	if (input->scopes && join_scopes(req->arena, input->scopes, &wanted, err) < 0)
		return -1;
	return scopes_narrow(req->arena, req->principal->scope, wanted, ret_scopes, err);
}

/* Whose key it is to be: the caller's, or that of a member whom the caller may act for. */
static int choose_member(
	struct web_req *req, const char *wanted, const char **ret_member, struct err *err)
{
	const struct principal *who = req->principal;
	struct member member;

	*ret_member = who->subject;
	if (!wanted || strcmp(wanted, who->subject) == 0)
		return 0;
	if (store_member(req->worker->db, who->tenant, wanted, req->arena, &member, err) < 0)
		return -1;
	if (!member_may_act_for(who, member.id, member.roles))
		return err_set(err, ERR_FORBIDDEN, "auth.role_missing",
			"keys of other members are for owner and admin");
	*ret_member = member.id;
	return 0;
}

/* What every new key has: an id, its client's or a new one, and what is kept of the secret. */
static int take_secret(struct web_req *req, const char *wanted_id, const char *hash,
	struct key *key, struct err *err)
{
	char *id = arena_alloc(req->arena, ID_SIZE),
	     *mac = arena_alloc(req->arena, CREDENTIAL_MAC_SIZE);

	if (wanted_id && !id_is(wanted_id, "key"))
		return err_set(err, ERR_INVALID, "key.bad_id",
			"an id is key_ and a UUIDv7 in 32 hex digits");
	id_new("key", id);
	credential_mac(certreg_of(req->worker), hash, mac);
	key->id = wanted_id ? wanted_id : id;
	key->mac = mac;
	return 0;
}

static int read_key(struct web_req *req, struct key *ret_key, struct err *err)
{
	struct key_input input = { .name = NULL };
	struct key key = { .id = NULL };

	if (json_decode(req->arena, req->json, key_fields, &input, err) < 0 ||
		take_secret(req, input.id, input.hash, &key, err) < 0 ||
		name_check(input.name, err) < 0)
		return -1;
	if (input.expires_at && key_check_expiry(input.expires_at, err) < 0)
		return -1;
	if (read_scopes(req, &input, &key.scopes, err) < 0 ||
		choose_member(req, input.member, &key.member, err) < 0)
		return -1;
	key.name = input.name;
	key.created_by = req->principal->subject;
	key.expires_at = input.expires_at;
	*ret_key = key;
	return 0;
}

static const struct json_field first_fields[] = {
	FIELD(name, JSON_FIELD_TEXT, true, MAX_NAME),
	FIELD(id, JSON_FIELD_TEXT, false, ID_SIZE),
	FIELD(hash, JSON_FIELD_DIGEST, true, 0),
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int key_read_first(struct web_req *req, json_t *object, struct key *ret_key, struct err *err)
{
	struct key_input input = { .name = NULL };
	struct key key = { .scopes = SCOPES_ALL };

	if (json_decode(req->arena, object, first_fields, &input, err) < 0 ||
		take_secret(req, input.id, input.hash, &key, err) < 0 ||
		name_check(input.name, err) < 0)
		return -1;
	key.name = input.name;
	*ret_key = key;
	return 0;
}

json_t *key_json(const struct key *key)
{
	json_t *scopes = json_array();

	for (size_t i = 0; known_scopes[i]; i++) {
		if (roles_have(key->scopes, known_scopes[i]))
			json_array_append_new(scopes, json_string(known_scopes[i]));
	}
	return json_pack("{s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s?,s:s?}", "id", key->id, "name",
		key->name, "member", key->member, "created_by", key->created_by, "scopes", scopes,
		"state", key->state, "created_at", key->created_at, "expires_at", key->expires_at,
		"last_used_at", key->last_used_at);
}

static int answer(
	struct web_req *req, struct web_res *res, const char *id, int status, struct err *err)
{
	struct key key;

	if (store_key(req->worker->db, req->principal->tenant, id, req->arena, &key, err) < 0)
		return -1;
	if (!member_may_act_for(req->principal, key.member, key.member_roles))
		return err_set(err, ERR_NOT_FOUND, "key.not_found", "there is no such key");
	res->status = status;
	res->json = key_json(&key);
	resource_etag(req, res, key.revision);
	return 0;
}

int key_create(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct principal *who = req->principal;
	const char *made;
	struct key key;

	if (resource_replayed(req, res, KEYS_ROUTE, &made, err) < 0)
		return -1;
	if (made)
		return answer(req, res, made, 201, err);
	if (read_key(req, &key, err) < 0)
		return -1;
	if (store_key_add(req->worker->db, req, who->tenant, who->space, &key, err) < 0)
		return -1;
	web_header_add(res, "Location", arena_printf(req->arena, "/v1/keys/%s", key.id));
	return answer(req, res, key.id, 201, err);
}

/* --- reading and revoking --- */

int key_list(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct principal *who = req->principal;
	bool all = roles_have(who->roles, "owner") || roles_have(who->roles, "admin");
	const struct key_filter filter = { all ? NULL : who->subject,
		web_query(req, "created_by") };
	struct page page;

	if (filter.created_by && !id_is(filter.created_by, "mbr"))
		return err_set(
			err, ERR_INVALID, "key.bad_filter", "created_by must be a member's id");
	if (resource_page(req, &page, err) < 0)
		return -1;
	return store_key_list(req->worker->db, who->tenant, &filter, &page, &res->json, err);
}

int key_show(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer(req, res, web_param(req, "key_id"), 200, err);
}

/* --- rotating --- */

struct rotation {
	const char *id, *hash;
	long long overlap_seconds;
};

static const struct json_field rotation_fields[] = {
	{ "id", JSON_FIELD_TEXT, offsetof(struct rotation, id), false, ID_SIZE },
	{ "hash", JSON_FIELD_DIGEST, offsetof(struct rotation, hash), true, 0 },
	{ "overlap_seconds", JSON_FIELD_COUNT, offsetof(struct rotation, overlap_seconds), false,
		OVERLAP_MAX_S },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

/* The key of the path, which the caller may change. */
static int find_to_change(struct web_req *req, struct key *ret_key, struct err *err)
{
	const struct principal *who = req->principal;

	if (store_key(req->worker->db, who->tenant, web_param(req, "key_id"), req->arena, ret_key,
		    err) < 0)
		return -1;
	if (!member_may_act_for(who, ret_key->member, ret_key->member_roles))
		return err_set(err, ERR_NOT_FOUND, "key.not_found", "there is no such key");
	return resource_if_match(req, ret_key->revision, err);
}

/* A successor has its predecessor's name, scopes (as far as the caller's token goes) and end. */
int key_rotate(struct web_req *req, struct web_res *res, struct err *err)
{
	struct rotation rotation = { .overlap_seconds = OVERLAP_DEFAULT_S };
	struct key old, key = { .id = NULL };
	const char *made;

	if (resource_replayed(req, res, KEY_ROTATE_ROUTE, &made, err) < 0)
		return -1;
	if (made)
		return answer(req, res, made, 201, err);
	if (find_to_change(req, &old, err) < 0 ||
		json_decode(req->arena, req->json, rotation_fields, &rotation, err) < 0 ||
		take_secret(req, rotation.id, rotation.hash, &key, err) < 0 ||
		scopes_narrow(req->arena, req->principal->scope, old.scopes, &key.scopes, err) < 0)
		return -1;
	key.name = old.name;
	key.member = old.member;
	key.created_by = req->principal->subject;
	key.expires_at = old.expires_at;
	if (store_key_rotate(
		    req->worker->db, req, &old, &key, (long)rotation.overlap_seconds, err) < 0)
		return -1;
	if (rotation.overlap_seconds == 0)
		store_revocation_ring(req->worker);
	web_header_add(res, "Location", arena_printf(req->arena, "/v1/keys/%s", key.id));
	return answer(req, res, key.id, 201, err);
}

int key_revoke(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct principal *who = req->principal;
	struct key key;

	if (find_to_change(req, &key, err) < 0)
		return -1;
	if (strcmp(key.state, "active") == 0 && store_key_revoke(req->worker->db, who->tenant,
							who->space, key.id, key.revision, err) < 0)
		return -1;
	store_revocation_ring(req->worker);
	return answer(req, res, key.id, 200, err);
}
