/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing the API key of a profile; see own_key.h. */
#include "client/own_key.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/secret.h"
#include "lib/crash.h"
#include "lib/json.h"
#include "lib/mem.h"

#define NEXT "credentials.next"

/* The key that an earlier attempt left, or a new one that is on the disk now. */
static int next_key(const char *path, struct secret *ret_key, bool *ret_left, struct err *err)
{
	auto_buf text = BUF_INIT(SECRET_TEXT_SIZE * 2);

	*ret_left = access(path, F_OK) == 0;
	if (*ret_left)
		return secret_ask(path, "", &text, err) < 0
			       ? -1
			       : secret_read((char *)text.data, ret_key, err);
	secret_new_key(ret_key);
	return buf_write_file(path, ret_key->text, strlen(ret_key->text), 0600, err);
}

/* 0 when the server takes this key. */
static int try_out(const struct profile *profile, struct secret *key, struct err *err)
{
	struct profile next = *profile;
	struct api *api;
	int result;

	next.secret = key->text;
	next.key_id = key->id;
	api = api_new(&next);
	result = api_tenant(api, err) ? 0 : -1;
	api_free(api);
	return result;
}

static int announce(
	struct session *session, const struct secret *key, long long overlap, struct err *err)
{
	const char *old = session->profile.key_id;
	auto_free char *path = mem_printf("/v1/keys/%s:rotate", old);
	auto_json json_t *body = json_pack("{s:s,s:s,s:I}", "id", key->id, "hash", key->hash,
		"overlap_seconds", (json_int_t)overlap);
	auto_json json_t *record = NULL;

	if (session_find(session, &collection_keys, old, &record, err) < 0)
		return -1;
	return session_change(session,
		&(const struct api_call) { .audience = "certreg",
			.method = "POST",
			.path = path,
			.body = body,
			.etag = json_text(record, "etag") },
		NULL, err);
}

int own_key_rotate(
	struct session *session, long long overlap_seconds, char **ret_id, struct err *err)
{
	struct profile *profile = &session->profile;
	struct profile_change change = { .url = NULL };
	auto_free char *path = mem_printf("%s/" NEXT, profile->dir);
	auto_fd int lock = profile_lock(profile, err);
	auto_secret key = { .id = "" };
	struct err reason = { 0 };
	bool is_left;

	if (lock < 0 || next_key(path, &key, &is_left, err) < 0)
		return -1;
	if ((!is_left || try_out(profile, &key, &reason) < 0) &&
		(announce(session, &key, overlap_seconds, err) < 0 ||
			try_out(profile, &key, err) < 0))
		return -1;
	crash_point("before", "replace-key");
	change.api_key = key.text;
	if (profile_write(profile->name, &change, err) < 0)
		return -1;
	crash_point("after", "replace-key");
	unlink(path);
	*ret_id = mem_strdup(key.id);
	return 0;
}
