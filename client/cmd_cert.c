/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom cert list|show|register|revoke. */
#include <stdlib.h>
#include <string.h>

#include "client/certificate.h"
#include "client/session.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "certificate", "FILE", "register: the certificate, PEM" },
	{ "key", "FILE", "register: its private key, PEM" },
	{ "name", "NAME", "register: under this name" },
	{ NULL, NULL, NULL },
};

static int register_file(struct session *session, const struct cli *cli, struct err *err)
{
	const char *path = cli_value(cli, "certificate"), *key_path = cli_value(cli, "key");
	const char *name = cli_value(cli, "name");
	auto_buf pem = BUF_INIT(64 * 1024);
	auto_key EVP_PKEY *key = NULL;
	auto_free char *id = NULL;

	if (!path || !key_path)
		return err_set(err, ERR_INVALID, "usage.arguments",
			"usage: strongroom cert register --certificate FILE --key FILE");
	if (buf_read_file(&pem, key_path, err) < 0 ||
		cert_key_read((char *)pem.data, pem.len, &key, err) < 0 ||
		certificate_register(session->api, path, name ? name : "cli", key, &id, err) < 0)
		return -1;
	ui_result(cli->ui, json_pack("{s:s}", "id", id), "%s", id);
	return 0;
}

static int on_one(struct session *session, const struct cli *cli, bool revoke, struct err *err)
{
	auto_free char *path = NULL;
	struct api_call call = { .label = "show", .audience = "certreg", .method = "GET" };
	auto_json json_t *record = NULL;

	if (cli->n_arguments < 2)
		return err_set(err, ERR_INVALID, "usage.arguments", "which certificate? (crt_…)");
	path = mem_printf("/v1/certificates/%s", cli->arguments[1]);
	if (!revoke)
		return session_show(session, cli, "certreg", path, err);
	call.path = path;
	if (api_call(session->api, &call, &record, NULL, err) < 0)
		return -1;
	return session_change(
		session, "certreg", "DELETE", path, NULL, json_text(record, "etag"), NULL, err);
}

static int act(struct session *session, const struct cli *cli, struct err *err)
{
	static const char *const members[] = { "id", "name", "state", "algorithm", "spki", NULL };
	const char *verb = cli->arguments[0];

	if (strcmp(verb, "list") == 0)
		return session_list(session, cli, "certreg", "/v1/certificates", members, err);
	if (strcmp(verb, "show") == 0 || strcmp(verb, "revoke") == 0)
		return on_one(session, cli, *verb == 'r', err);
	if (strcmp(verb, "register") == 0)
		return register_file(session, cli, err);
	return err_set(err, ERR_INVALID, "usage.arguments", "no 'cert %s'", verb);
}

static int cert(const struct cli *cli, struct err *err)
{
	struct session session;
	int result;

	if (session_open(&session, cli, err) < 0)
		return -1;
	result = act(&session, cli, err);
	session_close(&session);
	return result;
}

const struct command command_cert = { "cert",
	"list | show ID | register --certificate FILE --key FILE | revoke ID",
	"registered certificates", options, 1, 2, cert };
