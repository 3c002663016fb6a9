/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of people and services as cert.h sees them: P-256, P-384, RSA from 2048 bits and Ed25519,
 * each in one encoding only (named curve, uncompressed point), so that one key has one SPKI digest.
 */
#include "lib/cert_key.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

#include "lib/mem.h"

#define MAX_KEY_PEM (16u * 1024)
#define MAX_SPKI_DER 2048
#define MIN_RSA_BITS 2048
#define MAX_RSA_BITS 8192
#define MIN_STRENGTH 112 /* bits, as NIST SP 800-57 counts them: RSA-2048 has that many */
#define P256_POINT 65

static int failed(struct err *err, enum err_kind kind, const char *code, const char *what)
{
	ERR_clear_error();
	return err_set(err, kind, code, "%s", what);
}

static bool has_param(EVP_PKEY *key, const char *name, const char *value)
{
	char text[64];

	return EVP_PKEY_get_utf8_string_param(key, name, text, sizeof(text), NULL) == 1 &&
	       strcmp(text, value) == 0;
}

static const char *curve_of(EVP_PKEY *key)
{
	if (!has_param(key, OSSL_PKEY_PARAM_EC_ENCODING, "named_curve") ||
		!has_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed"))
		return NULL;
	if (has_param(key, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1"))
		return "EC-P256";
	if (has_param(key, OSSL_PKEY_PARAM_GROUP_NAME, "secp384r1"))
		return "EC-P384";
	return NULL;
}

int cert_key_algorithm(EVP_PKEY *key, char ret_name[CERT_ALGORITHM_SIZE], struct err *err)
{
	int bits = EVP_PKEY_get_bits(key);
	const char *name = NULL;

	if (EVP_PKEY_get_security_bits(key) < MIN_STRENGTH ||
		(EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && bits < MIN_RSA_BITS))
		return failed(err, ERR_INVALID, "cert.key_weak",
			"the key is too weak: RSA needs 2048 bits, curves P-256 or P-384");
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_ED25519:
		name = "Ed25519";
		break;
	case EVP_PKEY_EC:
		name = curve_of(key);
		break;
	case EVP_PKEY_RSA:
		if (bits > MAX_RSA_BITS)
			break;
		snprintf(ret_name, CERT_ALGORITHM_SIZE, "RSA-%d", bits);
		return 0;
	default:
		break;
	}
	if (!name)
		return failed(err, ERR_INVALID, "cert.key_type",
			"the key is none of P-256, P-384, RSA (2048 to 8192 bits) and Ed25519");
	snprintf(ret_name, CERT_ALGORITHM_SIZE, "%s", name);
	return 0;
}

int cert_key_new(EVP_PKEY **ret_key, struct err *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (!key)
		return failed(err, ERR_INTERNAL, "internal.crypto", "cannot make a P-256 key");
	*ret_key = key;
	return 0;
}

static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

int cert_key_read(const char *pem, size_t len, EVP_PKEY **ret_key, struct err *err)
{
	char algorithm[CERT_ALGORITHM_SIZE];
	EVP_PKEY *key;
	BIO *bio;

	if (len > MAX_KEY_PEM)
		return err_set(err, ERR_TOO_LARGE, "cert.too_large", "the key file is too large");
	bio = BIO_new_mem_buf(pem, (int)len);
	key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	if (!key)
		return failed(err, ERR_INVALID, "cert.syntax",
			"not a PEM private key without passphrase");
	if (cert_key_algorithm(key, algorithm, err) < 0) {
		EVP_PKEY_free(key);
		return -1;
	}
	*ret_key = key;
	return 0;
}

int cert_key_write(EVP_PKEY *key, char **ret_pem, struct err *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *data = NULL;
	int done;
	long len;

	done = bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
	len = done ? BIO_get_mem_data(bio, &data) : 0;
	if (len > 0)
		*ret_pem = mem_strndup(data, (size_t)len);
	BIO_free(bio); /* wipes what it held */
	if (len <= 0)
		return failed(err, ERR_INTERNAL, "internal.crypto", "cannot write the private key");
	return 0;
}

/* --- SubjectPublicKeyInfo --- */

/* OpenSSL 3.0 looks its encoders and decoders up at each call, which takes longer than a signature.
 * The keys that nearly everybody has are these bytes and a point, so that they go without. */
static const unsigned char p256_head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
	0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03,
	0x42, 0x00 };
#define P256_SPKI (sizeof(p256_head) + P256_POINT)

static EVP_PKEY *p256_parameters; /* of a key that nobody keeps; made once */

static void make_p256_parameters(void)
{
	p256_parameters = EVP_EC_gen("P-256");
}

static EVP_PKEY *p256_read(const unsigned char *point)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	EVP_PKEY *key = EVP_PKEY_new();

	pthread_once(&once, make_p256_parameters);
	if (p256_parameters && key && EVP_PKEY_copy_parameters(key, p256_parameters) == 1 &&
		EVP_PKEY_set1_encoded_public_key(key, point, P256_POINT) == 1)
		return key; /* and the point is on the curve */
	EVP_PKEY_free(key);
	return NULL;
}

