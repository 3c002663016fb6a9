/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of an invitation, and its acceptance: the new key is in the profile, marked as not yet
 * accepted, before the server hears of it. So when the answer is lost, the key itself shows whether
 * it was accepted.
 */
#include "client/invitation.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/api.h"
#include "lib/json.h"
#include "lib/mem.h"

#define VERSION "strongroom-invitation-1"
#define MARK "accepting.json"
#define FILE_MAX (256u * 1024u)
#define DAYS 7
#define DAYS_MAX 366
#define DAY_MS (86400 * 1000ll)

/* --- inviting --- */

int invitation_offer_new(const struct cli *cli, const char *tenant, const char *name,
	struct invitation_offer *ret_offer, struct err *err)
{
	long long days;

	if (cli_number(cli, "days", DAYS_MAX, DAYS, &days, err) < 0)
		return -1;
	ret_offer->tenant = tenant;
	ret_offer->name = name;
	clock_rfc3339(clock_unix_ms() + days * DAY_MS, ret_offer->expires_at);
	secret_new_invitation(&ret_offer->secret);
	return 0;
}

json_t *invitation_offer_words(const struct invitation_offer *offer)
{
	return json_pack("{s:s,s:s,s:s,s:s}", "id", offer->secret.id, "name", offer->name, "hash",
		offer->secret.hash, "expires_at", offer->expires_at);
}

static int file_text(const struct profile *profile, const struct invitation_offer *offer,
	char **ret_text, struct err *err)
{
	auto_buf ca = BUF_INIT(FILE_MAX);
	auto_json json_t *doc = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "v", VERSION, "url",
		profile->url, "tenant", offer->tenant, "name", offer->name, "expires_at",
		offer->expires_at, "secret", offer->secret.text);

	if (profile->ca_file) {
		if (buf_read_file(&ca, profile->ca_file, err) < 0)
			return -1;
		json_object_set_new(doc, "ca", json_stringn((char *)ca.data, ca.len));
	}
	*ret_text = json_dumps(doc, JSON_INDENT(1) | JSON_SORT_KEYS);
	return 0;
}

int invitation_offer_send(struct session *session, const struct cli *cli,
	const struct invitation_offer *offer, const char *path, const json_t *body, struct err *err)
{
	json_t *record = NULL;
	char *text = NULL;
	int result;

	if (file_text(&session->profile, offer, &text, err) < 0)
		return -1;
	result = secret_put(cli, text, err);
	if (result == 0 && session_post(session, "certreg", path, body, &record, err) < 0)
		result = secret_withdraw(cli, err);
	if (result == 0)
		secret_tell(cli, record, text);
	mem_wipe_free(text, strlen(text));
	return result;
}

/* --- reading --- */

static int read_document(const char *path, json_t **ret_doc, struct err *err)
{
	auto_buf text = BUF_INIT(FILE_MAX);

	if (buf_read_file(&text, strcmp(path, "-") == 0 ? "/dev/stdin" : path, err) < 0)
		return -1;
	*ret_doc = json_parse(text.data ? (char *)text.data : "", text.len, err);
	return *ret_doc ? 0 : err_wrap(err, "'%s'", path);
}

int invitation_read(const char *path, struct invitation *ret_invitation, struct err *err)
{
	struct invitation invitation = { .doc = NULL };
	const char *secret;

	if (read_document(path, &invitation.doc, err) < 0)
		return -1;
	invitation.url = json_text(invitation.doc, "url");
	invitation.ca = json_text(invitation.doc, "ca");
	invitation.tenant = json_text(invitation.doc, "tenant");
	invitation.name = json_text(invitation.doc, "name");
	secret = json_text(invitation.doc, "secret");
	if (!json_text(invitation.doc, "v") ||
		strcmp(json_text(invitation.doc, "v"), VERSION) != 0 || !invitation.url ||
		!secret || secret_read(secret, &invitation.secret, err) < 0 ||
		!id_is(invitation.secret.id, "inv")) {
		invitation_release(&invitation);
		return err_set(err, ERR_INVALID, "invitation_file.invalid",
			"'%s' is no " VERSION " file", path);
	}
	*ret_invitation = invitation;
	return 0;
}

