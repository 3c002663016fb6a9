/* SPDX-License-Identifier: Apache-2.0 */
/* Birth and end of the machine keys. */
#include "agent/machine.h"

#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

static int make_keys(struct machine *machine, struct err *err)
{
	machine->enc = jose_key_new("enc");
	machine->sig = jose_key_new("sig");
	machine->enc_public = jose_key_public(machine->enc);
	machine->sig_public = jose_key_public(machine->sig);
	if (jose_key_thumbprint(machine->enc, machine->enc_thumbprint, err) < 0 ||
		jose_key_thumbprint(machine->sig, machine->sig_thumbprint, err) < 0)
		return -1;
	return jose_key_to_evp(machine->sig, &machine->signing, err);
}

static int add_quote(
	const struct machine *machine, const char *nonce, json_t *report, struct err *err)
{
	unsigned char binding[DIGEST_SIZE];

	if (trust_evidence_binding(machine->enc_public, machine->sig_public, nonce,
		    machine->initdata, machine->claim, binding, err) < 0)
		return -1;
	return tpmdev_quote(machine->tpm, binding, report, err);
}

int machine_evidence(
	const struct machine *machine, const char *nonce, json_t **ret_evidence, struct err *err)
{
	auto_json json_t *report = machine->report ? json_copy(machine->report) : NULL;

	if (report && add_quote(machine, nonce, report, err) < 0)
		return -1;
	return trust_evidence_make(machine->sig, machine->enc_public, nonce, machine->initdata,
		machine->claim, report, ret_evidence, err);
}

static int make_evidence(struct machine *machine, struct err *err)
{
	const char *nonce = json_text(machine->claim, "nonce");

	if (machine_evidence(machine, nonce, &machine->evidence, err) < 0)
		return -1;
	machine->class = json_text(machine->evidence, "class");
	if (jcs_digest(machine->initdata, machine->initdata_digest, err) < 0)
		return -1;
	return jcs_digest(machine->evidence, machine->evidence_digest, err);
}

int machine_init(struct machine *machine, const json_t *initdata, struct err *err)
{
	if (trust_initdata_check(initdata, err) < 0)
		return -1;
	machine->initdata = initdata;
	machine->sandbox = json_text(initdata, "sandbox");
	if (!trust_initdata_allows(initdata, "software-tpm"))
		return 0;
	if (tpmdev_open(&machine->tpm, err) < 0 ||
		tpmdev_identity(machine->tpm, &machine->report, err) < 0)
		return -1;
	json_object_set_new(machine->report, "type", json_string("tpm2"));
	return tpmdev_event_log(machine->report, err);
}

/* In PCR 14, from where nothing takes it back before the next boot. */
static int measure_claim(const struct machine *machine, const json_t *ek_chain, struct err *err)
{
	unsigned char digest[DIGEST_SIZE];
	auto_free char *text = NULL;
	size_t len = 0;

	if (!json_is_array(ek_chain))
		return err_set(err, ERR_UPSTREAM, "upstream.protocol",
			"no chain of the endorsement certificate came back");
	json_object_set_new(machine->report, "ek_chain", json_deep_copy(ek_chain));
	if (jcs_encode(machine->claim, &text, &len, err) < 0)
		return -1;
	digest_sha256(text, len, digest);
	return tpmdev_extend(machine->tpm, digest, err);
}

int machine_claim(struct machine *machine, json_t *claim, const json_t *ek_chain, struct err *err)
{
	if (machine->claim)
		return err_set(err, ERR_CONFLICT, "claim.latched",
			"this boot of the sandbox is claimed already");
	if (trust_claim_check(claim, err) < 0 || jcs_digest(claim, machine->claim_digest, err) < 0)
		return -1;
	machine->claim = json_incref(claim);
	if (machine->tpm && measure_claim(machine, ek_chain, err) < 0)
		return -1;
	return make_keys(machine, err) < 0 ? -1 : make_evidence(machine, err);
}

void machine_wipe_json(json_t *value)
{
	json_t *entry;
	const char *name;
	size_t i;

	if (json_is_string(value))
		explicit_bzero(
			(char *)(uintptr_t)json_string_value(value), json_string_length(value));
	json_object_foreach (value, name, entry)
		machine_wipe_json(json_incref(entry));
	json_array_foreach (value, i, entry)
		machine_wipe_json(json_incref(entry));
	json_decref(value);
}

void machine_release(struct machine *machine)
{
	machine_wipe_json(machine->enc);
	machine_wipe_json(machine->sig);
	json_decref(machine->enc_public);
	json_decref(machine->sig_public);
	json_decref(machine->evidence);
	json_decref(machine->claim);
	json_decref(machine->report);
	tpmdev_free(machine->tpm);
	EVP_PKEY_free(machine->signing);
	*machine = (struct machine) { 0 };
}
