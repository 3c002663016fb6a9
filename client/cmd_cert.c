/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom cert register|list|show|rotate|revoke. */
#include <stdlib.h>
#include <string.h>

#include "client/certificate.h"
#include "client/keystore.h"
#include "client/session.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "certificate", "FILE", "register, rotate: the (new) certificate, PEM" },
	{ "key", "FILE", "register, rotate: its private key, PEM or of keys/" },
	{ "name", "NAME", "register: under this name; of itself the subject's" },
	{ "old-key", "FILE", "rotate: private key of the certificate that is replaced" },
	{ "overlap", "SECONDS", "rotate: how long the old one stays good (86400)" },
	{ "state", "STATE", "list: active, retiring, retired, expired or revoked" },
	{ "label", "KEY=VALUE", "list: with this label" },
	{ "expires-before", "TIME", "list: such as 2030-01-31T12:00:00Z" },
	{ "reason", "REASON", "revoke: of RFC 5280, such as keyCompromise" },
	{ "comment", "TEXT", "revoke: for whoever reads the record" },
	{ NULL, NULL, NULL },
};

static int usage(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "usage.arguments", "usage: strongroom cert %s", what);
}

static int register_file(struct session *session, const struct cli *cli, struct err *err)
{
	const char *path = cli_value(cli, "certificate"), *key_path = cli_value(cli, "key");
	auto_key EVP_PKEY *key = NULL;
	auto_free char *id = NULL;

	if (!path || !key_path)
		return usage(err, "register --certificate FILE --key FILE");
	if (keystore_read_key(session->profile.storage, key_path, &key, err) < 0 ||
		certificate_register(session->api, path, cli_value(cli, "name"), key, &id, err) < 0)
		return -1;
	ui_result(cli->ui, json_pack("{s:s}", "id", id), "%s", id);
	return 0;
}

static int rotate(struct session *session, const struct cli *cli, struct err *err)
{
	const char *key_path = cli_value(cli, "key"), *old_path = cli_value(cli, "old-key");
	const char *overlap = cli_value(cli, "overlap");
	auto_key EVP_PKEY *key = NULL, *old_key = NULL;
	struct certificate_rotation rotation = { .id = cli->arguments[1],
		.pem_path = cli_value(cli, "certificate"),
		.overlap_seconds = -1 };
	auto_json json_t *record = NULL;
	char *end = NULL;

	if (overlap)
		rotation.overlap_seconds = strtoll(overlap, &end, 10);
	if (!key_path || !old_path || !rotation.pem_path ||
		(overlap && (end == overlap || *end || rotation.overlap_seconds < 0)))
		return usage(err, "rotate ID --certificate FILE --key FILE --old-key FILE "
				  "[--overlap SECONDS]");
	if (keystore_read_key(session->profile.storage, key_path, &key, err) < 0 ||
		keystore_read_key(session->profile.storage, old_path, &old_key, err) < 0)
		return -1;
	rotation.key = key;
	rotation.old_key = old_key;
	if (certificate_rotate(session->api, &rotation, &record, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(record), "%s", json_text(record, "id"));
	return 0;
}

static int revoke(struct session *session, const struct cli *cli, struct err *err)
{
	auto_free char *path = mem_printf("/v1/certificates/%s:revoke", cli->arguments[1]);
	const char *reason = cli_value(cli, "reason"), *comment = cli_value(cli, "comment");
	auto_json json_t *body = json_object(), *record = NULL;

	if (reason)
		json_object_set_new(body, "reason", json_string(reason));
	if (comment)
		json_object_set_new(body, "comment", json_string(comment));
	if (session_post(session, "certreg", path, body, &record, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(record), "%s %s", cli->arguments[1],
		json_text(record, "state"));
	return 0;
}

static int show(struct session *session, const struct cli *cli, struct err *err)
{
	auto_free char *path = mem_printf("/v1/certificates/%s", cli->arguments[1]);

	return session_show(session, cli, "certreg", path, err);
}

/* Everything but what a query may hold as it is. */
static int add_filter(
	struct buf *query, const char *name, const char *value, char *joint, struct err *err)
{
	if (!value)
		return 0;
	if (buf_printf(query, err, "%c%s=", *joint, name) < 0)
		return -1;
	*joint = '&';
	for (; *value; value++) {
		if (buf_printf(query, err, strchr("%&+#? ", *value) ? "%%%02x" : "%c",
			    (unsigned char)*value) < 0)
			return -1;
	}
	return 0;
}

static int list(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const members[] = { "id", "name", "state", "algorithm", "not_after",
		"warning", "spki", NULL };
	auto_buf path = BUF_INIT(4096);
	char joint = '?';

	if (buf_add_text(&path, "/v1/certificates", err) < 0 ||
		add_filter(&path, "state", cli_value(cli, "state"), &joint, err) < 0 ||
		add_filter(&path, "label", cli_value(cli, "label"), &joint, err) < 0 ||
		add_filter(&path, "expires_before", cli_value(cli, "expires-before"), &joint, err) <
			0)
		return -1;
	return session_list(session, cli, "certreg", (const char *)path.data, members, err);
}

static const struct verb verbs[] = {
	{ "register", register_file, 0, "" },
	{ "list", list, 0, "" },
	{ "show", show, 1, "ID" },
	{ "rotate", rotate, 1, "ID --certificate FILE --key FILE --old-key FILE" },
	{ "revoke", revoke, 1, "ID" },
	{ NULL, NULL, 0, NULL },
};

static int cert(const struct cli *cli, struct err *err)
{
	return session_verb(cli, "cert", verbs, err);
}

const struct command command_cert = { "cert",
	"register --certificate FILE --key FILE | list | show ID | rotate ID --certificate FILE "
	"--key FILE --old-key FILE | revoke ID",
	"registered certificates", options, 1, 2, cert };
