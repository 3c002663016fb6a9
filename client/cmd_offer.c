/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom offer: data, an image, an output's key or a dataset elsewhere, for somebody's policy.
 */
#include <string.h>

#include "client/collection.h"
#include "client/files.h"
#include "client/keystore.h"
#include "client/offer.h"
#include "client/session.h"
#include "client/state.h"
#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/credentials.h"
#include "proto/rule.h"
#include "proto/trust.h"

static const struct cli_option options[] = {
	{ "image", NULL, "the image of this project's dockerize-algo, in place of its data" },
	{ "output", NULL, "a new key, to which the output will be encrypted: only you read it" },
	{ "dataset", "NAME",
		"what lies elsewhere, its credentials sealed, in place of a project's data" },
	{ "name", "NAME", "with --dataset: what the application finds it as (the dataset's name)" },
	{ "key", "FILE",
		"with --output, --dataset: own registered key, PEM or of a project's keys/" },
	{ "out", "FILE", "for the author of the policy (offer.json)" },
	{ NULL, NULL, NULL },
};

static int opening_of(const json_t *storage, const char *slot, const char *key_file,
	const char *path, json_t **ret_opening, struct err *err)
{
	auto_json json_t *secret = key_file ? NULL : keystore_new_symmetric();

	if (key_file && keystore_read(storage, key_file, &secret, err) < 0)
		return -1;
	if (!json_object_get(secret, "key"))
		secret = json_pack("{s:o}", "jwk", secret);
	return offer_keep(storage,
		&(const struct offer_secret) { .slot = slot, .secret = secret, .path = path },
		ret_opening, err);
}

static int offer_of(const char *slot, const char *owner, const json_t *opening, json_t **ret_offer,
	struct err *err)
{
	char commitment[DIGEST_TEXT_SIZE];

	if (trust_commitment_of(opening, commitment, err) < 0)
		return -1;
	*ret_offer = json_pack("{s:s,s:{s:{s:s,s:s,s:s}},s:[]}", "v", OFFER_VERSION, "slots", slot,
		"commitment", commitment, "mode", "once", "owner", owner, "inputs");
	return 0;
}

static json_t *members_of(const json_t *from, const char *const *names)
{
	json_t *object = json_object();

	for (; *names; names++)
		json_object_set(object, *names, json_object_get(from, *names));
	return object;
}

/* --- of a project: its data, or its image --- */

static int project_offer(const json_t *storage, const struct state *state, bool is_image,
	json_t **ret_offer, struct err *err)
{
	const char *task = is_image ? "dockerize-algo" : "get-data-projection";
	const json_t *made = state_outputs(state, task);
	const char *slot = is_image ? "image" : json_text(made, "slot"),
		   *owner = json_text(state_outputs(state, "get-certs"), "spki");
	auto_json json_t *opening = NULL;
	auto_free char *path = NULL;

	if (!made || !owner)
		return err_set(err, ERR_INVALID, "plan.missing_task",
			"this needs get-certs and %s: strongroom run --until %s", task, task);
	path = is_image ? mem_printf("keys/offer-%.20s-openings.jwe",
				  json_text(made, "manifest") + strlen("sha256:"))
			: mem_printf("keys/offer-%s-%lld-openings.jwe", json_text(made, "name"),
				  (long long)json_integer_value(json_object_get(made, "version")));
	if (opening_of(storage, slot, json_text(made, is_image ? "key_algo" : "data_sym_ekey"),
		    path, &opening, err) < 0)
		return -1;
	return offer_of(slot, owner, opening, ret_offer, err);
}

static void add_input(const struct state *state, json_t *offer)
{
	static const char *const same[] = { "slot", "version", "object", "file", "digest", "size",
		NULL };
	const json_t *data = state_outputs(state, "get-data-projection");
	json_t *input = members_of(data, same);

	json_object_set(input, "dataset", json_object_get(data, "dataset_id"));
	json_array_append_new(json_object_get(offer, "inputs"), input);
}

static void add_image(const struct state *state, json_t *offer)
{
	static const char *const image[] = { "repository", "manifest", "config", "layers", "argv",
		"env", "cwd", NULL };
	const json_t *made = state_outputs(state, "dockerize-algo");

	json_object_set_new(offer, "image", members_of(made, image));
}

static int make_of_project(
	const json_t *storage, bool is_image, json_t **ret_offer, struct err *err)
{
	struct state state;
	int result;

	if (state_open(&state, false, err) < 0)
		return -1;
	result = project_offer(storage, &state, is_image, ret_offer, err);
	if (result == 0)
		(is_image ? add_image : add_input)(&state, *ret_offer);
	state_close(&state);
	return result;
}

/* --- of whoever is to get a result: a key that nobody else has --- */

static int make_of_receiver(
	const struct cli *cli, const json_t *storage, json_t **ret_offer, struct err *err)
{
	const char *file = cli_value(cli, "key");
	auto_json json_t *opening = NULL;
	auto_key EVP_PKEY *key = NULL;
	auto_free char *path = NULL;
	char spki[DIGEST_TEXT_SIZE], id[ID_SIZE];

	if (!file)
		return err_set(err, ERR_INVALID, "usage.option", "--key FILE: who receives?");
	id_new("out", id);
	path = mem_printf("keys/offer-%s-openings.jwe", id);
	if (keystore_read_key(storage, file, &key, err) < 0 || cert_spki(key, spki, err) < 0 ||
		files_make_dirs("keys", 0700, err) < 0 ||
		opening_of(storage, "output", NULL, path, &opening, err) < 0)
		return -1;
	return offer_of("output", spki, opening, ret_offer, err);
}

/* --- of a dataset that lies elsewhere: its credentials --- */

