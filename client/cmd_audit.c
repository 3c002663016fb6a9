/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom audit list|export|verify|witness. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/audit_log.h"
#include "client/audit_verify.h"
#include "client/cli.h"
#include "client/session.h"
#include "client/ui.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "checkpoint", "FILE", "verify: a checkpoint that was kept; default: the profile's" },
	{ "log-key", "VKEY", "verify: the log's verifier key; default: the profile's" },
	{ "key", "FILE", "witness: its Ed25519 private key, PEM" },
	{ "name", "NAME", "witness: its name, such as witness.example.org/1" },
	{ "action", "ACTION", "list: such as key.create" },
	{ "outcome", "OUTCOME", "list: granted or denied" },
	{ NULL, NULL, NULL },
};

static int usage(struct err *err)
{
	return err_set(err, ERR_INVALID, "usage.arguments", "strongroom help audit");
}

/* --- list, export --- */

static void print_record(const struct cli *cli, const json_t *item)
{
	json_t *record = json_object_get(item, "record");
	const char *who = json_text(json_object_get(record, "who"), "sub");
	const char *on = json_text(record, "on"), *code = json_text(record, "code");

	ui_result(cli->ui, json_incref(record), "%s  %-7s  %-20s  %-36s  %s  %s",
		json_text(record, "time"), json_text(record, "outcome"),
		json_text(record, "action"), who ? who : json_text(record, "service"),
		on ? on : "-", code ? code : "");
}

static int list(struct session *session, const struct cli *cli, struct err *err)
{
	const char *action = cli_value(cli, "action"), *outcome = cli_value(cli, "outcome");
	auto_free char *next = mem_strdup("");

	while (next) {
		auto_free char *path =
			mem_printf("/v1/audit/records?page_size=200&page_token=%s%s%s%s%s", next,
				action ? "&action=" : "", action ? action : "",
				outcome ? "&outcome=" : "", outcome ? outcome : "");
		struct api_call call = {
			.label = "list", .audience = "certreg", .method = "GET", .path = path
		};
		auto_json json_t *page = NULL;
		const char *token;
		json_t *item;
		size_t i;

		if (api_call(session->api, &call, &page, NULL, err) < 0)
			return -1;
		json_array_foreach (json_object_get(page, "items"), i, item)
			print_record(cli, item);
		token = json_text(page, "next_page_token");
		free(next);
		next = token ? mem_strdup(token) : NULL;
	}
	return 0;
}

static int to_file(void *file, const void *data, size_t len, struct err *err)
{
	return fwrite(data, 1, len, file) == len ? 0 : err_errno(err, "write the export");
}

/* Beside its place, and renamed when it is whole. */
static int export_to(struct session *session, const char *path, struct err *err)
{
	auto_free char *url = mem_printf("%s/v1/audit/export", session->profile.url);
	auto_free char *part = mem_printf("%s.part", path);
	auto_file FILE *file = fopen(part, "we");
	struct fetch_request req = {
		.method = "GET", .url = url, .timeout_ms = -1, .sink = to_file, .sink_arg = file
	};
	auto_response res = { .status = 0 };

	if (!file)
		return err_errno(err, "write '%s'", part);
	if (api_raw(session->api, "export", "certreg", &req, &res, err) < 0)
		return -1;
	if (res.status >= 400)
		return api_problem(&res, err);
	if (fflush(file) != 0 || fsync(fileno(file)) < 0 || rename(part, path) < 0)
		return err_errno(err, "keep '%s'", path);
	return 0;
}

/* --- verify --- */

static int read_checkpoint(const char *path, const struct note_key *key,
	struct checkpoint *ret_checkpoint, struct err *err)
{
	auto_buf text = BUF_INIT(NOTE_MAX_BYTES);

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	return checkpoint_verify(
		text.data ? (const char *)text.data : "", text.len, key, ret_checkpoint, err);
}

/* The key and the checkpoint to hold the file against: of the command line, else the profile's. */
static int choose(const struct cli *cli, struct audit_verify *verify, struct note_key *key,
	struct checkpoint *known, struct err *err)
{
	const char *vkey = cli_value(cli, "log-key"), *path = cli_value(cli, "checkpoint");
	struct profile profile = { .name = NULL };
	bool has_profile = profile_load(cli->profile, &profile, NULL) == 0, has_key, found = false;
	int result = 0;

	has_key = vkey ? note_key_parse(vkey, key, err) == 0
		       : has_profile && audit_log_key(&profile, key, NULL);
	if (vkey && !has_key)
		result = -1;
	if (has_key && path)
		result = read_checkpoint(path, key, known, err);
	else if (has_key && has_profile && !vkey)
		result = audit_log_kept(&profile, key, known, &found, err);
	else if (path)
		result = err_set(err, ERR_INVALID, "usage.arguments",
			"--checkpoint needs --log-key or a profile that has it");
	verify->key = has_key ? key : NULL;
	verify->known = found || (has_key && path) ? known : NULL;
	profile_release(&profile);
	return result;
}

