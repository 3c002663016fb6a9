/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output-encrypt-bundle (output key and the three measurements) and prepare-policy: commitments to
 * those of the three secrets that nobody else offers, and the canonical document that says what may
 * run on what. Nothing is wrapped here: the hash comes first.
 */
#include <stdlib.h>
#include <string.h>

#include "client/files.h"
#include "client/keystore.h"
#include "client/offer.h"
#include "client/parties.h"
#include "client/policy_document.h"
#include "client/task.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

#define POLICY_FILE "policy/policy.json"

/* The program that handles the two inner spaces is the agent; the third is this very program. */
static int measure(struct task *task, struct err *err)
{
	const char *template_id = task_after_text(task, "set-sandbox-specs", "template_id", err);
	const struct profile *profile = &task->project->profile;
	const json_t *reference = template_id ? profile_template(profile, template_id, err) : NULL;
	const char *agent = reference ? json_text(reference, "agent") : NULL;
	const char *client = json_text(profile->trust, "client");
	char own[DIGEST_TEXT_SIZE];

	if (!reference)
		return -1;
	if (!agent)
		return err_set(err, ERR_INVALID, "trust.no_template",
			"the trust file has no 'agent' for the template '%s'", template_id);
	if (digest_file("/proc/self/exe", own, NULL, err) < 0)
		return -1;
	if (client && strcmp(client, own) != 0)
		return err_set(err, ERR_FORBIDDEN, "trust.client",
			"this program is %s, the trust file expects %s", own, client);
	task_put(task, "encrypt_output", agent);
	task_put(task, "decrypt_input", agent);
	task_put(task, "decrypt_output", own);
	return 0;
}

int task_bundle(struct task *task, struct err *err)
{
	auto_json json_t *secret = NULL;
	auto_free char *path = NULL;
	char id[ID_SIZE];

	if (files_make_dirs("keys", 0700, err) < 0 || measure(task, err) < 0)
		return -1;
	if (!task_kept(task, "bundle")) {
		id_new("out", id);
		path = mem_printf("keys/%s.jwe", id);
		secret = keystore_new_symmetric();
		if (keystore_write(task->project->profile.storage, path, secret, err) < 0 ||
			task_keep(task, "bundle", id, err) < 0)
			return -1;
	}
	free(path);
	path = mem_printf("keys/%s.jwe", task_kept(task, "bundle"));
	task_put(task, "id", task_kept(task, "bundle"));
	task_put(task, "name", task_field(task, "name"));
	task_put(task, "key", path);
	task_made_present(task, path);
	return 0;
}

/* One opening {v,slot,salt,secret} from the secret in a key file; its commitment goes into the
 * slot. */
static int commit(struct task *task, const char *slot, const char *key_path, json_t *openings,
	json_t *slots, struct err *err)
{
	const char *owner = task_after_text(task, "get-certs", "spki", err);
	auto_json json_t *secret = NULL;
	json_t *opening = NULL, *value;
	char commitment[DIGEST_TEXT_SIZE];
	int result;

	if (!owner || !key_path ||
		keystore_read(task->project->profile.storage, key_path, &secret, err) < 0)
		return -1;
	value = json_object_get(secret, "key") ? json_incref(secret)
					       : json_pack("{s:O}", "jwk", secret);
	result = trust_commit(slot, value, &opening, commitment, err);
	json_decref(value);
	if (result < 0)
		return -1;
	json_object_set_new(openings, slot, opening);
	json_object_set_new(slots, slot,
		json_pack(
			"{s:s,s:s,s:s}", "commitment", commitment, "mode", "once", "owner", owner));
	return 0;
}

/* The secrets that nobody else offers: image, data, output. */
static int commit_own(
	struct task *task, const json_t *offered, json_t *openings, json_t *slots, struct err *err)
{
	bool has_data = state_outputs(&task->project->state, "get-data-projection");

	if (!json_object_get(offered, "image") &&
		commit(task, "image", task_after_text(task, "dockerize-algo", "key_algo", err),
			openings, slots, err) < 0)
		return -1;
	if ((has_data || !task_field(task, "offers")) &&
		commit(task, task_after_text(task, "get-data-projection", "slot", err),
			task_after_text(task, "get-data-projection", "data_sym_ekey", err),
			openings, slots, err) < 0)
		return -1;
	return json_object_get(offered, "output")
		       ? 0
		       : commit(task, "output",
				 task_after_text(task, "output-encrypt-bundle", "key", err),
				 openings, slots, err);
}

/* Commitments are salted: made once per attempt, the openings sealed before anything names them. */
static int make_slots(
	struct task *task, const char *openings_path, const json_t *offered, struct err *err)
{
	auto_json json_t *openings = json_object(), *slots = json_object();

	if (task_kept_json(task, "slots"))
		return 0;
	if (commit_own(task, offered, openings, slots, err) < 0 ||
		keystore_write(task->project->profile.storage, openings_path, openings, err) < 0)
		return -1;
	return task_keep_json(task, "slots", take_ptr(slots), err);
}

static int write_policy(struct task *task, const json_t *offer, struct err *err)
{
	auto_json json_t *document = NULL;
	auto_arena struct arena *arena = arena_new();
	struct trust_policy policy;
	auto_free char *text = NULL;
	size_t len = 0;

	if (policy_document(task, task_kept_json(task, "slots"), offer, &document, err) < 0 ||
		trust_policy_read(arena, document, &policy, err) < 0 ||
		parties_check(task, document, err) < 0 ||
		jcs_encode(document, &text, &len, err) < 0 ||
		files_make_dirs("policy", 0755, err) < 0 ||
		buf_write_file(POLICY_FILE, text, len, 0644, err) < 0)
		return -1;
	task_put(task, "policy_doc", POLICY_FILE);
	task_put(task, "policy_hash", policy.hash);
	task_put(task, "pipeline_name", policy.name);
	ui_note(task->project->ui, "policy %s", policy.hash);
	return 0;
}

int task_policy(struct task *task, struct err *err)
{
	const char *bundle = task_after_text(task, "output-encrypt-bundle", "id", err);
	auto_free char *openings = mem_printf("keys/%s-openings.jwe", bundle ? bundle : "");
	auto_json json_t *offer = NULL;

	if (!bundle || offer_read_all(task_field(task, "offers"), &offer, err) < 0 ||
		make_slots(task, openings, json_object_get(offer, "slots"), err) < 0 ||
		write_policy(task, offer, err) < 0)
		return -1;
	task_put(task, "openings", openings);
	task_made_present(task, openings);
	task_made_present(task, POLICY_FILE);
	return 0;
}