static int open_credentials(
	struct session *session, const json_t *record, json_t **ret_secret, struct err *err)
{
	const char *url = json_text(json_object_get(record, "location"), "url");
	auto_free char *path =
		mem_printf("%s/%s/credentials", collection_datasets.path, json_text(record, "id"));
	const struct api_call call = { .label = "credentials",
		.audience = collection_datasets.audience,
		.method = "GET",
		.path = path };
	auto_json json_t *kept = NULL;

	if (!url)
		return err_set(err, ERR_UNPROCESSABLE, "dataset.no_location",
			"the dataset lies in the instance's own store: leave --dataset out");
	if (api_call(session->api, &call, &kept, NULL, err) < 0)
		return -1;
	return credentials_open(session->profile.storage, url, json_object_get(kept, "credentials"),
		ret_secret, err);
}

static void add_located(
	const json_t *record, const char *slot, const char *name, bool is_output, json_t *offer)
{
	static const char *const same[] = { "version", "location", "credentials_version", NULL };
	json_t *entry = members_of(record, same);

	json_object_set_new(entry, "slot", json_string(slot));
	json_object_set(entry, "port", json_object_get(record, "direction"));
	json_object_set_new(entry, "name", json_string(name));
	json_object_set(entry, "dataset", json_object_get(record, "id"));
	if (!is_output)
		json_object_set(entry, "digest", json_object_get(record, "digest"));
	json_object_set_new(offer, is_output ? "outputs" : "inputs", json_pack("[o]", entry));
}

/* Both become a part of the slot's name, and of a file's. */
static int check_port(const char *port, const char *name, struct err *err)
{
	if (!port || (strcmp(port, "input") != 0 && strcmp(port, "output") != 0))
		return err_set(err, ERR_UPSTREAM, "upstream.answer",
			"the server's record of the dataset has no direction");
	if (!name || !rule_is_name(name))
		return err_set(err, ERR_INVALID, "usage.option",
			"--name NAME: of at most 31 of a-z, 0-9 and '-', for the slot");
	return 0;
}

static int make_of_dataset(struct session *session, const struct cli *cli, const char *owner,
	json_t **ret_offer, struct err *err)
{
	auto_json json_t *record = NULL, *secret = NULL, *opening = NULL;
	auto_free char *slot = NULL, *path = NULL;
	const char *name = cli_value(cli, "name"), *port;

	if (session_find(session, &collection_datasets, cli_value(cli, "dataset"), &record, err) <
		0)
		return -1;
	name = name ? name : json_text(record, "name");
	port = json_text(record, "direction");
	if (check_port(port, name, err) < 0 || open_credentials(session, record, &secret, err) < 0)
		return -1;
	slot = mem_printf("credentials/%s/%s", port, name);
	path = mem_printf("keys/offer-%s-%s-%lld-openings.jwe", json_text(record, "id"), name,
		(long long)json_integer_value(json_object_get(record, "credentials_version")));
	if (offer_keep(session->profile.storage,
		    &(const struct offer_secret) { slot, secret, path,
			    json_text(json_object_get(record, "location"), "url") },
		    &opening, err) < 0 ||
		offer_of(slot, owner, opening, ret_offer, err) < 0)
		return -1;
	add_located(record, slot, name, strcmp(port, "output") == 0, *ret_offer);
	return 0;
}

static int make_of_located(const struct cli *cli, json_t **ret_offer, struct err *err)
{
	const char *file = cli_value(cli, "key");
	auto_key EVP_PKEY *key = NULL;
	char spki[DIGEST_TEXT_SIZE];
	struct session session;
	int result;

	if (!file)
		return err_set(err, ERR_INVALID, "usage.option", "--key FILE: whose is it?");
	if (session_open(&session, cli, err) < 0)
		return -1;
	result = keystore_read_key(session.profile.storage, file, &key, err);
	if (result == 0)
		result = cert_spki(key, spki, err);
	if (result == 0)
		result = files_make_dirs("keys", 0700, err);
	if (result == 0)
		result = make_of_dataset(&session, cli, spki, ret_offer, err);
	session_close(&session);
	return result;
}

/* --- the command --- */

static int write_offer(const struct cli *cli, json_t *offer, struct err *err)
{
	const char *path = cli_value(cli, "out") ? cli_value(cli, "out") : "offer.json";
	auto_free char *text = json_dumps(offer, JSON_INDENT(1) | JSON_SORT_KEYS);

	if (buf_write_file(path, text, strlen(text), 0644, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(offer), "%s", path);
	return 0;
}

static int offer(const struct cli *cli, struct err *err)
{
	auto_json json_t *made = NULL;
	struct profile profile;
	int result;

	if (cli_switch(cli, "image") + cli_switch(cli, "output") +
			(cli_value(cli, "dataset") != NULL) >
		1)
		return err_set(err, ERR_INVALID, "usage.option",
			"--image, --output or --dataset: an offer each");
	if (cli_value(cli, "dataset"))
		return make_of_located(cli, &made, err) < 0 ? -1 : write_offer(cli, made, err);
	if (profile_load(cli->profile, &profile, err) < 0)
		return -1;
	result = cli_switch(cli, "output")
			 ? make_of_receiver(cli, profile.storage, &made, err)
			 : make_of_project(profile.storage, cli_switch(cli, "image"), &made, err);
	profile_release(&profile);
	return result < 0 ? -1 : write_offer(cli, made, err);
}

const struct command command_offer = { "offer",
	"[--image | --output --key FILE | --dataset NAME --key FILE] [--out FILE]",
	"commitments to this project's data or image, a new output key or a dataset, for a policy",
	options, 0, 0, offer };
