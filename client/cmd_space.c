/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom space: tenants that come together by signed papers (trust.md 4). The founder's key
 * invites a pinned key of somebody else, that key accepts exactly this invitation, and everybody
 * can see both. The server keeps the papers; whom they are from is decided here, by the pins.
 */
#include <stdlib.h>
#include <string.h>

#include "client/keystore.h"
#include "client/peers.h"
#include "client/session.h"
#include "client/space_papers.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define DAYS 7
#define DAYS_MAX 366
#define DAY 86400

static const struct cli_option options[] = {
	{ "to", "PEER", "invite: whose pinned key may join" },
	{ "key", "FILE", "invite, accept, show: own registered key, PEM or of a project's keys/" },
	{ "out", "FILE", "invite: the invitation, to hand over" },
	{ "days", "N", "invite: how long it is open (7)" },
	{ "tenant", "NAME", "remove: whom" },
	{ NULL, NULL, NULL },
};

static int usage(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "usage.arguments", "usage: strongroom space %s", what);
}

static int create(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *body = json_pack("{s:s}", "name", cli->arguments[1]), *record = NULL;

	if (session_post(session, "certreg", "/v1/spaces", body, &record, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(record), "%s", json_text(record, "id"));
	return 0;
}

/* The space with its members: what lists have is not all. */
static int find(struct session *session, const char *called, json_t **ret_space, struct err *err)
{
	auto_json json_t *found = NULL;

	if (session_find(session, &collection_spaces, called, &found, err) < 0)
		return -1;
	return session_find(session, &collection_spaces, json_text(found, "id"), ret_space, err);
}

/* Of the key that --key names, if it is given. */
static int own_spki(struct session *session, const struct cli *cli, char spki[DIGEST_TEXT_SIZE],
	const char **ret_spki, struct err *err)
{
	const char *file = cli_value(cli, "key");
	auto_key EVP_PKEY *key = NULL;

	*ret_spki = NULL;
	if (!file)
		return 0;
	if (keystore_read_key(session->profile.storage, file, &key, err) < 0 ||
		cert_spki(key, spki, err) < 0)
		return -1;
	*ret_spki = spki;
	return 0;
}

static void show_member(const struct cli *cli, const json_t *member, const char *verdict)
{
	ui_result(cli->ui,
		json_pack("{s:O,s:O,s:O,s:s}", "tenant", json_object_get(member, "tenant"), "name",
			json_object_get(member, "name"), "founder",
			json_object_get(member, "founder"), "papers", verdict),
		"%-16s  %s  %s", json_text(member, "name"), json_text(member, "tenant"), verdict);
}

static int show(struct session *session, const struct cli *cli, struct err *err)
{
	const json_t *tenant = api_tenant(session->api, err);
	auto_json json_t *space = NULL, *peers = NULL;
	struct space_reader reader = { .tenant = json_text(tenant, "name") };
	const json_t *members, *founder;
	char spki[DIGEST_TEXT_SIZE];
	json_t *member;
	size_t i;

	if (!tenant || find(session, cli->arguments[1], &space, err) < 0 ||
		peers_load(&session->profile, &peers, err) < 0 ||
		own_spki(session, cli, spki, &reader.spki, err) < 0)
		return -1;
	reader.peers = peers;
	ui_result(cli->ui,
		json_pack("{s:O,s:O,s:O}", "id", json_object_get(space, "id"), "name",
			json_object_get(space, "name"), "founder",
			json_object_get(space, "founder")),
		"%s  %s", json_text(space, "id"), json_text(space, "name"));
	members = json_object_get(space, "members");
	founder = space_papers_founder(members, json_text(space, "id"), reader.tenant);
	json_array_foreach (members, i, member) {
		auto_free char *verdict =
			space_papers_verdict(&reader, member, founder, json_text(space, "id"));

		show_member(cli, member, verdict);
	}
	return 0;
}

/* --- inviting --- */

/* The pinned key that --to means. */
static int invited_key(struct session *session, const struct cli *cli,
	char ret_spki[DIGEST_TEXT_SIZE], struct err *err)
{
	const char *to = cli_value(cli, "to");
	auto_json json_t *peers = NULL;
	const json_t *peer;

	if (peers_load(&session->profile, &peers, err) < 0)
		return -1;
	peer = peers_of_name(peers, to) ? peers_of_name(peers, to) : peers_of_key(peers, to);
	if (!peer)
		return err_set(err, ERR_FORBIDDEN, "peer.unpinned",
			"'%s' is not pinned here: nobody has compared that key", to);
	snprintf(ret_spki, DIGEST_TEXT_SIZE, "%s", json_text(peer, "spki"));
	return 0;
}

static int sign_invitation(struct session *session, const struct cli *cli, const json_t *space,
	json_t **ret_envelope, struct err *err)
{
	const json_t *tenant = api_tenant(session->api, err);
	long long now = clock_unix_ms() / 1000, days;
	char to[DIGEST_TEXT_SIZE];
	auto_key EVP_PKEY *key = NULL;
	struct trust_invitation words = { .space = json_text(space, "id"),
		.name = json_text(space, "name"),
		.to = to,
		.issued_at = now };

	if (!tenant || cli_number(cli, "days", DAYS_MAX, DAYS, &days, err) < 0 ||
		invited_key(session, cli, to, err) < 0 ||
		keystore_read_key(session->profile.storage, cli_value(cli, "key"), &key, err) < 0)
		return -1;
	words.tenant = json_text(tenant, "name");
	words.expires_at = now + days * DAY;
	return trust_invitation_make(key, &words, ret_envelope, err);
}

static int invite(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *space = NULL, *envelope = NULL, *body = NULL, *record = NULL;
	const char *out = cli_value(cli, "out");
	auto_free char *path = NULL, *text = NULL;

	if (!cli_value(cli, "to") || !cli_value(cli, "key") || !out)
		return usage(err, "invite NAME --to PEER --key FILE --out FILE");
	if (find(session, cli->arguments[1], &space, err) < 0 ||
		sign_invitation(session, cli, space, &envelope, err) < 0)
		return -1;
	text = json_dumps(envelope, JSON_INDENT(1) | JSON_SORT_KEYS);
	path = mem_printf("/v1/spaces/%s/invitations", json_text(space, "id"));
	body = json_pack("{s:O}", "invitation", envelope);
	if (buf_write_file(out, text, strlen(text), 0600, err) < 0 ||
		session_post(session, "certreg", path, body, &record, err) < 0)
		return -1;
	ui_note(cli->ui, "hand '%s' over to %s", out, cli_value(cli, "to"));
	ui_result(cli->ui, json_incref(record), "%s", json_text(record, "id"));
	return 0;
}

/* --- accepting --- */

static int read_envelope(const char *path, json_t **ret_envelope, struct err *err)
{
	auto_buf text = BUF_INIT(64 * 1024);

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	*ret_envelope = json_parse(text.data ? (char *)text.data : "", text.len, err);
	return *ret_envelope ? 0 : err_wrap(err, "'%s'", path);
}

struct checked {
	struct trust_invitation words;
	char digest[DIGEST_TEXT_SIZE];
	const char *peer; /* the name that the inviter has here */
};

/* The word of a pinned key, addressed to ours. */
static int check_invitation(struct session *session, struct arena *arena, const json_t *envelope,
	EVP_PKEY *key, struct checked *ret_checked, struct err *err)
{
	char inviter[DIGEST_TEXT_SIZE], own[DIGEST_TEXT_SIZE];
	auto_json json_t *peers = NULL;

	if (trust_invitation_check(arena, envelope, clock_unix_ms() / 1000, &ret_checked->words,
		    inviter, ret_checked->digest, err) < 0 ||
		peers_load(&session->profile, &peers, err) < 0 ||
		peers_require(peers, inviter, "the key that signed the invitation", err) < 0 ||
		cert_spki(key, own, err) < 0)
		return -1;
	if (strcmp(ret_checked->words.to, own) != 0)
		return err_set(err, ERR_INVALID, "client.wrong_key",
			"the invitation is for %s, the key file holds %s", ret_checked->words.to,
			own);
	ret_checked->peer = arena_strdup(arena, json_text(peers_of_key(peers, inviter), "name"));
	return 0;
}

static int join(struct session *session, const json_t *envelope, EVP_PKEY *key,
	const struct trust_invitation *words, const char *digest, json_t **ret_space,
	struct err *err)
{
	const json_t *tenant = api_tenant(session->api, err);
	auto_free char *path = mem_printf("/v1/spaces/%s:join", words->space);
	auto_json json_t *acceptance = NULL, *body = NULL;

	if (!tenant || trust_acceptance_make(key, digest, json_text(tenant, "name"),
			       clock_unix_ms() / 1000, &acceptance, err) < 0)
		return -1;
	body = json_pack("{s:O,s:O}", "invitation", envelope, "acceptance", acceptance);
	return session_post(session, "certreg", path, body, ret_space, err);
}

static int accept_file(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *envelope = NULL, *space = NULL;
	auto_arena struct arena *arena = arena_new();
	auto_key EVP_PKEY *key = NULL;
	struct checked checked = { .peer = NULL };
	const struct trust_invitation *words = &checked.words;

	if (!cli_value(cli, "key"))
		return usage(err, "accept FILE --key FILE");
	if (read_envelope(cli->arguments[1], &envelope, err) < 0 ||
		keystore_read_key(session->profile.storage, cli_value(cli, "key"), &key, err) < 0 ||
		check_invitation(session, arena, envelope, key, &checked, err) < 0)
		return -1;
	ui_note(cli->ui, "invited by %s (tenant %s) to the space %s", checked.peer, words->tenant,
		words->name);
	if (join(session, envelope, key, words, checked.digest, &space, err) < 0)
		return -1;
	ui_result(cli->ui,
		json_pack("{s:s,s:s,s:s}", "id", words->space, "name", words->name, "by",
			checked.peer),
		"%s  %s", words->space, words->name);
	return 0;
}

/* --- leaving --- */

static int take_out(struct session *session, const struct cli *cli, const char *space,
	const char *tenant, struct err *err)
{
	auto_free char *path = mem_printf("/v1/spaces/%s/members/%s", space, tenant);

	if (session_change(session,
		    &(const struct api_call) {
			    .audience = "certreg", .method = "DELETE", .path = path },
		    NULL, err) < 0)
		return -1;
	ui_result(cli->ui, json_pack("{s:s,s:s}", "space", space, "tenant", tenant),
		"%s has left %s", tenant, space);
	return 0;
}

static int leave(struct session *session, const struct cli *cli, struct err *err)
{
	const json_t *tenant = api_tenant(session->api, err);
	auto_json json_t *space = NULL;

	if (!tenant || find(session, cli->arguments[1], &space, err) < 0)
		return -1;
	return take_out(session, cli, json_text(space, "id"), json_text(tenant, "id"), err);
}

static int drop(struct session *session, const struct cli *cli, struct err *err)
{
	const char *whom = cli_value(cli, "tenant");
	auto_json json_t *space = NULL;
	json_t *member;
	size_t i;

	if (!whom)
		return usage(err, "remove NAME --tenant NAME");
	if (find(session, cli->arguments[1], &space, err) < 0)
		return -1;
	json_array_foreach (json_object_get(space, "members"), i, member) {
		if (json_text_is(member, "name", whom) || json_text_is(member, "tenant", whom))
			return take_out(session, cli, json_text(space, "id"),
				json_text(member, "tenant"), err);
	}
	return err_set(err, ERR_NOT_FOUND, "client.not_found", "'%s' is not in that space", whom);
}

static const struct verb verbs[] = {
	{ "list", NULL, 0, "" },
	{ "show", show, 1, "NAME" },
	{ "create", create, 1, "NAME" },
	{ "invite", invite, 1, "NAME --to PEER --key FILE --out FILE" },
	{ "accept", accept_file, 1, "FILE --key FILE" },
	{ "leave", leave, 1, "NAME" },
	{ "remove", drop, 1, "NAME --tenant NAME" },
	{ NULL, NULL, 0, NULL },
};

static int space(const struct cli *cli, struct err *err)
{
	return session_verb_of(cli, "space", verbs, &collection_spaces, err);
}

const struct command command_space = { "space",
	"list | show NAME | create NAME | invite NAME --to PEER --key FILE --out FILE | "
	"accept FILE --key FILE | leave NAME | remove NAME --tenant NAME",
	"spaces that several tenants share", options, 1, 2, space };
