/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier's side of evidence: what we know by ourselves against what the server hands out. */
#ifndef STRONGROOM_CLIENT_SANDBOX_VERIFY_H
#define STRONGROOM_CLIENT_SANDBOX_VERIFY_H

#include "client/attest.h"
#include "client/sandbox.h"

/* `claim`: exactly what was sent. The result is the state's "sandbox". */
int sandbox_verify(const struct project *project, const struct sandbox_conf *conf,
	const json_t *sandbox, const json_t *claim, json_t **ret_verified, struct err *err)
	__attribute__((warn_unused_result));

/* The verified sandbox once more: asks it, and makes every check there is; an error only when it
 * could not be asked. */
int sandbox_attest(const struct project *project, struct attestation *ret_attestation,
	json_t **ret_result, struct err *err) __attribute__((warn_unused_result));
/* -1 with the first check that failed, or when the machine keys are not the verified ones. */
int sandbox_judge(const struct project *project, const struct attestation *attestation,
	const json_t *result, struct err *err) __attribute__((warn_unused_result));

#endif
