/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching, holding against each other and keeping checkpoints. */
#include "client/audit_log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"

#define KEY_FILE "log-key"
#define CHECKPOINT_FILE "checkpoint"
#define PATH "/v1/audit/checkpoint"

/* --- files --- */

static int read_file(
	const struct profile *profile, const char *name, struct buf *ret_text, struct err *err)
{
	auto_free char *path = mem_printf("%s/%s", profile->dir, name);

	return access(path, F_OK) < 0 ? 0 : buf_read_file(ret_text, path, err);
}

static int write_file(
	const struct profile *profile, const char *name, const char *text, struct err *err)
{
	auto_free char *path = mem_printf("%s/%s", profile->dir, name);

	return buf_write_file(path, text, strlen(text), 0600, err);
}

bool audit_log_key(const struct profile *profile, struct note_key *ret_key, struct err *err)
{
	const char *trusted = json_text(profile->trust, "log_key");
	auto_buf text = BUF_INIT(1024);

	if (trusted)
		return note_key_parse(trusted, ret_key, err) == 0;
	if (read_file(profile, KEY_FILE, &text, err) < 0 || text.len == 0)
		return false;
	return note_key_parse((const char *)text.data, ret_key, err) == 0;
}

int audit_log_kept(const struct profile *profile, const struct note_key *key,
	struct checkpoint *ret_checkpoint, bool *ret_found, struct err *err)
{
	auto_buf text = BUF_INIT(NOTE_MAX_BYTES);

	if (read_file(profile, CHECKPOINT_FILE, &text, err) < 0)
		return -1;
	*ret_found = text.len > 0;
	if (!*ret_found)
		return 0;
	if (checkpoint_verify((const char *)text.data, text.len, key, ret_checkpoint, err) < 0)
		return err_wrap(err, "the kept checkpoint");
	return 0;
}

/* --- asking --- */

/* The note and, in a header, the key that the instance says signs it. */
static int fetch_note(struct api *api, char **ret_note, char **ret_key, struct err *err)
{
	auto_free char *url = mem_printf("%s" PATH, api_profile(api)->url);
	struct fetch_request req = { .method = "GET", .url = url, .max_response = NOTE_MAX_BYTES };
	auto_response res = { .status = 0 };

	if (api_raw(api, "get-checkpoint", "certreg", &req, &res, err) < 0)
		return -1;
	if (res.status >= 400) {
		(void)api_problem(&res, err);
		return -1;
	}
	if (ret_key)
		*ret_key = fetch_header(&res, "Log-Key");
	*ret_note = mem_strndup(res.body.data ? (const char *)res.body.data : "", res.body.len);
	return 0;
}

static int inconsistent(struct err *err, const char *why)
{
	return err_set(err, ERR_FORBIDDEN, "log.inconsistent",
		"the audit log is not the one that was seen before: %s", why);
}

static int read_proof(const json_t *answer, struct merkle_hash proof[MERKLE_MAX_PROOF],
	size_t *ret_count, struct err *err)
{
	const json_t *list = json_object_get(answer, "proof"), *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > MERKLE_MAX_PROOF)
		return inconsistent(err, "the server gave no proof");
	json_array_foreach (list, i, item) {
		const char *text = json_is_string(item) ? json_string_value(item) : "";
		auto_free unsigned char *raw = NULL;
		size_t len;

		if (codec_b64_decode(text, strlen(text), &raw, &len, NULL) < 0 ||
			len != DIGEST_SIZE)
			return inconsistent(err, "the server gave no proof");
		memcpy(proof[i].bytes, raw, DIGEST_SIZE);
	}
	*ret_count = json_array_size(list);
	return 0;
}