static int verify(const struct cli *cli, struct err *err)
{
	struct audit_verify verify = { .key = NULL };
	char root[DIGEST_TEXT_SIZE];
	struct checkpoint known;
	struct note_key key;

	if (cli->n_arguments < 2)
		return usage(err);
	if (choose(cli, &verify, &key, &known, err) < 0 ||
		audit_verify_file(cli->arguments[1], &verify, err) < 0)
		return -1;
	digest_format(verify.root.bytes, root);
	if (!verify.key)
		ui_warn(cli->ui, "the log's key comes from the file itself: %s", verify.key_text);
	if (!verify.known)
		ui_warn(cli->ui, "no checkpoint to compare with: a log that was rewritten as a "
				 "whole would not show");
	ui_result(cli->ui,
		json_pack("{s:I,s:I,s:I,s:s,s:s,s:b}", "leaves", (json_int_t)verify.leaves,
			"records", (json_int_t)verify.records, "heads", (json_int_t)verify.heads,
			"root", (const char *)root, "key", (const char *)verify.key_text,
			"compared", verify.known != NULL),
		"%llu leaves, %llu records of this tenant, %llu signed heads: in order, root %s",
		verify.leaves, verify.records, verify.heads, root);
	return 0;
}

/* --- witness --- */

static int send_line(struct session *session, const struct checkpoint *checkpoint, const char *line,
	struct err *err)
{
	auto_json json_t *body =
		json_pack("{s:I,s:s}", "size", (json_int_t)checkpoint->size, "signature", line);

	return session_post(session, "certreg", "/v1/audit/cosignatures", body, NULL, err);
}

/* Signs the newest checkpoint when it holds against the one that this profile signed last. */
static int witness(struct session *session, const struct cli *cli, struct err *err)
{
	const char *path = cli_value(cli, "key"), *name = cli_value(cli, "name");
	auto_free char *note = NULL, *line = NULL, *vkey = NULL;
	struct buf pem = BUF_INIT(64 * 1024);
	auto_key EVP_PKEY *pair = NULL;
	struct checkpoint checkpoint;
	struct note_key key;
	size_t len = 0;
	bool found;
	int result;

	if (!path || !name)
		return usage(err);
	result = buf_read_file(&pem, path, err);
	if (result == 0)
		result = cert_key_read((char *)pem.data, pem.len, &pair, err);
	buf_wipe(&pem);
	if (result < 0 || note_key_of(pair, name, true, &key, err) < 0 ||
		audit_log_refresh(session->api, &checkpoint, &note, &found, err) < 0)
		return -1;
	if (!found)
		return err_set(err, ERR_INVALID, "log.no_key",
			"the profile has no key of the log: strongroom configure --trust FILE");
	if (note_text_len(note, strlen(note), &len, err) < 0)
		return -1;
	line = note_signature(pair, &key, note, len, clock_unix_ms() / 1000, err);
	vkey = note_key_text(&key);
	ui_note(cli->ui, "verifier key, for the operator's witness_keys: %s", vkey);
	if (!line || send_line(session, &checkpoint, line, err) < 0)
		return -1;
	ui_result(cli->ui,
		json_pack("{s:I,s:s}", "size", (json_int_t)checkpoint.size, "witness", vkey),
		"cosigned the log of %llu records as %s", checkpoint.size, vkey);
	return 0;
}

/* --- the command --- */

static int with_server(const struct cli *cli, struct err *err)
{
	const char *verb = cli->arguments[0];
	struct session session;
	int result;

	if (session_open(&session, cli, err) < 0)
		return -1;
	if (strcmp(verb, "list") == 0)
		result = list(&session, cli, err);
	else if (strcmp(verb, "export") == 0 && cli->n_arguments == 2)
		result = export_to(&session, cli->arguments[1], err);
	else if (strcmp(verb, "witness") == 0)
		result = witness(&session, cli, err);
	else
		result = usage(err);
	session_close(&session);
	return result;
}

static int audit(const struct cli *cli, struct err *err)
{
	return strcmp(cli->arguments[0], "verify") == 0 ? verify(cli, err) : with_server(cli, err);
}

const struct command command_audit = { "audit",
	"list | export FILE | verify FILE [--checkpoint FILE] [--log-key VKEY] | "
	"witness --key FILE --name NAME",
	"the audit log: who did what, and whether it was altered", options, 1, 2, audit };
