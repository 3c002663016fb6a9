/* SPDX-License-Identifier: Apache-2.0 */
/* Signing of orders and wrapping of the slots' openings to a machine key. */
#include "client/order.h"
#include "client/audit_log.h"

#include <stdlib.h>
#include <string.h>

#include "client/offer.h"
#include "client/parties.h"
#include "client/sandbox.h"
#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

const json_t *order_of(const struct task *task, long long round)
{
	auto_free char *name = mem_printf("round-%lld", round);
	const json_t *placed = task_kept_json(task, name);

	return json_text(placed, "order") ? placed : NULL;
}

static const char *new_nonce(struct task *task, const char *name, struct err *err)
{
	unsigned char random[TRUST_NONCE_SIZE];
	auto_free char *nonce = NULL;

	rand_bytes(random, sizeof(random));
	nonce = codec_b64url_text(random, sizeof(random));
	if (task_keep_json(task, name, json_pack("{s:s}", "nonce", nonce), err) < 0)
		return NULL;
	return json_text(task_kept_json(task, name), "nonce");
}

/* The nonce of this round, made and kept before anything is sent. */
static const char *nonce_of(struct task *task, const char *name, struct err *err)
{
	if (!task_kept_json(task, name))
		return new_nonce(task, name, err);
	return json_text(task_kept_json(task, name), "nonce");
}

/* The slots of other keys are theirs to release, also where we hold the secret. */
static int make_grants(struct task *task, const struct trust_policy *policy, const char *nonce,
	json_t *grants, struct err *err)
{
	const char *own = task_after_text(task, "get-certs", "spki", err);
	const json_t *machine = json_object_get(sandbox_verified(task->project), "enc");
	auto_json json_t *openings = NULL;
	const char *slot;
	json_t *owned;

	if (!own || offer_openings(task->project->profile.storage, policy->doc, &openings, err) < 0)
		return -1;
	json_object_foreach (json_object_get(policy->doc, "slots"), slot, owned) {
		const json_t *opening = json_object_get(openings, slot);
		json_t *grant = NULL;

		if (!json_text_is(owned, "owner", own))
			continue;
		if (!opening)
			return err_set(err, ERR_INVALID, "policy.slot",
				"we hold no secret for the slot '%s' of this policy", slot);
		if (trust_grant_make(machine, policy->hash, slot, nonce, opening, &grant, err) < 0)
			return -1;
		json_array_append_new(grants, grant);
	}
	return 0;
}

static int make_order(struct task *task, const struct trust_policy *policy, const char *nonce,
	json_t **ret_envelope, struct err *err)
{
	const json_t *machine = sandbox_verified(task->project);
	struct trust_order order = { .issued_at = clock_unix_ms() / 1000 };
	auto_json json_t *head = NULL;
	auto_key EVP_PKEY *key = NULL;

	if (audit_log_head(task->project->api, &head, err) < 0)
		return -1;
	order.log_head = head;
	snprintf(order.policy_hash, sizeof(order.policy_hash), "%s", policy->hash);
	snprintf(order.run_nonce, sizeof(order.run_nonce), "%s", nonce);
	if (task_owner_key(task, &key, err) < 0 || cert_spki(key, order.runner_spki, err) < 0 ||
		jose_key_thumbprint(json_object_get(machine, "enc"), order.enc_thumbprint, err) <
			0 ||
		jose_key_thumbprint(json_object_get(machine, "sig"), order.sig_thumbprint, err) < 0)
		return -1;
	return trust_order_make(key, &order, ret_envelope, err);
}

/* What this round sends. Grants are never twice the same, and a repetition must be: so it is kept,
 * with the machine that it was made for. Borrowed. */
static json_t *request_of(
	struct task *task, const struct trust_policy *policy, const char *name, struct err *err)
{
	const char *nonce = json_text(task_kept_json(task, name), "nonce");
	json_t *kept = json_object_get(task_kept_json(task, name), "request");
	auto_json json_t *envelope = NULL, *grants = json_array();

	if (kept)
		return kept;
	if (parties_check(task, policy->doc, err) < 0 ||
		make_order(task, policy, nonce, &envelope, err) < 0 ||
		make_grants(task, policy, nonce, grants, err) < 0 ||
		task_keep_json(task, name,
			json_pack("{s:s,s:O,s:{s:s,s:O,s:O}}", "nonce", nonce, "sig",
				json_object_get(sandbox_verified(task->project), "sig"), "request",
				"policy", task_after_text(task, "upload-policy", "policy_id", err),
				"order", envelope, "grants", grants),
			err) < 0)
		return NULL;
	return json_object_get(task_kept_json(task, name), "request");
}

/* A request that was kept for a machine which is gone is no use, and its nonce may be taken. */
static int drop_stale(struct task *task, const char *name, struct err *err)
{
	const json_t *kept = task_kept_json(task, name);

	if (!json_object_get(kept, "request") ||
		json_equal(json_object_get(kept, "sig"),
			json_object_get(sandbox_verified(task->project), "sig")))
		return 0;
	return new_nonce(task, name, err) ? 0 : -1;
}

static int send_order(struct task *task, const struct trust_policy *policy, const char *name,
	const char *label, json_t **ret_answer, struct err *err)
{
	struct api_call call = {
		.label = label, .audience = "policy", .method = "POST", .path = "/v1/orders"
	};

	call.body = request_of(task, policy, name, err);
	return call.body ? task_call(task, &call, ret_answer, err) : -1;
}

int order_place(struct task *task, const struct trust_policy *policy, long long round,
	const char **ret_order, struct err *err)
{
	auto_free char *name = mem_printf("round-%lld", round);
	auto_free char *label = mem_printf("post-order-%lld", round);
	auto_json json_t *answer = NULL;
	struct sandbox_conf conf;
	const json_t *machine;
	const char *nonce;

	if (order_of(task, round)) {
		*ret_order = json_text(order_of(task, round), "order");
		return 0;
	}
	nonce = nonce_of(task, name, err);
	state_use(&task->project->state, STATE_OUTPUT_KEY);
	if (!nonce || sandbox_conf_of(task, &conf, err) < 0 ||
		sandbox_ensure(task, &conf, nonce, err) < 0 || drop_stale(task, name, err) < 0 ||
		sandbox_use(task, nonce_of(task, name, err), err) < 0 ||
		send_order(task, policy, name, label, &answer, err) < 0)
		return -1;
	machine = sandbox_verified(task->project);
	nonce = nonce_of(task, name, err);
	if (task_keep_json(task, name,
		    json_pack("{s:s,s:O,s:O,s:O,s:O,s:O}", "nonce", nonce, "order",
			    json_object_get(answer, "id"), "sig", json_object_get(machine, "sig"),
			    "boot", json_object_get(machine, "boot"), "sandbox",
			    json_object_get(machine, "id"), "evidence",
			    json_object_get(machine, "evidence")),
		    err) < 0)
		return -1;
	*ret_order = json_text(order_of(task, round), "order");
	return 0;
}
