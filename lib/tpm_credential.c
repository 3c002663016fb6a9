/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TPM2_MakeCredential in software. A seed goes to the endorsement key by OAEP; from the seed come
 * a key that encrypts the secret and one that ties it to the name of the object it is for.
 */
#include <endian.h>
#include <openssl/rsa.h>
#include <string.h>

#include "lib/id.h"
#include "lib/mem.h"
#include "lib/tpm.h"

#define SEED_SIZE 32u
#define STORAGE_BITS 128u /* AES-128, as the endorsement key's template says */
#define INTEGRITY_BITS 256u
#define EK_BITS 2048

/* KDFa (Part 1, 11.4.10.2) for one block of HMAC-SHA256. */
static void derive(const unsigned char seed[SEED_SIZE], const char *label, const void *context,
	size_t len, uint32_t bits, unsigned char ret_key[DIGEST_SIZE])
{
	unsigned char input[128];
	size_t label_len = strlen(label) + 1, at = 4;
	uint32_t counter = htobe32(1), be_bits = htobe32(bits);

	memcpy(input, &counter, 4);
	memcpy(input + at, label, label_len);
	at += label_len;
	if (len > 0)
		memcpy(input + at, context, len);
	at += len;
	memcpy(input + at, &be_bits, 4);
	digest_hmac_sha256(seed, SEED_SIZE, input, at + 4, ret_key);
}

static bool encrypt_seed(
	EVP_PKEY *key, const unsigned char seed[SEED_SIZE], struct tpm_credential *credential)
{
	static const char label[] = "IDENTITY"; /* with its NUL */
	unsigned char *owned = OPENSSL_memdup(label, sizeof(label));
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool is_done;

	credential->secret_len = sizeof(credential->secret);
	is_done = ctx && owned && EVP_PKEY_encrypt_init(ctx) > 0 &&
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) > 0 &&
		  EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) > 0 &&
		  EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) > 0;
	if (is_done && EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, owned, sizeof(label)) > 0)
		owned = NULL; /* the context's now */
	is_done = is_done && !owned &&
		  EVP_PKEY_encrypt(
			  ctx, credential->secret, &credential->secret_len, seed, SEED_SIZE) > 0;
	OPENSSL_free(owned);
	EVP_PKEY_CTX_free(ctx);
	return is_done;
}

static bool encrypt_cfb(
	const unsigned char *key, const unsigned char *plain, size_t len, unsigned char *ret_cipher)
{
	static const unsigned char iv[16];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int written = 0;
	bool is_done = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_128_cfb128(), NULL, key, iv) > 0 &&
		       EVP_EncryptUpdate(ctx, ret_cipher, &written, plain, (int)len) > 0 &&
		       (size_t)written == len;

	EVP_CIPHER_CTX_free(ctx);
	return is_done;
}

/* TPM2B_DIGEST outer HMAC, then the encrypted TPM2B_DIGEST secret. */
static bool seal(const unsigned char seed[SEED_SIZE], const unsigned char name[TPM_NAME_SIZE],
	const void *secret, size_t len, struct tpm_credential *credential)
{
	unsigned char storage[DIGEST_SIZE], integrity[DIGEST_SIZE], plain[2 + DIGEST_SIZE] = { 0 };
	unsigned char *cipher = credential->blob + 2 + DIGEST_SIZE;
	unsigned char sealed[sizeof(plain) + TPM_NAME_SIZE];
	size_t plain_len = 2 + len;
	bool is_done;

	derive(seed, "STORAGE", name, TPM_NAME_SIZE, STORAGE_BITS, storage);
	derive(seed, "INTEGRITY", NULL, 0, INTEGRITY_BITS, integrity);
	plain[1] = (unsigned char)len;
	memcpy(plain + 2, secret, len);
	is_done = encrypt_cfb(storage, plain, plain_len, cipher);
	memcpy(sealed, cipher, plain_len);
	memcpy(sealed + plain_len, name, TPM_NAME_SIZE);
	credential->blob[0] = 0;
	credential->blob[1] = DIGEST_SIZE;
	digest_hmac_sha256(integrity, sizeof(integrity), sealed, plain_len + TPM_NAME_SIZE,
		credential->blob + 2);
	credential->blob_len = 2 + DIGEST_SIZE + plain_len;
	explicit_bzero(storage, sizeof(storage));
	explicit_bzero(integrity, sizeof(integrity));
	explicit_bzero(plain, sizeof(plain));
	return is_done;
}

int tpm_make_credential(EVP_PKEY *endorsement_key, const unsigned char name[TPM_NAME_SIZE],
	const void *secret, size_t len, struct tpm_credential *ret_credential, struct err *err)
{
	unsigned char seed[SEED_SIZE];
	bool is_done;

	if (len > DIGEST_SIZE || !EVP_PKEY_is_a(endorsement_key, "RSA") ||
		EVP_PKEY_get_bits(endorsement_key) != EK_BITS)
		return err_set(err, ERR_UNPROCESSABLE, "tpm.unsupported",
			"the endorsement key is not RSA-2048");
	rand_bytes(seed, sizeof(seed));
	is_done = encrypt_seed(endorsement_key, seed, ret_credential) &&
		  seal(seed, name, secret, len, ret_credential);
	explicit_bzero(seed, sizeof(seed));
	if (!is_done)
		return err_set(err, ERR_INTERNAL, "tpm.encrypt", "encrypting failed");
	return 0;
}