/* That `to` is `from` with leaves added; asks for the proof only where one is needed. */
static int check_extends(struct api *api, const struct checkpoint *from,
	const struct checkpoint *to, struct err *err)
{
	auto_free char *path =
		mem_printf("/v1/audit/consistency?from=%llu&to=%llu", from->size, to->size);
	struct api_call call = {
		.label = "get-consistency", .audience = "certreg", .method = "GET", .path = path
	};
	struct merkle_hash proof[MERKLE_MAX_PROOF];
	auto_json json_t *answer = NULL;
	size_t count = 0;

	if (from->size > to->size)
		return inconsistent(err, "it has fewer records than it had");
	if (from->size > 0 && from->size < to->size &&
		(api_call(api, &call, &answer, NULL, err) < 0 ||
			read_proof(answer, proof, &count, err) < 0))
		return -1;
	if (!merkle_extends(from->size, &from->root, to->size, &to->root, proof, count))
		return inconsistent(err, "it was rewritten");
	return 0;
}

static int missing(struct err *err, const char *what)
{
	return err_set(err, ERR_FORBIDDEN, "log.missing", "%s", what);
}

/* The lock is held from reading the kept one to replacing it: of two processes the later one holds
 * its checkpoint against the earlier one's, and an older one never takes the place of a newer. */
int audit_log_refresh(struct api *api, struct checkpoint *ret_checkpoint, char **ret_note,
	bool *ret_found, struct err *err)
{
	const struct profile *profile = api_profile(api);
	struct err failure = { .kind = ERR_NONE };
	struct checkpoint kept, newest;
	auto_free char *note = NULL;
	auto_fd int lock = -1;
	struct note_key key;
	bool was_kept;

	*ret_found = audit_log_key(profile, &key, &failure);
	if (!*ret_found) {
		if (failure.kind != ERR_NONE)
			*err = failure;
		return failure.kind == ERR_NONE ? 0 : -1;
	}
	lock = profile_lock(profile, err);
	if (lock < 0 || audit_log_kept(profile, &key, &kept, &was_kept, err) < 0)
		return -1;
	if (fetch_note(api, &note, NULL, err) < 0)
		return err->kind == ERR_NOT_FOUND ? missing(err, "the instance shows no audit log")
						  : -1;
	if (checkpoint_verify(note, strlen(note), &key, &newest, err) < 0)
		return -1;
	if (was_kept && check_extends(api, &kept, &newest, err) < 0)
		return -1;
	if (write_file(profile, CHECKPOINT_FILE, note, err) < 0)
		return -1;
	*ret_checkpoint = newest;
	if (ret_note)
		*ret_note = take_ptr(note);
	return 0;
}

int audit_log_head(struct api *api, json_t **ret_head, struct err *err)
{
	struct checkpoint checkpoint;
	bool found;

	if (audit_log_refresh(api, &checkpoint, NULL, &found, err) < 0)
		return -1;
	*ret_head = found ? checkpoint_head(&checkpoint) : NULL;
	return 0;
}

int audit_log_check(struct api *api, const json_t *head, struct err *err)
{
	struct checkpoint said, newest;
	bool found;

	if (audit_log_refresh(api, &newest, NULL, &found, err) < 0)
		return -1;
	if (!found)
		return 0;
	if (!head || json_is_null(head))
		return missing(err, "what was signed names no head of the audit log");
	if (checkpoint_head_read(head, &said, err) < 0)
		return -1;
	return check_extends(api, &said, &newest, err);
}

int audit_log_pin(struct api *api, char **ret_key, struct err *err)
{
	const struct profile *profile = api_profile(api);
	auto_free char *note = NULL, *named = NULL;
	struct err failure = { .kind = ERR_NONE };
	struct checkpoint checkpoint;
	struct note_key key;

	if (!audit_log_key(profile, &key, &failure)) {
		if (failure.kind != ERR_NONE)
			*err = failure;
		if (failure.kind != ERR_NONE || fetch_note(api, &note, &named, err) < 0)
			return -1;
		if (!named)
			return missing(err, "the instance names no key of its audit log");
		if (note_key_parse(named, &key, err) < 0 ||
			checkpoint_verify(note, strlen(note), &key, &checkpoint, err) < 0 ||
			write_file(profile, KEY_FILE, named, err) < 0)
			return -1;
	}
	*ret_key = note_key_text(&key);
	return 0;
}
