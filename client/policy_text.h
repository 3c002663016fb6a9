/* SPDX-License-Identifier: Apache-2.0 */
/* A policy as sentences, for whoever is about to agree to it. What is shown is read from the very
 * document whose hash is signed. */
#ifndef STRONGROOM_CLIENT_POLICY_TEXT_H
#define STRONGROOM_CLIENT_POLICY_TEXT_H

#include "proto/trust.h"

/* Whose eyes: keys are shown by these names. */
struct policy_reader {
	const char *own;     /* SPKI digest, "you" */
	const json_t *peers; /* peers.h */
};
/* Lines, each ended by a newline. Caller frees. */
char *policy_text(const struct trust_policy *policy, const struct policy_reader *reader);
/* "you", the name under which the key is pinned, or the key itself. */
const char *policy_reader_name(const struct policy_reader *reader, const char *spki);

#endif
