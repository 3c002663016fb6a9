/* SPDX-License-Identifier: Apache-2.0 */
/* The one-shot format nonce(12) ‖ ciphertext ‖ tag(16), AES-256-GCM with a random nonce. */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>

#include "lib/id.h"
#include "lib/mem.h"
#include "lib/stream_aead.h"

#define NONCE 12u
#define TAG 16u
#define OVERHEAD (NONCE + TAG)

static int too_large(struct err *err)
{
	return err_set(err, ERR_TOO_LARGE, "aead.too_large", "more than this format is for");
}

static bool seal(const unsigned char *key, const void *plain, size_t len, unsigned char *data)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char *out = data + NONCE;
	int done = 0, rest = 0;
	bool good = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, data) == 1 &&
		    (len == 0 || EVP_EncryptUpdate(ctx, out, &done, plain, (int)len) == 1) &&
		    EVP_EncryptFinal_ex(ctx, out + done, &rest) == 1 &&
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, out + len) == 1;

	EVP_CIPHER_CTX_free(ctx);
	return good;
}

static bool unseal(
	const unsigned char *key, const unsigned char *data, size_t len, unsigned char *plain)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	const unsigned char *in = data + NONCE;
	int done = 0, rest = 0;
	bool good = ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, data) == 1 &&
		    EVP_CIPHER_CTX_ctrl(
			    ctx, EVP_CTRL_AEAD_SET_TAG, TAG, (void *)(data + NONCE + len)) == 1 &&
		    (len == 0 || EVP_DecryptUpdate(ctx, plain, &done, in, (int)len) == 1) &&
		    EVP_DecryptFinal_ex(ctx, plain + done, &rest) == 1;

	EVP_CIPHER_CTX_free(ctx);
	return good;
}

int small_aead_seal(const unsigned char key[32], const void *plain, size_t len,
	unsigned char **ret_data, size_t *ret_len, struct err *err)
{
	auto_free unsigned char *data = NULL;

	if (len > INT_MAX - OVERHEAD)
		return too_large(err);
	data = mem_alloc(len + OVERHEAD);
	rand_bytes(data, NONCE);
	if (!seal(key, plain, len, data)) {
		ERR_clear_error();
		return err_set(err, ERR_INTERNAL, "internal.crypto", "AES-GCM failed");
	}
	*ret_data = take_ptr(data);
	*ret_len = len + OVERHEAD;
	return 0;
}

int small_aead_open(const unsigned char key[32], const void *data, size_t len,
	unsigned char **ret_plain, size_t *ret_len, struct err *err)
{
	unsigned char *plain;

	if (len > INT_MAX)
		return too_large(err);
	if (len < OVERHEAD)
		return err_set(
			err, ERR_UNPROCESSABLE, "aead.tampered", "shorter than its overhead");
	plain = mem_alloc(len - OVERHEAD + 1);
	if (!unseal(key, data, len - OVERHEAD, plain)) {
		mem_wipe_free(plain, len - OVERHEAD + 1);
		ERR_clear_error();
		return err_set(err, ERR_UNPROCESSABLE, "aead.tampered",
			"not authentic: wrong key, or altered");
	}
	*ret_plain = plain;
	*ret_len = len - OVERHEAD;
	return 0;
}
