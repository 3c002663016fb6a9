/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this boot is: the sandbox, the claim that was latched, and the two key pairs born after it.
 * The private halves never leave this struct. In a measured VM the claim is in PCR 14 before the
 * keys are made, and evidence has a quote.
 */
#ifndef STRONGROOM_AGENT_MACHINE_H
#define STRONGROOM_AGENT_MACHINE_H

#include <jansson.h>
#include <openssl/evp.h>

#include "agent/tpmdev.h"
#include "lib/digest.h"
#include "lib/err.h"
#include "lib/jose.h"

struct machine {
	const json_t *initdata;	     /* borrowed from the boot */
	const char *sandbox, *class; /* borrowed */
	struct tpmdev *tpm;	     /* owned; NULL: not measured */
	json_t *report;		     /* of a measured VM: what is the same in all its evidence */
	json_t *claim;
	json_t *enc, *sig; /* private */
	json_t *enc_public, *sig_public;
	EVP_PKEY *signing; /* `sig` again */
	char enc_thumbprint[JOSE_THUMBPRINT_SIZE], sig_thumbprint[JOSE_THUMBPRINT_SIZE];
	json_t *evidence;
	char initdata_digest[DIGEST_TEXT_SIZE], claim_digest[DIGEST_TEXT_SIZE];
	char evidence_digest[DIGEST_TEXT_SIZE];
};

/* A machine that nobody has claimed yet; opens the TPM when the initdata asks for evidence of one.
 * Release it also when this fails. tpm.missing, … */
int machine_init(struct machine *machine, const json_t *initdata, struct err *err);
/* Checks and latches the claim, once, then makes the keys and the evidence over both; ek_chain is
 * that of the TPM's endorsement certificate. claim.latched */
int machine_claim(struct machine *machine, json_t *claim, const json_t *ek_chain, struct err *err);
/* Evidence for somebody's nonce. */
int machine_evidence(
	const struct machine *machine, const char *nonce, json_t **ret_evidence, struct err *err);
void machine_release(struct machine *machine); /* wipes the private keys */

/* Overwrites every text of a JSON value that held a secret, and drops it. NULL is fine. */
void machine_wipe_json(json_t *value);

#endif
