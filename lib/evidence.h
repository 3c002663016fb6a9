/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of a TPM's report against values that the verifier has from elsewhere. All of them are
 * made and listed, in order, with what was expected and what was found; the first that failed names
 * the fault best. Used by services, by the client and offline: no network, no clock, no TPM.
 */
#ifndef STRONGROOM_EVIDENCE_H
#define STRONGROOM_EVIDENCE_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

#include "lib/digest.h"
#include "lib/reference.h"
#include "lib/tpm.h"

#define EVIDENCE_PCR_SELECT 0x43ffu /* 0 to 9, and 14 */
#define EVIDENCE_CHAIN_MAX 4u	    /* intermediate CAs */

enum evidence_result {
	EVIDENCE_OK,
	EVIDENCE_FAILED,
	EVIDENCE_NOT_MEASURED,	       /* nothing says whether it is so */
	EVIDENCE_NOT_PROVABLE_OFFLINE, /* only who takes part can know */
};

enum evidence_activation { /* of a credential that the verifier made */
	EVIDENCE_OFFLINE,  /* there was none: a file is looked at */
	EVIDENCE_ACTIVATED,
	EVIDENCE_NOT_ACTIVATED,
};

/* A list of {code, name, expected, actual, result}. expected and actual may be NULL. */
void evidence_note(json_t *checks, const char *code, const char *name, enum evidence_result result,
	const char *expected, const char *actual);
/* The first check that failed; NULL when none did. */
const json_t *evidence_failed(const json_t *checks);

struct evidence_expect {
	const char *vtpm_ca;		   /* PEM of the root; NULL: none is trusted */
	const char *subject;		   /* of the endorsement key's certificate */
	const struct reference *reference; /* NULL: there are none */
	const struct reference_boot *boot; /* of `reference`, with this sandbox's initdata */
	unsigned char binding[DIGEST_SIZE];
	unsigned char claim[DIGEST_SIZE]; /* what PCR 14 was extended with */
	enum evidence_activation activation;
	long long now;
};

/* `report` is the member of that name of evidence (proto/README.md 1.5). */
void evidence_check_report(
	const json_t *report, const struct evidence_expect *expect, json_t *checks);

/* What a credential is made for: the endorsement key of a certificate, the name of an attestation
 * key, both base64url. evidence.ek_certificate, tpm.structure, tpm.unsupported */
int evidence_credential(const char *ek_certificate, const char *ak, const void *secret, size_t len,
	struct tpm_credential *ret_credential, struct err *err);

#endif
