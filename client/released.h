/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom the receiver of an output gave its key to, in released/RUN.json: what the output's receipt
 * is held against. Nothing of it is secret.
 */
#ifndef STRONGROOM_CLIENT_RELEASED_H
#define STRONGROOM_CLIENT_RELEASED_H

#include <jansson.h>

#include "lib/err.h"

struct released {
	const char *run, *policy_id, *policy_hash, *run_nonce, *sandbox;
	const json_t *machine; /* the signing key of the sandbox that was verified */
};

int released_write(const struct released *released, struct err *err)
	__attribute__((warn_unused_result));
/* `ret_released` borrows from *ret_file. output.not_released */
int released_read(const char *run, json_t **ret_file, struct released *ret_released,
	struct err *err) __attribute__((warn_unused_result));

#endif
