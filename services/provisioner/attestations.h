/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A member's own proof that a sandbox is what it says, in its present boot: first who its vTPM is,
 * then a nonce and a credential that the member made himself, which the agent answers with the
 * opened secret and a quote. This service carries both and judges neither.
 */
#ifndef PROVISIONER_ATTESTATIONS_H
#define PROVISIONER_ATTESTATIONS_H

#include "lib/web.h"

web_handler attestation_create; /* :attest */
web_handler attestation_show;
web_handler attestation_next; /* the agent's */
web_handler attestation_answer;

/* PEM file of certificates to a JSON array of base64url DER; new reference. */
int attestation_chain(const char *pem_file, json_t **ret_chain, struct err *err);

#endif
