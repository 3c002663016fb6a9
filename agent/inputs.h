/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step input: the policy's encrypted inputs become /input/<slot>/<file>. A file is there only once
 * its last segment and the digest and size of its ciphertext were right.
 */
#ifndef STRONGROOM_AGENT_INPUTS_H
#define STRONGROOM_AGENT_INPUTS_H

#include "agent/job.h"

/* input.digest, aead.tampered, aead.truncated, agent.storage, or why the object cannot be had. */
int inputs_fetch(struct job *job, struct err *err) __attribute__((warn_unused_result));

#endif
