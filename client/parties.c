/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of a policy, looked up among our own and the pinned. */
#include "client/parties.h"

#include <string.h>

#include "client/peers.h"
#include "lib/cert.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

struct known {
	const char *own;      /* the key that signs */
	const char *receiver; /* of get-client-keypair, or NULL */
	const json_t *peers;
};

static int check_key(
	const struct known *known, const char *spki, const char *party, struct err *err)
{
	auto_free char *what = mem_printf("a key among the policy's %s", party);

	if (strcmp(spki, known->own) == 0 ||
		(known->receiver && strcmp(spki, known->receiver) == 0))
		return 0;
	return peers_require(known->peers, spki, what, err);
}

static int check_keys(
	const struct known *known, const json_t *keys, const char *party, struct err *err)
{
	json_t *key;
	size_t i;

	json_array_foreach (keys, i, key) {
		if (check_key(known, json_string_value(key), party, err) < 0)
			return -1;
	}
	return 0;
}

static int check_all(const struct known *known, const json_t *policy, struct err *err)
{
	const char *party, *slot;
	json_t *keys, *rule, *value;
	size_t i;

	json_object_foreach (json_object_get(policy, "parties"), party, keys) {
		if (check_keys(known, keys, party, err) < 0)
			return -1;
	}
	json_array_foreach (trust_policy_rules(policy), i, rule) {
		if (check_keys(known, trust_rule_keys(policy, rule), "approvers", err) < 0)
			return -1;
	}
	json_object_foreach (json_object_get(policy, "slots"), slot, value) {
		if (check_key(known, json_text(value, "owner"), "owners", err) < 0)
			return -1;
	}
	return 0;
}

int parties_check_keys(const json_t *policy, const char *own, const json_t *peers, struct err *err)
{
	return check_all(&(const struct known) { .own = own, .peers = peers }, policy, err);
}

int parties_check(const struct task *task, const json_t *policy, struct err *err)
{
	struct err ignored = { 0 };
	auto_json json_t *peers = NULL;
	auto_key EVP_PKEY *key = NULL;
	char own[DIGEST_TEXT_SIZE];
	struct known known = { .own = own,
		.receiver = task_after_text(task, "get-client-keypair", "spki", &ignored) };

	if (task_owner_key(task, &key, err) < 0 || cert_spki(key, own, err) < 0 ||
		peers_load(&task->project->profile, &peers, err) < 0)
		return -1;
	known.peers = peers;
	return check_all(&known, policy, err);
}
