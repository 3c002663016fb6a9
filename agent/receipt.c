/* SPDX-License-Identifier: Apache-2.0 */
/* Every member of proto/README.md 1.6, gathered from policy, order, machine and result. */
#include "agent/receipt.h"

#include "agent/egress.h"
#include "agent/managed.h"
#include "lib/id.h"
#include "lib/json.h"

/* What was fetched or stored where the agent did it, or held against the policy; not what the app
 * reached itself. */
static json_t *digest_of(const struct job *job, const json_t *entry)
{
	const char *digest = managed_digest(job->managed, json_text(entry, "slot"));

	if (!digest && !json_object_get(entry, "location"))
		digest = json_text(entry, "digest");
	return digest ? json_string(digest) : json_null();
}

static json_t *data_of(const struct job *job, const char *member)
{
	json_t *list = json_array(), *entry;
	size_t i;

	json_array_foreach (json_object_get(job->policy.doc, member), i, entry)
		json_array_append_new(
			list, json_pack("{s:O,s:O,s:O,s:o}", "slot", json_object_get(entry, "slot"),
				      "dataset", json_object_get(entry, "dataset"), "version",
				      json_object_get(entry, "version"), "digest",
				      digest_of(job, entry)));
	return list;
}

static json_t *commitments_of(const json_t *policy)
{
	json_t *map = json_object(), *slot;
	const char *name;

	json_object_foreach (json_object_get(policy, "slots"), name, slot)
		json_object_set(map, name, json_object_get(slot, "commitment"));
	return map;
}

static json_t *limits_of(const struct jail_result *result)
{
	json_t *list = json_array();

	for (size_t i = 0; result->limits_hit[i]; i++)
		json_array_append_new(list, json_string(result->limits_hit[i]));
	return list;
}

static json_t *what_was_run(const struct job *job)
{
	const struct trust_policy *policy = &job->policy;
	const json_t *parties = json_object_get(policy->doc, "parties");

	return json_pack("{s:s,s:s,s:s,s:I,s:s,s:{s:s,s:s},s:o,s:o,s:o,s:o,s:O}", "policy",
		policy->hash, "run_nonce", job->order.run_nonce, "run", job->work.run, "fence",
		(json_int_t)job->work.fence, "space", policy->space, "image", "manifest",
		policy->manifest_digest, "config", policy->config_digest, "inputs",
		data_of(job, "inputs"), "outputs", data_of(job, "outputs"), "commitments",
		commitments_of(policy->doc), "egress", egress_used(job->egress), "recipients",
		json_object_get(parties, "recipients"));
}

static json_t *where_it_ran(const struct job *job)
{
	const struct machine *machine = job->verify->machine;
	const char *digest = job->boot->digest;

	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:{s:s,s:s},s:O?}", "sandbox",
		machine->sandbox, "boot_id", job->boot->boot_id, "class", machine->class,
		"evidence", machine->evidence_digest, "initdata", machine->initdata_digest, "claim",
		machine->claim_digest, "enc", machine->enc_thumbprint, "sig",
		machine->sig_thumbprint, "measurements", "encrypt-output", digest, "decrypt-input",
		digest, "log_head", job->log_head);
}

static json_t *how_it_ended(const struct job *job)
{
	const struct jail_result *result = &job->result;

	return json_pack("{s:I,s:i,s:i,s:o,s:I,s:I}", "output_size", (json_int_t)job->output.size,
		"exit_code", result->returncode, "signal", result->signal, "limits_hit",
		limits_of(result), "started", (json_int_t)job->started, "ended",
		(json_int_t)(clock_unix_ms() / 1000));
}

int receipt_make(const struct job *job, json_t **ret_receipt, struct err *err)
{
	auto_json json_t *predicate = what_was_run(job), *where = where_it_ran(job),
			 *how = how_it_ended(job), *statement = NULL;

	json_object_update(predicate, where);
	json_object_update(predicate, how);
	statement = json_pack("{s:s,s:[{s:s,s:{s:s}}],s:s,s:O}", "_type",
		"https://in-toto.io/Statement/v1", "subject", "name", "output", "digest", "sha256",
		job->output.digest + 7, "predicateType", "urn:strongroom:receipt:v1", "predicate",
		predicate);
	return trust_receipt_make(job->verify->machine->sig, statement, ret_receipt, err);
}
