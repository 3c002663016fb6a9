/* SPDX-License-Identifier: Apache-2.0 */
/* The one-shot format nonce(12) ‖ ciphertext ‖ tag(16), AES-256-GCM with a random nonce. */
#include <limits.h>

#include "lib/gcm.h"
#include "lib/id.h"
#include "lib/mem.h"
#include "lib/stream_aead.h"

#define OVERHEAD (GCM_NONCE + GCM_TAG)

static int too_large(struct err *err)
{
	return err_set(err, ERR_TOO_LARGE, "aead.too_large", "more than this format is for");
}

int small_aead_seal(const unsigned char key[32], const void *plain, size_t len,
	unsigned char **ret_data, size_t *ret_len, struct err *err)
{
	auto_free unsigned char *data = NULL;

	if (len > INT_MAX - OVERHEAD)
		return too_large(err);
	data = mem_alloc(len + OVERHEAD);
	rand_bytes(data, GCM_NONCE);
	if (!gcm_seal(&(struct gcm) { .key = key, .key_len = 32, .nonce = data }, plain, len,
		    data + GCM_NONCE))
		return err_set(err, ERR_INTERNAL, "internal.crypto", "AES-GCM failed");
	*ret_data = take_ptr(data);
	*ret_len = len + OVERHEAD;
	return 0;
}

int small_aead_open(const unsigned char key[32], const void *data, size_t len,
	unsigned char **ret_plain, size_t *ret_len, struct err *err)
{
	const unsigned char *nonce = data;
	unsigned char *plain;

	if (len > INT_MAX)
		return too_large(err);
	if (len < OVERHEAD)
		return err_set(
			err, ERR_UNPROCESSABLE, "aead.tampered", "shorter than its overhead");
	plain = mem_alloc(len - OVERHEAD + 1);
	if (!gcm_open(&(struct gcm) { .key = key, .key_len = 32, .nonce = nonce },
		    nonce + GCM_NONCE, len - OVERHEAD, plain)) {
		mem_wipe_free(plain, len - OVERHEAD + 1);
		return err_set(err, ERR_UNPROCESSABLE, "aead.tampered",
			"not authentic: wrong key, or altered");
	}
	*ret_plain = plain;
	*ret_len = len - OVERHEAD;
	return 0;
}
