/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom release: the owner of slots in somebody else's run gives his secrets to the machine
 * that will run it, or takes them back before it does. Everything that he relies on is verified
 * here: the policy's text and approvals against his pins, the runner's order, and the sandbox's
 * evidence, asked for with a nonce of his own, against his own trust file.
 */
#include <stdlib.h>
#include <string.h>

#include "client/attest.h"
#include "client/evidence_table.h"
#include "client/keystore.h"
#include "client/offer.h"
#include "client/parties.h"
#include "client/peers.h"
#include "client/policy_text.h"
#include "client/released.h"
#include "client/session.h"
#include "client/trust_file.h"
#include "lib/cert.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

static const struct cli_option options[] = {
	{ "key", "FILE", "own registered key, PEM or of a project's keys/" },
	{ "slot", "NAME", "only this one of those that the key owns" },
	{ "accept-evidence", "CLASS", "weakest that will do: tee (default), software-tpm, none" },
	{ "withdraw", NULL, "take back what was given; too late once the run has started" },
	{ "yes", NULL, "do not ask" },
	{ NULL, NULL, NULL },
};

struct release {
	struct session *session;
	const struct cli *cli;
	struct arena *arena;
	EVP_PKEY *key;
	char spki[DIGEST_TEXT_SIZE];
	json_t *peers;
	json_t *run, *ordered, *agreed; /* as the server has them */
	json_t *machine;		/* its keys, once it is believed: {"enc","sig"} */
	struct trust_policy policy;
	struct trust_order order;
};

static int get(const struct release *release, const char *audience, const char *path,
	json_t **ret_record, struct err *err)
{
	const struct api_call call = {
		.label = "show", .audience = audience, .method = "GET", .path = path
	};

	return api_call(release->session->api, &call, ret_record, NULL, err);
}

/* --- whose run, of what --- */

/* Its ids become names of files and paths of requests. */
static int check_run(const json_t *run, const char *called, struct err *err)
{
	const char *id = json_text(run, "id"), *order = json_text(run, "order");
	const char *mine = id_is(called, "ord") ? order : id;

	if (id && id_is(id, "run") && order && id_is(order, "ord") && json_text(run, "sandbox") &&
		id_is(json_text(run, "sandbox"), "sbx") && strcmp(mine, called) == 0)
		return 0;
	return err_set(err, ERR_UPSTREAM, "upstream.answer",
		"the orchestrator's answer is not the record of %s", called);
}

/* The run that is called so, by its own id or by its order's. */
static int read_run(struct release *release, const char *called, struct err *err)
{
	auto_free char *path = id_is(called, "ord") ? mem_printf("/v1/runs?order=%s", called)
						    : mem_printf("/v1/runs/%s", called);
	auto_json json_t *found = NULL;

	if (!id_is(called, "ord") && !id_is(called, "run"))
		return err_set(err, ERR_INVALID, "usage.arguments", "which run? (run_… or ord_…)");
	if (get(release, "orchestrator", path, &found, err) < 0)
		return -1;
	release->run = json_incref(
		id_is(called, "run") ? found : json_array_get(json_object_get(found, "items"), 0));
	if (!release->run)
		return err_set(
			err, ERR_NOT_FOUND, "client.not_found", "no run has the order %s", called);
	return check_run(release->run, called, err);
}

/* The order, and the policy behind it with what was agreed about it. The hash is computed here. */
static int read_order(struct release *release, struct err *err)
{
	auto_free char *path = mem_printf("/v1/orders/%s", json_text(release->run, "order"));
	auto_free char *policy = NULL;

	if (get(release, "policy", path, &release->ordered, err) < 0)
		return -1;
	policy = mem_printf("/v1/policies/%s", json_text(release->ordered, "policy_id"));
	if (get(release, "policy", policy, &release->agreed, err) < 0 ||
		trust_policy_read(release->arena, json_object_get(release->agreed, "document"),
			&release->policy, err) < 0)
		return -1;
	return trust_order_check(
		&release->policy, json_object_get(release->ordered, "order"), &release->order, err);
}

/* --- what is believed --- */

static void show_policy(const struct release *release)
{
	const struct policy_reader reader = { release->spki, release->peers };
	auto_free char *text = policy_text(&release->policy, &reader);
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		ui_note(release->cli->ui, "%s", line);
}

static int check_policy(const struct release *release, struct err *err)
{
	long long now = clock_unix_ms() / 1000;

	show_policy(release);
	if (parties_check_keys(release->policy.doc, release->spki, release->peers, err) < 0 ||
		trust_approvals_satisfy(&release->policy,
			json_object_get(release->agreed, "approvals"), now, err) < 0)
		return -1;
	if (now >= release->policy.deadline)
		return err_set(
			err, ERR_UNPROCESSABLE, "policy.expired", "the policy's deadline is over");
	return 0;
}

