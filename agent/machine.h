/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this boot is: the sandbox, the claim that was latched, and the two key pairs born after it.
 * The private halves never leave this struct.
 */
#ifndef STRONGROOM_AGENT_MACHINE_H
#define STRONGROOM_AGENT_MACHINE_H

#include <jansson.h>
#include <openssl/evp.h>

#include "lib/digest.h"
#include "lib/err.h"
#include "lib/jose.h"

struct machine {
	const json_t *initdata;	     /* borrowed from the boot */
	const char *sandbox, *class; /* borrowed */
	json_t *claim;
	json_t *enc, *sig; /* private */
	json_t *enc_public, *sig_public;
	EVP_PKEY *signing; /* `sig` again */
	char enc_thumbprint[JOSE_THUMBPRINT_SIZE], sig_thumbprint[JOSE_THUMBPRINT_SIZE];
	json_t *evidence;
	char initdata_digest[DIGEST_TEXT_SIZE], claim_digest[DIGEST_TEXT_SIZE];
	char evidence_digest[DIGEST_TEXT_SIZE];
};

/* Checks and latches the claim, then makes the keys and the evidence over both. */
int machine_init(struct machine *machine, const json_t *initdata, json_t *claim, struct err *err);
void machine_release(struct machine *machine); /* wipes the private keys */

/* Overwrites every text of a JSON value that held a secret, and drops it. NULL is fine. */
void machine_wipe_json(json_t *value);

#endif
