/* SPDX-License-Identifier: Apache-2.0 */
/* Birth and end of the machine keys. */
#include "agent/machine.h"

#include <string.h>

#include "lib/json.h"
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

static int make_evidence(struct machine *machine, struct err *err)
{
	if (trust_evidence_make(machine->sig, machine->enc_public,
		    json_text(machine->claim, "nonce"), machine->initdata, machine->claim, NULL,
		    &machine->evidence, err) < 0)
		return -1;
	machine->class = json_text(machine->evidence, "class");
	if (jcs_digest(machine->initdata, machine->initdata_digest, err) < 0 ||
		jcs_digest(machine->claim, machine->claim_digest, err) < 0)
		return -1;
	return jcs_digest(machine->evidence, machine->evidence_digest, err);
}

int machine_init(struct machine *machine, const json_t *initdata, json_t *claim, struct err *err)
{
	if (trust_initdata_check(initdata, err) < 0 || trust_claim_check(claim, err) < 0)
		return -1;
	machine->initdata = initdata;
	machine->sandbox = json_text(initdata, "sandbox");
	machine->claim = json_incref(claim);
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
	EVP_PKEY_free(machine->signing);
	*machine = (struct machine) { 0 };
}