/* The stricter of what the policy asks for and what this owner asks for. */
static const char *minimum_of(const struct release *release)
{
	const char *own = cli_value(release->cli, "accept-evidence");
	const char *said = json_text(json_object_get(release->policy.doc, "evidence"), "minimum");

	own = own ? own : "tee";
	return trust_class_rank(own) >= trust_class_rank(said) ? own : said;
}

/* Claimed by the runner, for this policy or for any. */
static int check_claim(const struct release *release, const json_t *claim, struct err *err)
{
	const char *owner = json_text(claim, "owner"), *policy = json_text(claim, "policy");

	if (owner && strcmp(owner, release->order.runner_spki) == 0 &&
		(!policy || strcmp(policy, release->policy.hash) == 0))
		return 0;
	return err_set(err, ERR_UNPROCESSABLE, "release.wrong_claim",
		"the sandbox was claimed by another key than the runner's, or for another policy");
}

static int appraise(const struct release *release, const json_t *sandbox,
	const struct attestation *attestation, struct err *err)
{
	const json_t *claim = json_object_get(attestation->evidence, "claim");
	struct trust_expect expect = { .sandbox_id = json_text(sandbox, "id"),
		.claim = claim,
		.nonce = attestation->nonce,
		.activation = attestation->activation,
		.min_class = minimum_of(release),
		.now = clock_unix_ms() / 1000 };
	auto_json json_t *result = NULL;
	struct reference reference;

	if (check_claim(release, claim, err) < 0 ||
		trust_file_expect(release->session->profile.trust, release->policy.template_id,
			json_object_get(sandbox, "parameters"), &expect, &reference, err) < 0)
		return -1;
	result = trust_evidence_appraise(attestation->evidence, &expect);
	evidence_table_note(release->cli->ui, result);
	if (trust_appraisal_fail(result, err) < 0)
		return -1;
	evidence_table_say_class(release->cli->ui, json_text(result, "class"));
	return trust_order_check_machine(&release->order,
		json_object_get(attestation->evidence, "enc"),
		json_object_get(attestation->evidence, "sig"), err);
}

/* Asks the sandbox itself; keeps its keys, if they are the ordered ones. */
static int verify_machine(struct release *release, struct err *err)
{
	const char *id = json_text(release->run, "sandbox");
	auto_free char *path = mem_printf("/v1/sandboxes/%s", id);
	auto_attestation attestation = { .evidence = NULL };
	auto_json json_t *sandbox = NULL;

	if (!release->session->profile.trust)
		return err_set(err, ERR_INVALID, "profile.no_trust",
			"this profile has no trust file to verify a sandbox with");
	if (get(release, "provisioner", path, &sandbox, err) < 0 ||
		attest(release->session->api, id, &attestation, err) < 0 ||
		appraise(release, sandbox, &attestation, err) < 0)
		return -1;
	release->machine =
		json_pack("{s:O,s:O}", "enc", json_object_get(attestation.evidence, "enc"), "sig",
			json_object_get(attestation.evidence, "sig"));
	return 0;
}

/* --- own slots --- */

/* [name] of the slots of this key, or of the one that was named. */
static int own_slots(const struct release *release, json_t **ret_slots, struct err *err)
{
	const char *only = cli_value(release->cli, "slot"), *name;
	auto_json json_t *slots = json_array();
	json_t *slot;

	json_object_foreach (json_object_get(release->policy.doc, "slots"), name, slot) {
		if (!json_text_is(slot, "owner", release->spki) ||
			(only && strcmp(only, name) != 0))
			continue;
		if (json_text_is(slot, "mode", "lease"))
			return err_set(err, ERR_UNPROCESSABLE, "grant.lease_unsupported",
				"the slot '%s' is to be leased: that is not there yet", name);
		json_array_append_new(slots, json_string(name));
	}
	if (json_array_size(slots) == 0)
		return err_set(err, ERR_UNPROCESSABLE, "release.not_the_owner",
			"this key owns no such slot of the policy");
	*ret_slots = take_ptr(slots);
	return 0;
}

/* Those of them that the order waits for. */
static json_t *missing_of(const struct release *release, const json_t *slots)
{
	json_t *list = json_array(), *item;
	size_t i;

	json_array_foreach (json_object_get(release->ordered, "missing"), i, item) {
		if (json_list_has(slots, json_text(item, "slot")))
			json_array_append(list, json_object_get(item, "slot"));
	}
	return list;
}

static int wrap(const struct release *release, const json_t *openings, const char *slot,
	json_t *releases, struct err *err)
{
	const json_t *enc = json_object_get(release->machine, "enc");
	const json_t *opening = json_object_get(openings, slot);
	auto_json json_t *grant = NULL, *envelope = NULL;

	if (!opening)
		return err_set(err, ERR_NOT_FOUND, "release.no_secret",
			"no file of keys/ holds the secret that the policy commits to for '%s'",
			slot);
	if (trust_grant_make(enc, release->policy.hash, slot, release->order.run_nonce, opening,
		    &grant, err) < 0 ||
		trust_release_make(release->key, grant, clock_unix_ms() / 1000, &envelope, err) < 0)
		return -1;
	return json_array_append_new(
		releases, json_pack("{s:O,s:O}", "grant", grant, "release", envelope));
}

