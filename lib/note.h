/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C2SP signed notes (c2sp.org/signed-note) with Ed25519 keys, and cosignatures of witnesses
 * (c2sp.org/tlog-cosignature, cosignature/v1). A note is a text that ends in a newline, an empty
 * line, and signature lines; lines of unknown keys are passed over.
 */
#ifndef STRONGROOM_NOTE_H
#define STRONGROOM_NOTE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

#define NOTE_MAX_BYTES 65536u
#define NOTE_MAX_NAME 200u
#define NOTE_KEY_BYTES 32u

/* A verifier key, "<name>+<id, 8 hex>+<base64 of type and key>". */
struct note_key {
	char name[NOTE_MAX_NAME + 1];
	unsigned char id[4];
	unsigned char bytes[NOTE_KEY_BYTES];
	bool is_witness; /* type 4: its signatures carry a time */
};

/* log.bad_key unless it is an Ed25519 verifier key of type 1 or 4 whose id is right. */
int note_key_parse(const char *text, struct note_key *ret_key, struct err *err);
/* The public half of an Ed25519 key under a name; log.bad_key for other keys and names. */
int note_key_of(EVP_PKEY *key, const char *name, bool is_witness, struct note_key *ret_key,
	struct err *err);
char *note_key_text(const struct note_key *key); /* the caller frees */

/* Length of the note's text, its last newline included: log.bad_note if it has no such shape. */
int note_text_len(const char *note, size_t len, size_t *ret_len, struct err *err);
/* log.unsigned when the key did not sign, log.wrong_signature when its signature is wrong.
 * `ret_time` is a witness's time, else 0; may be NULL. */
int note_verify(const char *note, size_t len, const struct note_key *key, long long *ret_time,
	struct err *err);

/* One signature line over `text`; `time` counts for witnesses. The caller frees. */
char *note_signature(EVP_PKEY *private_key, const struct note_key *key, const char *text,
	size_t len, long long time, struct err *err);

#endif
