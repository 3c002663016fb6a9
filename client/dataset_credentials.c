/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom dataset credentials: a query string and a key, sealed to the profile's own storage key
 * and for the location that they belong to. The server gets what it cannot open. */
#include <string.h>

#include "client/dataset.h"
#include "client/secret.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/credentials.h"

#define KEY_SIZE 32

/* Without the '?', as base64; NULL when there is none. */
static int ask_query(const struct cli *cli, json_t *secret, struct err *err)
{
	const char *path = cli_value(cli, "query-file"), *text;
	auto_buf word = BUF_INIT(SECRET_ASK_MAX);
	char *base64;
	int result = 0;

	json_object_set_new(secret, "query_string", json_null());
	if (!path)
		return 0;
	if (secret_ask(path, "query string", &word, err) < 0) {
		result = -1;
	} else {
		text = (const char *)word.data + (word.data[0] == '?');
		base64 = codec_b64_text(text, strlen(text));
		json_object_set_new(secret, "query_string", json_string(base64));
		mem_wipe_free(base64, strlen(base64));
	}
	buf_wipe(&word);
	return result;
}

static int ask_key(const struct cli *cli, json_t *secret, struct err *err)
{
	const char *path = cli_value(cli, "key-file");
	auto_buf word = BUF_INIT(SECRET_ASK_MAX);
	unsigned char key[KEY_SIZE];
	char hex[2 * KEY_SIZE + 1];
	int result = 0;

	json_object_set_new(secret, "encryption", json_null());
	if (cli_switch(cli, "new-key")) {
		id_random(key, sizeof(key));
		codec_hex(key, sizeof(key), hex);
		json_object_set_new(secret, "encryption", json_pack("{s:s}", "key", hex));
	} else if (path) {
		result = secret_ask(path, "key, 64 hex digits", &word, err);
		if (result == 0)
			json_object_set_new(secret, "encryption",
				json_pack("{s:s}", "key", (const char *)word.data));
	}
	explicit_bzero(key, sizeof(key));
	explicit_bzero(hex, sizeof(hex));
	buf_wipe(&word);
	return result;
}

static int ask(const struct cli *cli, json_t **ret_secret, struct err *err)
{
	const char *query = cli_value(cli, "query-file"), *key = cli_value(cli, "key-file");
	json_t *secret;

	if (!query && !key && !cli_switch(cli, "new-key"))
		return err_set(err, ERR_INVALID, "usage.arguments",
			"what is to be sealed? --query-file, --key-file or --new-key; to read "
			"what is: --out or --stdout");
	if ((key && cli_switch(cli, "new-key")) ||
		(query && key && strcmp(query, "-") == 0 && strcmp(key, "-") == 0))
		return err_set(err, ERR_INVALID, "usage.option",
			"one key, and only one of both from standard input");
	secret = json_object();
	if (ask_query(cli, secret, err) < 0 || ask_key(cli, secret, err) < 0) {
		json_decref(secret);
		return -1;
	}
	*ret_secret = secret;
	return 0;
}

static int seal(struct session *session, const struct cli *cli, const json_t *record,
	const char *url, struct err *err)
{
	auto_json json_t *public = jose_key_public(session->profile.storage);
	auto_json json_t *secret = NULL, *jwe = NULL, *body = NULL, *answer = NULL;

	if (ask(cli, &secret, err) < 0 || credentials_seal(public, url, secret, &jwe, err) < 0)
		return -1;
	body = json_pack("{s:O}", "credentials", jwe);
	if (session_replace(
		    session, &collection_datasets, record, "/credentials", body, &answer, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(answer), "%s credentials %lld", json_text(answer, "id"),
		(long long)json_integer_value(json_object_get(answer, "credentials_version")));
	return 0;
}

static int open_sealed(struct session *session, const struct cli *cli, const json_t *record,
	const char *url, struct err *err)
{
	auto_free char *path =
		mem_printf("%s/%s/credentials", collection_datasets.path, json_text(record, "id"));
	const struct api_call call = { .label = "credentials",
		.audience = collection_datasets.audience,
		.method = "GET",
		.path = path };
	auto_json json_t *kept = NULL, *secret = NULL;
	char *text;
	int result;

	if (api_call(session->api, &call, &kept, NULL, err) < 0 ||
		credentials_open(session->profile.storage, url,
			json_object_get(kept, "credentials"), &secret, err) < 0)
		return -1;
	text = json_dumps(secret, JSON_COMPACT | JSON_SORT_KEYS);
	json_object_del(kept, "credentials");
	result = secret_put(cli, text, err);
	if (result == 0)
		secret_tell(cli, json_incref(kept), text);
	mem_wipe_free(text, strlen(text));
	return result;
}

int dataset_credentials_verb(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *record = NULL;
	const char *url;

	if (session_find(session, &collection_datasets, cli->arguments[1], &record, err) < 0)
		return -1;
	url = json_text(json_object_get(record, "location"), "url");
	if (!url)
		return err_set(err, ERR_UNPROCESSABLE, "dataset.no_location",
			"the dataset lies in the instance's own store, which needs no credentials");
	if (cli_value(cli, "out") || cli_switch(cli, "stdout"))
		return open_sealed(session, cli, record, url, err);
	return seal(session, cli, record, url, err);
}
