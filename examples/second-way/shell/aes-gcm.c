/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aes-gcm encrypt|decrypt KEYFILE <in >out: AES-256-GCM of one message, nonce || ciphertext || tag
 * with 12 and 16 bytes. KEYFILE has 64 hex digits. What does not verify is not written.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE 32
#define NONCE_SIZE 12
#define TAG_SIZE 16
#define MAX_SIZE (256u << 20)

static int read_key(const char *path, unsigned char key[KEY_SIZE])
{
	char text[2 * KEY_SIZE + 1] = "";
	FILE *file = fopen(path, "r");
	size_t size = 0;
	int good = file && fread(text, 1, 2 * KEY_SIZE, file) == 2 * KEY_SIZE &&
		   OPENSSL_hexstr2buf_ex(key, KEY_SIZE, &size, text, '\0') == 1;

	if (file)
		fclose(file);
	OPENSSL_cleanse(text, sizeof(text));
	return good;
}

static unsigned char *read_all(size_t *ret_len)
{
	unsigned char *data = NULL;
	size_t len = 0, size = 0, got;

	do {
		if (len == size) {
			size = size ? 2 * size : 65536;
			data = size > MAX_SIZE ? NULL : realloc(data, size);
		}
		if (!data)
			return NULL;
		got = fread(data + len, 1, size - len, stdin);
		len += got;
	} while (got > 0);
	*ret_len = len;
	return ferror(stdin) ? NULL : data;
}

static int put(const void *data, size_t len)
{
	return fwrite(data, 1, len, stdout) == len;
}

/* `data` is worked on in place; a tag is made or checked. */
static int run(int encrypt, const unsigned char *key, const unsigned char *nonce,
	unsigned char *data, size_t len, unsigned char *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int done = 0,
	    good = ctx &&
		   EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) == 1 &&
		   EVP_CipherUpdate(ctx, data, &done, data, (int)len) == 1 &&
		   (encrypt ||
			   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1) &&
		   EVP_CipherFinal_ex(ctx, data + done, &done) == 1 &&
		   (!encrypt ||
			   EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag) == 1);

	EVP_CIPHER_CTX_free(ctx);
	return good;
}

static int encrypt_message(const unsigned char *key, unsigned char *data, size_t len)
{
	unsigned char nonce[NONCE_SIZE], tag[TAG_SIZE];

	return RAND_bytes(nonce, sizeof(nonce)) == 1 && run(1, key, nonce, data, len, tag) &&
	       put(nonce, sizeof(nonce)) && put(data, len) && put(tag, sizeof(tag));
}

static int decrypt_message(const unsigned char *key, unsigned char *data, size_t len)
{
	size_t inner = len - NONCE_SIZE - TAG_SIZE;

	return len >= NONCE_SIZE + TAG_SIZE &&
	       run(0, key, data, data + NONCE_SIZE, inner, data + NONCE_SIZE + inner) &&
	       put(data + NONCE_SIZE, inner);
}

int main(int argc, char **argv)
{
	unsigned char key[KEY_SIZE], *data;
	size_t len = 0;
	int good, encrypts = argc == 3 && strcmp(argv[1], "encrypt") == 0;

	if (argc != 3 || (!encrypts && strcmp(argv[1], "decrypt") != 0)) {
		fputs("usage: aes-gcm encrypt|decrypt KEYFILE <in >out\n", stderr);
		return 2;
	}
	if (!read_key(argv[2], key) || !(data = read_all(&len))) {
		fputs("aes-gcm: no key of 64 hex digits, or too much to read\n", stderr);
		return 1;
	}
	good = encrypts ? encrypt_message(key, data, len) : decrypt_message(key, data, len);
	OPENSSL_cleanse(key, sizeof(key));
	if (!good || fflush(stdout) != 0)
		fputs("aes-gcm: not encrypted under this key, or altered\n", stderr);
	return !good;
}
