/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's own question to a sandbox, in one boot and two calls (trust.md 3): who are you, then
 * a nonce and a credential that were made here. The secret of the credential comes back only when
 * the attestation key lives in the TPM of the endorsement key.
 */
#ifndef STRONGROOM_CLIENT_ATTEST_H
#define STRONGROOM_CLIENT_ATTEST_H

#include <jansson.h>

#include "client/api.h"
#include "proto/trust.h"

struct attestation {
	char nonce[TRUST_NONCE_TEXT_SIZE];   /* the one that was asked with */
	json_t *evidence;		     /* not looked at yet, but for its keys */
	enum evidence_activation activation; /* of exactly the keys that the evidence names */
};

/* evidence.unanswered, client.timeout, evidence.ek_certificate, tpm.*, and the server's errors.
 * attestation_release() frees. */
int attest(struct api *api, const char *sandbox_id, struct attestation *ret_attestation,
	struct err *err) __attribute__((warn_unused_result));
/* What an answer proves: `keys` is the first call's, `secret` went into the credential (NULL: there
 * was none). The secret proves something about the keys that it was made for, and about no others.
 */
#define ATTEST_SECRET_SIZE 32u
enum evidence_activation attest_judge(
	const json_t *keys, const unsigned char secret[ATTEST_SECRET_SIZE], const json_t *answer);
void attestation_release(struct attestation *attestation);
#define auto_attestation __attribute__((cleanup(attestation_release))) struct attestation

#endif
