/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier's side of evidence: what we know by ourselves against what the server hands out. */
#ifndef STRONGROOM_CLIENT_SANDBOX_VERIFY_H
#define STRONGROOM_CLIENT_SANDBOX_VERIFY_H

#include "client/sandbox.h"

/* `claim`: exactly what was sent. The result is the state's "sandbox". */
int sandbox_verify(const struct project *project, const struct sandbox_conf *conf,
	const json_t *sandbox, const json_t *claim, json_t **ret_verified, struct err *err)
	__attribute__((warn_unused_result));

#endif
