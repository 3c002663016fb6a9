/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of keys, as recipients or to open with. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "lib/cert_key.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"

#define MAX_KEYS 32u

static int invalid(struct err *err, const char *what)
{
	ERR_clear_error();
	return err_set(err, ERR_INVALID, "key.invalid", "%s", what);
}

static int check(EVP_PKEY *key, const X509 *certificate, struct err *err)
{
	char algorithm[CERT_ALGORITHM_SIZE];

	if (cert_key_algorithm(key, algorithm, err) < 0)
		return -1;
	if (certificate && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
		return invalid(err, "only RSA certificates can be recipients by PKCS #7");
	if (strcmp(algorithm, "Ed25519") == 0)
		return invalid(err, "an Ed25519 key can only sign");
	return 0;
}

int ocicrypt_keys_add(struct ocicrypt_keys *keys, EVP_PKEY *key, X509 *certificate, struct err *err)
{
	int done = keys->n < MAX_KEYS ? check(key, certificate, err)
				      : invalid(err, "more than 32 keys");

	if (done < 0) {
		EVP_PKEY_free(key);
		X509_free(certificate);
		return -1;
	}
	keys->list = mem_grow(keys->list, keys->n + 1, sizeof(*keys->list));
	keys->list[keys->n++] = (struct ocicrypt_key) { .key = key, .certificate = certificate };
	return 0;
}

int ocicrypt_keys_add_jwk(struct ocicrypt_keys *keys, const json_t *jwk, struct err *err)
{
	EVP_PKEY *key = NULL;

	if (json_object_get(jwk, "use") && !json_text_is(jwk, "use", "enc"))
		return invalid(err, "the JWK is not for encryption");
	if (jose_key_to_evp(jwk, &key, err) < 0)
		return -1;
	return ocicrypt_keys_add(keys, key, NULL, err);
}

int ocicrypt_keys_add_public(
	struct ocicrypt_keys *keys, const char *pem, size_t len, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	if (!key)
		return invalid(err, "not a PEM public key");
	return ocicrypt_keys_add(keys, key, NULL, err);
}

/* --- certificates --- */

static X509 *read_certificate(const char *pem, size_t len)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return certificate;
}

int ocicrypt_keys_add_certificate(
	struct ocicrypt_keys *keys, const char *pem, size_t len, struct err *err)
{
	X509 *certificate = read_certificate(pem, len);
	EVP_PKEY *key = certificate ? X509_get_pubkey(certificate) : NULL;

	if (!key) {
		X509_free(certificate);
		return invalid(err, "not a PEM certificate");
	}
	return ocicrypt_keys_add(keys, key, certificate, err);
}

int ocicrypt_keys_match(struct ocicrypt_keys *keys, const char *pem, size_t len, struct err *err)
{
	X509 *certificate = read_certificate(pem, len);

	if (!certificate)
		return invalid(err, "not a PEM certificate");
	for (size_t i = 0; i < keys->n; i++) {
		struct ocicrypt_key *key = &keys->list[i];

		if (!key->certificate &&
			EVP_PKEY_eq(key->key, X509_get0_pubkey(certificate)) == 1) {
			key->certificate = certificate;
			return 0;
		}
	}
	X509_free(certificate);
	return invalid(err, "none of the keys is that of the certificate");
}

void ocicrypt_keys_release(struct ocicrypt_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		EVP_PKEY_free(keys->list[i].key);
		X509_free(keys->list[i].certificate);
	}
	free(keys->list);
	*keys = (struct ocicrypt_keys) { .n = 0 };
}
