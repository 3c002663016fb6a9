/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of logs as C2SP checkpoints (c2sp.org/tlog-checkpoint): origin, size, root, in a signed
 * note. */
#ifndef STRONGROOM_CHECKPOINT_H
#define STRONGROOM_CHECKPOINT_H

#include <jansson.h>

#include "lib/merkle.h"
#include "lib/note.h"

struct checkpoint {
	char origin[NOTE_MAX_NAME + 1];
	unsigned long long size;
	struct merkle_hash root;
};

/* What a note's text says; no signature is looked at. log.bad_note, log.bad_checkpoint. */
int checkpoint_read(
	const char *note, size_t len, struct checkpoint *ret_checkpoint, struct err *err);
/* The same, when the log's key signed it and its origin is the key's name (log.wrong_origin). */
int checkpoint_verify(const char *note, size_t len, const struct note_key *key,
	struct checkpoint *ret_checkpoint, struct err *err);
/* A note with the log's signature; the caller frees. */
char *checkpoint_sign(EVP_PKEY *private_key, const struct note_key *key,
	const struct checkpoint *checkpoint, struct err *err);

/* Origin of an instance's log: its base URL without scheme, and "/audit". False: no such name. */
bool checkpoint_origin(const char *base_url, char ret_origin[NOTE_MAX_NAME + 1]);

/* The head as signed objects carry it, {"size","root":"sha256:…"}. */
json_t *checkpoint_head(const struct checkpoint *checkpoint);
int checkpoint_head_read(
	const json_t *head, struct checkpoint *ret_checkpoint, struct err *err); /* log.bad_head */

#endif
