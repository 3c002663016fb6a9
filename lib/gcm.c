/* SPDX-License-Identifier: Apache-2.0 */
/* Both directions are OpenSSL's one cipher context with the direction as a flag. */
#include "lib/gcm.h"

#include <openssl/err.h>
#include <openssl/evp.h>

static bool start(EVP_CIPHER_CTX *ctx, const struct gcm *gcm, int seals)
{
	const EVP_CIPHER *cipher = gcm->key_len == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
	int done = 0;

	return ctx && EVP_CipherInit_ex(ctx, cipher, NULL, gcm->key, gcm->nonce, seals) == 1 &&
	       (gcm->aad_len == 0 ||
		       EVP_CipherUpdate(ctx, NULL, &done, gcm->aad, (int)gcm->aad_len) == 1);
}

bool gcm_seal(const struct gcm *gcm, const void *plain, size_t len, unsigned char *ret_sealed)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int done = 0, rest = 0;
	bool good = start(ctx, gcm, 1) &&
		    (len == 0 || EVP_CipherUpdate(ctx, ret_sealed, &done, plain, (int)len) == 1) &&
		    EVP_CipherFinal_ex(ctx, ret_sealed + done, &rest) == 1 &&
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG, ret_sealed + len) == 1;

	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

bool gcm_open(const struct gcm *gcm, const unsigned char *sealed, size_t len, void *ret_plain)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char *out = ret_plain;
	int done = 0, rest = 0;
	bool good = start(ctx, gcm, 0) &&
		    EVP_CIPHER_CTX_ctrl(
			    ctx, EVP_CTRL_AEAD_SET_TAG, GCM_TAG, (void *)(sealed + len)) == 1 &&
		    (len == 0 || EVP_CipherUpdate(ctx, out, &done, sealed, (int)len) == 1) &&
		    EVP_CipherFinal_ex(ctx, out + done, &rest) == 1;

	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
	return good;
}
