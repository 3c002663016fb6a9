/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom key list|create|rotate|revoke: API keys. They are made here; the server gets hashes.
 */
#include <string.h>

#include "client/own_key.h"
#include "client/secret.h"
#include "client/session.h"
#include "lib/json.h"
#include "lib/mem.h"

#define OVERLAP_MAX_S 604800
#define OVERLAP_S 3600

static const struct cli_option options[] = {
	{ "member", "NAME", "create: for this member instead of oneself" },
	{ "scopes", "LIST", "create: read, write or read,write" },
	{ "expires-at", "TIME", "create: such as 2030-01-31T12:00:00Z" },
	{ "overlap", "SECONDS", "rotate: how long the old key stays good (3600)" },
	SECRET_OPTIONS,
	{ NULL, NULL, NULL },
};

/* Puts the secret where it goes, sends what the server may know, shows what came of it. */
static int send(struct session *session, const struct cli *cli, const char *path,
	const json_t *body, const char *etag, const struct secret *key, struct err *err)
{
	json_t *record = NULL;

	if (secret_put(cli, key->text, err) < 0)
		return -1;
	if (session_change(session,
		    &(const struct api_call) { .audience = "certreg",
			    .method = "POST",
			    .path = path,
			    .body = body,
			    .etag = etag },
		    &record, err) < 0)
		return secret_withdraw(cli, err);
	secret_tell(cli, record, key->text);
	return 0;
}

static int create(struct session *session, const struct cli *cli, struct err *err)
{
	const char *member = cli_value(cli, "member"), *end = cli_value(cli, "expires-at");
	auto_json json_t *body = NULL, *whose = NULL, *scopes = cli_list(cli, "scopes");
	auto_secret key = { .id = "" };

	if (member && session_find(session, &collection_members, member, &whose, err) < 0)
		return -1;
	secret_new_key(&key);
	body = json_pack("{s:s,s:s,s:s,s:O*,s:s*}", "id", key.id, "name", cli->arguments[1], "hash",
		key.hash, "scopes", scopes, "expires_at", end);
	if (whose)
		json_object_set(body, "member", json_object_get(whose, "id"));
	return send(session, cli, "/v1/keys", body, NULL, &key, err);
}

static int rotate_own(
	struct session *session, const struct cli *cli, long long overlap, struct err *err)
{
	auto_free char *id = NULL;

	if (own_key_rotate(session, overlap, &id, err) < 0)
		return -1;
	ui_result(cli->ui,
		json_pack("{s:s,s:s,s:I}", "id", id, "profile", session->profile.name,
			"overlap_seconds", (json_int_t)overlap),
		"%s is this profile's key now", id);
	return 0;
}

static int rotate(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *record = NULL, *body = NULL;
	auto_secret key = { .id = "" };
	auto_free char *path = NULL;
	long long overlap;

	if (cli_number(cli, "overlap", OVERLAP_MAX_S, OVERLAP_S, &overlap, err) < 0)
		return -1;
	if (cli->n_arguments < 2)
		return rotate_own(session, cli, overlap, err);
	if (session_find(session, &collection_keys, cli->arguments[1], &record, err) < 0)
		return -1;
	secret_new_key(&key);
	path = mem_printf("/v1/keys/%s:rotate", json_text(record, "id"));
	body = json_pack("{s:s,s:s,s:I}", "id", key.id, "hash", key.hash, "overlap_seconds",
		(json_int_t)overlap);
	return send(session, cli, path, body, json_text(record, "etag"), &key, err);
}

static const struct verb verbs[] = {
	{ "list", NULL, 0, "" },
	{ "create", create, 1, "NAME --out FILE" },
	{ "rotate", rotate, 0, "[ID --out FILE]" },
	{ "revoke", NULL, 1, "ID" },
	{ NULL, NULL, 0, NULL },
};

static int key(const struct cli *cli, struct err *err)
{
	return session_verb_of(cli, "key", verbs, &collection_keys, err);
}

const struct command command_key = { "key",
	"list | create NAME --out FILE | rotate [ID --out FILE] | revoke ID",
	"API keys; rotate alone replaces the profile's own", options, 1, 2, key };