void invitation_release(struct invitation *invitation)
{
	json_decref(invitation->doc);
	secret_wipe(&invitation->secret);
	*invitation = (struct invitation) { .doc = NULL };
}

/* --- accepting --- */

static bool is_there(const char *dir, const char *file)
{
	auto_free char *path = mem_printf("%s/%s", dir, file);

	return access(path, F_OK) == 0;
}

static void forget(const char *dir, const char *file)
{
	auto_free char *path = mem_printf("%s/%s", dir, file);

	unlink(path);
}

/* Server and new key into the profile. A key that was accepted is never written over. */
static int prepare(const char *name, const struct invitation *invitation, const char *trust_file,
	struct err *err)
{
	struct profile_change change = {
		.url = invitation->url, .ca_text = invitation->ca, .trust_file = trust_file
	};
	auto_json json_t *mark = json_pack("{s:s}", "invitation", invitation->secret.id);
	struct profile profile = { .name = (char *)name };
	auto_secret secret = { .id = "" };
	auto_free char *dir = NULL;

	if (profile_folder(name, &dir, err) < 0)
		return -1;
	if (is_there(dir, MARK) && is_there(dir, "credentials"))
		return profile_write(name, &change, err);
	if (is_there(dir, "credentials"))
		return err_set(err, ERR_CONFLICT, "profile.exists",
			"profile '%s' has a key already", name);
	profile.dir = dir;
	if (profile_write(name, &change, err) < 0 ||
		profile_write_json(&profile, MARK, mark, err) < 0)
		return -1;
	secret_new_key(&secret);
	return profile_write(name, &(struct profile_change) { .api_key = secret.text }, err);
}

static bool is_accepted(const struct profile *profile)
{
	struct api *api = api_new(profile);
	struct err ignored = { 0 };
	bool works = api_tenant(api, &ignored) != NULL;

	api_free(api);
	return works;
}

static int send(const struct profile *profile, const struct invitation *invitation, struct err *err)
{
	auto_free char *path = mem_printf("/v1/invitations/%s:accept", invitation->secret.id);
	auto_secret key = { .id = "" };
	auto_json json_t *body = NULL;
	struct api_call call = { .label = "accept-invitation", .method = "POST", .path = path };
	struct api *api;
	int result;

	if (secret_read(profile->secret, &key, err) < 0)
		return -1;
	body = json_pack("{s:s,s:{s:s,s:s,s:s}}", "secret", invitation->secret.text, "key", "id",
		key.id, "name", "first", "hash", key.hash);
	call.body = body;
	api = api_new(profile);
	result = api_call(api, &call, NULL, NULL, err);
	api_free(api);
	return result;
}

static bool is_refusal(const struct err *err)
{
	return err->kind == ERR_UNAUTHENTICATED || err->kind == ERR_CONFLICT ||
	       err->kind == ERR_INVALID || err->kind == ERR_FORBIDDEN;
}

/* A lost answer looks like a refusal: the invitation is used. Then the key says what happened. */
static int accept_with(
	const struct profile *profile, const struct invitation *invitation, struct err *err)
{
	if (!is_there(profile->dir, MARK))
		return 0;
	if (send(profile, invitation, err) < 0 && !(is_refusal(err) && is_accepted(profile))) {
		if (is_refusal(err)) {
			forget(profile->dir, "credentials");
			forget(profile->dir, MARK);
		}
		return -1;
	}
	forget(profile->dir, MARK);
	return 0;
}

int invitation_accept(
	const char *profile_name, const char *path, const char *trust_file, struct err *err)
{
	struct invitation invitation;
	struct profile profile = { .name = NULL };
	auto_fd int lock = -1;
	int result = -1;

	if (invitation_read(path, &invitation, err) < 0)
		return -1;
	if (prepare(profile_name, &invitation, trust_file, err) == 0 &&
		profile_load(profile_name, &profile, err) == 0) {
		lock = profile_lock(&profile, err);
		result = lock < 0 ? -1 : accept_with(&profile, &invitation, err);
	}
	profile_release(&profile);
	invitation_release(&invitation);
	return result;
}
