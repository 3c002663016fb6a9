/* SPDX-License-Identifier: Apache-2.0 */
/* The granted secrets of one run, each wiped as soon as it has done its work. */
#ifndef STRONGROOM_AGENT_SECRETS_H
#define STRONGROOM_AGENT_SECRETS_H

#include <jansson.h>

#include "lib/err.h"
#include "lib/stream_aead.h"
#include "proto/trust.h"

#define SECRETS_MAX_INPUTS 64u

struct secrets {
	json_t *image; /* the image's private JWK */
	unsigned char inputs[SECRETS_MAX_INPUTS][STREAM_AEAD_KEY_SIZE]; /* in the policy's order */
	unsigned char output[STREAM_AEAD_KEY_SIZE];
	json_t *credentials; /* {"credentials/<port>/<name>": {"query_string", "encryption"}} */
};

/* Opens one grant for each slot of the policy, no more and no fewer. grant.missing, grant.repeated,
 * grant.secret, and what trust_grant_open() says. On failure nothing is left open. */
int secrets_open(const json_t *machine_enc, const struct trust_policy *policy,
	const struct trust_order *order, const json_t *grants, struct secrets *ret_secrets,
	struct err *err) __attribute__((warn_unused_result));
void secrets_wipe_image(struct secrets *secrets);
void secrets_wipe_credentials(struct secrets *secrets);
void secrets_wipe_inputs(struct secrets *secrets);
void secrets_wipe(struct secrets *secrets);

#endif
