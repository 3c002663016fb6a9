/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tink's streaming AEAD, AES256_GCM_HKDF_1MB (developers.google.com/tink/wire-format, "AES-GCM-HKDF
 * streaming"): header = length byte 40 ‖ salt(32) ‖ nonce prefix(7); segments of 1 MiB; key =
 * HKDF-SHA256(key, salt, aad); nonce = prefix ‖ be32 segment ‖ last byte. Truncation, reordering
 * and appending are detected. Constant memory. The key is 32 bytes. Also the small one-shot format
 * nonce(12) ‖ ciphertext ‖ tag(16), AES-256-GCM.
 */
#ifndef STRONGROOM_STREAM_AEAD_H
#define STRONGROOM_STREAM_AEAD_H

#include <stddef.h>

#include "lib/err.h"

#define STREAM_AEAD_KEY_SIZE 32u

struct stream_aead;

/* Output goes to `sink` in pieces; its -1 stops and is handed on. */
typedef int stream_aead_sink(void *arg, const void *data, size_t len, struct err *err);

struct stream_aead *stream_aead_encrypter(const unsigned char key[STREAM_AEAD_KEY_SIZE],
	const void *aad, size_t aad_len, stream_aead_sink *sink, void *arg);
struct stream_aead *stream_aead_decrypter(const unsigned char key[STREAM_AEAD_KEY_SIZE],
	const void *aad, size_t aad_len, stream_aead_sink *sink, void *arg);
/* Any amount at a time. Decrypting gives out a segment only after its tag is verified:
 * aead.tampered, aead.truncated. What came before the last segment is not to be used until finish()
 * is 0. */
int stream_aead_add(struct stream_aead *stream, const void *data, size_t len, struct err *err)
	__attribute__((warn_unused_result));
int stream_aead_finish(struct stream_aead *stream, struct err *err)
	__attribute__((warn_unused_result));
void stream_aead_free(struct stream_aead *stream); /* wipes */
long long stream_aead_size(
	long long plain_size); /* ciphertext bytes of that many plaintext bytes */

/* nonce ‖ ciphertext ‖ tag; caller frees. Opening: aead.tampered. */
int small_aead_seal(const unsigned char key[32], const void *plain, size_t len,
	unsigned char **ret_data, size_t *ret_len, struct err *err);
int small_aead_open(const unsigned char key[32], const void *data, size_t len,
	unsigned char **ret_plain, size_t *ret_len, struct err *err);

#endif