static int wrap_all(
	const struct release *release, const json_t *slots, json_t *releases, struct err *err)
{
	auto_json json_t *openings = NULL;
	json_t *slot;
	size_t i;

	if (offer_openings(release->session->profile.storage, release->policy.doc, &openings, err) <
		0)
		return -1;
	json_array_foreach (slots, i, slot) {
		if (wrap(release, openings, json_string_value(slot), releases, err) < 0)
			return -1;
	}
	return 0;
}

static void tell(const struct release *release, json_t *slots, const json_t *ordered)
{
	const struct policy_reader reader = { release->spki, release->peers };
	auto_free char *given = session_list_text(slots);
	json_t *missing = json_object_get(ordered, "missing"), *item;
	size_t i;

	ui_result(release->cli->ui,
		json_pack("{s:O,s:O,s:O,s:O}", "order", json_object_get(ordered, "id"), "run",
			json_object_get(release->run, "id"), "released", slots, "missing", missing),
		"%s  released: %s", json_text(release->run, "id"), given);
	json_array_foreach (missing, i, item)
		ui_note(release->cli->ui, "still missing: %s of %s", json_text(item, "slot"),
			policy_reader_name(&reader, json_text(item, "owner")));
}

/* Whom the key of the output went to: its receipt will be that machine's. */
static int remember(const struct release *release, const json_t *slots, struct err *err)
{
	const struct released released = { json_text(release->run, "id"),
		json_text(release->ordered, "policy_id"), release->policy.hash,
		release->order.run_nonce, json_text(release->run, "sandbox"),
		json_object_get(release->machine, "sig") };

	return json_list_has(slots, "output") ? released_write(&released, err) : 0;
}

static int give(struct release *release, const json_t *slots, struct err *err)
{
	auto_free char *path = mem_printf("/v1/orders/%s/grants", json_text(release->run, "order"));
	auto_json json_t *wanted = missing_of(release, slots), *answer = NULL,
			 *body = json_pack("{s:[]}", "releases");
	auto_free char *text = session_list_text(wanted),
		       *what = mem_printf("release %s to %s", text, json_text(release->run, "id"));

	if (json_array_size(wanted) == 0) {
		tell(release, wanted, release->ordered);
		return 0;
	}
	if (check_policy(release, err) < 0 || verify_machine(release, err) < 0 ||
		cli_confirm(release->cli, what, err) < 0 ||
		wrap_all(release, wanted, json_object_get(body, "releases"), err) < 0 ||
		remember(release, wanted, err) < 0 ||
		session_post(release->session, "policy", path, body, &answer, err) < 0)
		return -1;
	tell(release, wanted, answer);
	return 0;
}

static int take_back(const struct release *release, const json_t *slots, struct err *err)
{
	json_t *slot;
	size_t i;

	json_array_foreach (slots, i, slot) {
		const char *name = json_string_value(slot);
		auto_free char *path = mem_printf(
			"/v1/orders/%s/grants/%s", json_text(release->run, "order"), name);

		if (session_change(release->session,
			    &(const struct api_call) {
				    .audience = "policy", .method = "DELETE", .path = path },
			    NULL, err) < 0)
			return -1;
		ui_result(release->cli->ui,
			json_pack("{s:O,s:O}", "order", json_object_get(release->run, "order"),
				"withdrawn", slot),
			"%s  withdrawn: %s", json_text(release->run, "id"), name);
	}
	return 0;
}

/* --- the command --- */

static int act(struct release *release, struct err *err)
{
	const struct profile *profile = &release->session->profile;
	const char *file = cli_value(release->cli, "key");
	auto_json json_t *slots = NULL;

	if (!file)
		return err_set(err, ERR_INVALID, "usage.option", "--key FILE: who releases?");
	if (keystore_read_key(profile->storage, file, &release->key, err) < 0 ||
		cert_spki(release->key, release->spki, err) < 0 ||
		peers_load(profile, &release->peers, err) < 0 ||
		read_run(release, release->cli->arguments[0], err) < 0 ||
		read_order(release, err) < 0 || own_slots(release, &slots, err) < 0)
		return -1;
	return cli_switch(release->cli, "withdraw") ? take_back(release, slots, err)
						    : give(release, slots, err);
}

static int release(const struct cli *cli, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	struct session session;
	struct release made = { .session = &session, .cli = cli, .arena = arena };
	int result;

	if (session_open(&session, cli, err) < 0)
		return -1;
	result = act(&made, err);
	EVP_PKEY_free(made.key);
	json_decref(made.peers);
	json_decref(made.run);
	json_decref(made.ordered);
	json_decref(made.agreed);
	json_decref(made.machine);
	session_close(&session);
	return result;
}

const struct command command_release = { "release", "RUN|ORDER --key FILE [--withdraw]",
	"give one's secrets to somebody else's run, or take them back", options, 1, 1, release };