/* False when the key is of another kind. */
static bool p256_write(EVP_PKEY *key, unsigned char **ret_der, size_t *ret_len)
{
	const char *curve = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC ? curve_of(key) : NULL;
	unsigned char *point = NULL;
	bool good;

	if (!curve || strcmp(curve, "EC-P256") != 0)
		return false;
	good = EVP_PKEY_get1_encoded_public_key(key, &point) == P256_POINT;
	if (good) {
		*ret_der = mem_alloc(P256_SPKI);
		*ret_len = P256_SPKI;
		memcpy(*ret_der, p256_head, sizeof(p256_head));
		memcpy(*ret_der + sizeof(p256_head), point, P256_POINT);
	}
	OPENSSL_free(point);
	return good;
}

int cert_spki_der(EVP_PKEY *key, unsigned char **ret_der, size_t *ret_len, struct err *err)
{
	unsigned char *der = NULL;
	int len;

	if (p256_write(key, ret_der, ret_len))
		return 0;
	len = i2d_PUBKEY(key, &der);
	if (len <= 0)
		return failed(err, ERR_INTERNAL, "internal.crypto", "cannot encode the public key");
	*ret_der = mem_dup(der, (size_t)len);
	*ret_len = (size_t)len;
	OPENSSL_free(der);
	return 0;
}

int cert_spki(EVP_PKEY *key, char ret_spki[DIGEST_TEXT_SIZE], struct err *err)
{
	auto_free unsigned char *der = NULL;
	size_t len = 0;

	if (cert_spki_der(key, &der, &len, err) < 0)
		return -1;
	digest_text(der, len, ret_spki);
	return 0;
}

/* Whether the key's own encoding is byte for byte what was read: BER's other spellings are refused.
 */
static bool is_canonical(EVP_PKEY *key, const void *der, size_t len)
{
	unsigned char *again = NULL;
	int again_len = i2d_PUBKEY(key, &again);
	bool same = again_len > 0 && (size_t)again_len == len && memcmp(again, der, len) == 0;

	OPENSSL_free(again);
	return same;
}

int cert_spki_read(const void *der, size_t len, EVP_PKEY **ret_key, struct err *err)
{
	char algorithm[CERT_ALGORITHM_SIZE];
	const unsigned char *at = der;
	EVP_PKEY *key;

	if (len > MAX_SPKI_DER)
		return err_set(err, ERR_TOO_LARGE, "cert.too_large", "the public key is too large");
	if (len == P256_SPKI && memcmp(der, p256_head, sizeof(p256_head)) == 0 &&
		at[sizeof(p256_head)] == POINT_CONVERSION_UNCOMPRESSED) {
		key = p256_read(at + sizeof(p256_head));
	} else {
		key = d2i_PUBKEY(NULL, &at, (long)len);
		if (key && !is_canonical(key, der, len)) {
			EVP_PKEY_free(key);
			key = NULL;
		}
	}
	if (!key)
		return failed(err, ERR_INVALID, "cert.syntax", "not a DER SubjectPublicKeyInfo");
	if (cert_key_algorithm(key, algorithm, err) < 0) {
		EVP_PKEY_free(key);
		return -1;
	}
	*ret_key = key;
	return 0;
}

static const EVP_MD *digest_for(EVP_PKEY *key)
{
	return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
}

int cert_sign(EVP_PKEY *key, const void *data, size_t len, unsigned char **ret_sig, size_t *ret_len,
	struct err *err)
{
	size_t sig_len = (size_t)EVP_PKEY_get_size(key);
	auto_free unsigned char *sig = mem_alloc(sig_len);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool done;

	done = ctx && EVP_DigestSignInit(ctx, NULL, digest_for(key), NULL, key) == 1 &&
	       EVP_DigestSign(ctx, sig, &sig_len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	if (!done)
		return failed(err, ERR_INTERNAL, "internal.crypto", "cannot sign");
	*ret_sig = take_ptr(sig);
	*ret_len = sig_len;
	return 0;
}

int cert_verify(EVP_PKEY *key, const void *data, size_t len, const void *sig, size_t sig_len,
	struct err *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good;

	good = ctx && EVP_DigestVerifyInit(ctx, NULL, digest_for(key), NULL, key) == 1 &&
	       EVP_DigestVerify(ctx, sig, sig_len, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	if (!good)
		return failed(err, ERR_UNPROCESSABLE, "cert.signature",
			"the signature is not by this key over these bytes");
	return 0;
}
