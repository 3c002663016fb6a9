/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom peer add|list|show|remove: the keys of others that this profile believes. No server is
 * asked: a key is compared with its owner, on another way. */
#include <stdlib.h>
#include <string.h>

#include "client/cli.h"
#include "client/peers.h"
#include "client/words.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/json.h"
#include "lib/mem.h"

static const struct cli_option options[] = {
	{ "spki", "DIGEST", "add, show: sha256:… of the peer's public key" },
	{ "certificate", "FILE", "add, show: the certificate with that key" },
	{ NULL, NULL, NULL },
};

static int usage(struct err *err)
{
	return err_set(err, ERR_INVALID, "usage.arguments",
		"usage: strongroom peer add NAME --spki sha256:… | --certificate FILE");
}

/* The key that the options name. */
static int read_key(const struct cli *cli, char ret_spki[DIGEST_TEXT_SIZE], struct err *err)
{
	const char *spki = cli_value(cli, "spki"), *path = cli_value(cli, "certificate");
	unsigned char digest[DIGEST_SIZE];
	auto_buf text = BUF_INIT(64 * 1024);
	struct cert_info info;

	if (!spki == !path)
		return usage(err);
	if (spki) {
		if (digest_parse(spki, digest, err) < 0)
			return -1;
		digest_format(digest, ret_spki);
		return 0;
	}
	if (buf_read_file(&text, path, err) < 0 ||
		cert_parse(text.data, text.len, &info, NULL, NULL, NULL, err) < 0)
		return err_wrap(err, "'%s'", path);
	memcpy(ret_spki, info.spki, DIGEST_TEXT_SIZE);
	return 0;
}

/* The same key twice: in hex to copy, in words to read aloud. */
static int print(const struct cli *cli, const char *name, const char *spki, struct err *err)
{
	unsigned char digest[DIGEST_SIZE];
	auto_free char *words = NULL, *lines = NULL;

	if (digest_parse(spki, digest, err) < 0)
		return -1;
	words = words_text(digest, sizeof(digest), 0);
	lines = words_text(digest, sizeof(digest), 8);
	ui_result(cli->ui, json_pack("{s:s*,s:s,s:s}", "name", name, "spki", spki, "words", words),
		"%s%s%s\n%s", name ? name : "", name ? "  " : "", spki, lines);
	return 0;
}

static int add(const struct cli *cli, const struct profile *profile, json_t *peers, struct err *err)
{
	char spki[DIGEST_TEXT_SIZE];

	if (cli->n_arguments < 2)
		return usage(err);
	if (read_key(cli, spki, err) < 0 || peers_add(peers, cli->arguments[1], spki, err) < 0 ||
		peers_save(profile, peers, err) < 0)
		return -1;
	ui_note(cli->ui, "compare these words with %s before you rely on them", cli->arguments[1]);
	return print(cli, cli->arguments[1], spki, err);
}

static int list(
	const struct cli *cli, const struct profile *profile, json_t *peers, struct err *err)
{
	json_t *peer;
	size_t i;

	(void)profile;
	(void)err;
	json_array_foreach (peers, i, peer)
		ui_result(cli->ui, json_incref(peer), "%-16s  %s  %s", json_text(peer, "name"),
			json_text(peer, "spki"),
			json_text(peer, "added_at") ? json_text(peer, "added_at") : "-");
	return 0;
}

static int show(
	const struct cli *cli, const struct profile *profile, json_t *peers, struct err *err)
{
	const char *name = cli->n_arguments > 1 ? cli->arguments[1] : NULL;
	const json_t *peer = name ? peers_of_name(peers, name) : NULL;
	char spki[DIGEST_TEXT_SIZE];

	(void)profile;
	if (peer)
		return print(cli, name, json_text(peer, "spki"), err);
	if (name)
		return err_set(
			err, ERR_NOT_FOUND, "peer.not_found", "no peer '%s' is pinned", name);
	if (read_key(cli, spki, err) < 0)
		return -1;
	peer = peers_of_key(peers, spki);
	return print(cli, peer ? json_text(peer, "name") : NULL, spki, err);
}

static int drop(
	const struct cli *cli, const struct profile *profile, json_t *peers, struct err *err)
{
	if (cli->n_arguments < 2)
		return err_set(
			err, ERR_INVALID, "usage.arguments", "usage: strongroom peer remove NAME");
	if (peers_remove(peers, cli->arguments[1], err) < 0 || peers_save(profile, peers, err) < 0)
		return -1;
	ui_result(cli->ui, json_pack("{s:s}", "name", cli->arguments[1]), "%s removed",
		cli->arguments[1]);
	return 0;
}

static const struct {
	const char *name;
	int (*act)(const struct cli *cli, const struct profile *profile, json_t *peers,
		struct err *err);
} verbs[] = { { "add", add }, { "list", list }, { "show", show }, { "remove", drop } };

/* Two that change the list at once take turns. */
static int peer(const struct cli *cli, struct err *err)
{
	auto_json json_t *peers = NULL;
	auto_fd int lock = -1;
	struct profile profile;
	int result = -1;

	if (profile_load(cli->profile, &profile, err) < 0)
		return -1;
	lock = profile_lock(&profile, err);
	if (lock >= 0 && peers_load(&profile, &peers, err) == 0) {
		err_set(err, ERR_INVALID, "usage.arguments", "no 'peer %s'", cli->arguments[0]);
		for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
			if (strcmp(cli->arguments[0], verbs[i].name) == 0)
				result = verbs[i].act(cli, &profile, peers, err);
		}
	}
	profile_release(&profile);
	return result;
}

const struct command command_peer = { "peer",
	"add NAME --spki DIGEST | list | show NAME | remove NAME",
	"keys of others that were compared with their owners", options, 1, 2, peer };
