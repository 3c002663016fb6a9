/* SPDX-License-Identifier: Apache-2.0 */
/* An output as it came from the server: believed by its receipt, opened by the key that was
 * committed to, and only behind its last segment unpacked. */
#ifndef STRONGROOM_CLIENT_OUTPUT_H
#define STRONGROOM_CLIENT_OUTPUT_H

#include <jansson.h>

#include "client/api.h"

/* What was ordered, and of whom: the machine that was verified before it got a secret. */
struct output {
	const char *path; /* the ciphertext */
	const char *policy_hash, *run_nonce, *name;
	const char *run, *sandbox;
	const char
		*evidence; /* the digest of what it enrolled with, where that was seen; or NULL */
	const json_t *machine; /* its signing key */
};

/* The receipt is that machine's, of this run and these bytes, and of the log that we know.
 * receipt.*, log.* */
int output_check(struct api *api, const struct output *output, const json_t *receipt,
	struct err *err) __attribute__((warn_unused_result));
/* Decrypts with {"key"} and unpacks into `dest`, in place of an earlier output. output.* */
int output_open(const struct output *output, const json_t *secret, const char *dest,
	struct err *err) __attribute__((warn_unused_result));

#endif
