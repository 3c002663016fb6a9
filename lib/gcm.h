/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM over one piece of memory: 16 or 32 bytes of key, a nonce of 12, the tag of 16 behind the
 * ciphertext. */
#ifndef STRONGROOM_GCM_H
#define STRONGROOM_GCM_H

#include <stdbool.h>
#include <stddef.h>

#define GCM_NONCE 12u
#define GCM_TAG 16u

struct gcm {
	const unsigned char *key;
	size_t key_len;
	const unsigned char *nonce;
	const void *aad;
	size_t aad_len;
};

/* `len` bytes (at most INT_MAX) become len + GCM_TAG. False when OpenSSL fails. */
bool gcm_seal(const struct gcm *gcm, const void *plain, size_t len, unsigned char *ret_sealed);
/* `len` counts the plaintext. False when it is not authentic; ret_plain is to be wiped then too. */
bool gcm_open(const struct gcm *gcm, const unsigned char *sealed, size_t len, void *ret_plain);

#endif
