/* SPDX-License-Identifier: Apache-2.0 */
/* Layer keys for every kind of recipient: what each opens, and what nobody else does; rewrapping;
 * packets with one thing altered. */
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"
#include "lib/ocicrypt_packet.h"
#include "lib/pkcs7.h"
#include "tests/unit/check.h"

#define PLAIN "plaintext of a layer"

static struct err err;

/* --- keys --- */

static EVP_PKEY *p256, *p384, *rsa, *other_rsa;
static X509 *certificate, *other_certificate;

static X509 *certify(EVP_PKEY *key, const char *name)
{
	X509 *x509 = X509_new();

	ASN1_INTEGER_set(X509_get_serialNumber(x509), 0x7fff01);
	X509_gmtime_adj(X509_getm_notBefore(x509), 0);
	X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
	X509_set_pubkey(x509, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x509, X509_get_subject_name(x509));
	CHECK(X509_sign(x509, key, EVP_sha256()) > 0);
	return x509;
}

static void make_keys(void)
{
	p256 = EVP_EC_gen("P-256");
	p384 = EVP_EC_gen("P-384");
	rsa = EVP_RSA_gen(2048);
	other_rsa = EVP_RSA_gen(2048);
	certificate = certify(rsa, "one");
	other_certificate = certify(rsa, "two");
}

static void add(struct ocicrypt_keys *keys, EVP_PKEY *key, X509 *x509)
{
	EVP_PKEY_up_ref(key);
	if (x509)
		X509_up_ref(x509);
	CHECK(ocicrypt_keys_add(keys, key, x509, &err) == 0);
}

static struct ocicrypt_keys only(EVP_PKEY *key, X509 *x509)
{
	struct ocicrypt_keys keys = { .n = 0 };

	add(&keys, key, x509);
	return keys;
}

/* --- layers --- */

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static json_t *encrypt(const struct ocicrypt_keys *recipients, int out_fd)
{
	struct ocicrypt_result result = { .annotations = NULL };
	auto_fd int in = file_of(PLAIN, strlen(PLAIN));

	CHECK(ocicrypt_encrypt(in, out_fd, recipients, NULL, &result, &err) == 0);
	return json_pack("{s:s,s:s,s:I,s:o}", "mediaType",
		"application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "digest", result.digest,
		"size", (json_int_t)result.size, "annotations", result.annotations);
}

/* 0 when the plaintext comes out again. */
static int decrypt(const json_t *descriptor, const struct ocicrypt_keys *keys, int in_fd)
{
	struct ocicrypt_layer *layer = NULL;
	auto_fd int out = file_of("", 0);
	char text[64] = "";
	int done;

	err_clear(&err);
	if (ocicrypt_open(descriptor, keys, &layer, &err) < 0)
		return -1;
	done = ocicrypt_add_file(layer, in_fd, json_text(descriptor, "digest"), &err);
	if (done == 0)
		done = ocicrypt_decrypt(layer, in_fd, out, NULL, &err);
	if (done == 0) {
		CHECK_NUMBER(pread(out, text, sizeof(text) - 1, 0), (ssize_t)strlen(PLAIN));
		CHECK_TEXT(text, PLAIN);
	}
	ocicrypt_layer_free(layer);
	return done;
}

static void expect(const json_t *descriptor, int fd, EVP_PKEY *key, X509 *x509, const char *code)
{
	auto_ocicrypt_keys keys = only(key, x509);

	if (code)
		CHECK_FAILS(decrypt(descriptor, &keys, fd), &err, code);
	else
		CHECK(decrypt(descriptor, &keys, fd) == 0);
}

static void test_each_kind(void)
{
	const struct {
		EVP_PKEY *key;
		X509 *x509;
	} kinds[] = { { p256, NULL }, { p384, NULL }, { rsa, NULL }, { rsa, certificate } };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		auto_ocicrypt_keys keys = only(kinds[i].key, kinds[i].x509);
		auto_fd int fd = file_of("", 0);
		auto_json json_t *layer = encrypt(&keys, fd),
				 *manifest = json_pack("{s:[O]}", "layers", layer), *layers = NULL;

		CHECK(ocicrypt_check_layers(manifest, &layers, &err) == 0);
		CHECK(json_array_size(json_array_get(layers, 0)) == 1);
		expect(layer, fd, kinds[i].key, kinds[i].x509, NULL);
		expect(layer, fd, other_rsa, NULL, "image.unwrap");
		if (kinds[i].key != p256)
			expect(layer, fd, p256, NULL, "image.unwrap");
		if (kinds[i].key != p384)
			expect(layer, fd, p384, NULL, "image.unwrap");
		if (kinds[i].x509) {
			expect(layer, fd, rsa, NULL, "image.unwrap");
			expect(layer, fd, rsa, other_certificate, "image.unwrap");
		}
	}
}

static void test_many(void)
{
	auto_ocicrypt_keys keys = { .n = 0 };
	auto_fd int fd = file_of("", 0);
	auto_json json_t *layer = NULL;

	add(&keys, p384, NULL);
	add(&keys, other_rsa, NULL);
	add(&keys, rsa, certificate);
	layer = encrypt(&keys, fd);
	expect(layer, fd, p384, NULL, NULL);
	expect(layer, fd, other_rsa, NULL, NULL);
	expect(layer, fd, rsa, certificate, NULL);
	expect(layer, fd, rsa, NULL, "image.unwrap");
	expect(layer, fd, p256, NULL, "image.unwrap");
}

static void test_rewrap(void)
{
	auto_ocicrypt_keys old = only(p256, NULL), new = only(rsa, certificate);
	auto_fd int fd = file_of("", 0);
	auto_json json_t *layer = encrypt(&old, fd), *before = json_deep_copy(layer);

	add(&new, p384, NULL);
	json_object_set_new(json_object_get(layer, "annotations"), OCICRYPT_PACKETS "pgp",
		json_string("stale"));
	CHECK_FAILS(ocicrypt_rewrap(layer, &new, &new, &err), &err, "image.unwrap");
	expect(layer, fd, p256, NULL, NULL);
	CHECK(ocicrypt_rewrap(layer, &old, &new, &err) == 0);
	expect(layer, fd, p256, NULL, "image.unwrap");
	expect(layer, fd, p384, NULL, NULL);
	expect(layer, fd, rsa, certificate, NULL);
	CHECK(!json_object_get(json_object_get(layer, "annotations"), OCICRYPT_PACKETS "pgp"));
	CHECK_TEXT(json_text(layer, "digest"), json_text(before, "digest"));
	CHECK_TEXT(json_text(json_object_get(layer, "annotations"), OCICRYPT_PUBOPTS),
		json_text(json_object_get(before, "annotations"), OCICRYPT_PUBOPTS));
	ocicrypt_strip(json_object_get(layer, "annotations"), OCICRYPT_ANNOTATIONS);
	CHECK_NUMBER(json_object_size(json_object_get(layer, "annotations")), 0);
}

static void test_altered_file(void)
{
	auto_ocicrypt_keys keys = only(p384, NULL);
	auto_fd int fd = file_of("", 0);
	auto_json json_t *layer = encrypt(&keys, fd);
	char digest[DIGEST_TEXT_SIZE], bytes[sizeof(PLAIN) - 1];

	CHECK(pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes));
	bytes[3] ^= 1;
	CHECK(pwrite(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes));
	expect(layer, fd, p384, NULL, "image.digest");
	/* whoever alters the blob alters the descriptor too */
	digest_text(bytes, sizeof(bytes), digest);
	json_object_set_new(layer, "digest", json_string(digest));
	expect(layer, fd, p384, NULL, "image.hmac");
}

/* --- packets --- */

static bool opens(EVP_PKEY *key, const json_t *jwe)
{
	auto_free char *text = json_dumps(jwe, 0);
	unsigned char *plain = NULL;
	size_t len = 0;
	bool good = ocicrypt_jwe_open(key, text, strlen(text), &plain, &len);

	if (good)
		CHECK_TEXT((char *)plain, "secret");
	free(plain);
	return good;
}

static json_t *seal(EVP_PKEY *key)
{
	auto_free char *text = NULL;

	CHECK(ocicrypt_jwe_seal(key, "secret", 6, &text, &err) == 0);
	return json_parse(text, strlen(text), &err);
}

/* The first letter of a text member becomes another one. */
static void flip(json_t *object, const char *name)
{
	auto_free char *text = mem_strdup(json_text(object, name));

	*text = *text == 'A' ? 'B' : 'A';
	json_object_set_new(object, name, json_string(text));
}

static void test_jwe(void)
{
	static const char *const members[] = { "protected", "iv", "ciphertext", "tag",
		"encrypted_key" };
	EVP_PKEY *const keys[] = { p256, p384, rsa };

	for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
		auto_json json_t *jwe = seal(keys[k]);

		CHECK(opens(keys[k], jwe));
		for (size_t i = 0; i < ARRAY_LEN(members); i++) {
			auto_json json_t *bad = json_deep_copy(jwe), *less = json_deep_copy(jwe);

			flip(bad, members[i]);
			CHECK(!opens(keys[k], bad));
			json_object_del(less, members[i]);
			CHECK(!opens(keys[k], less));
		}
		json_object_set_new(jwe, "aad", json_string("AAAA"));
		CHECK(!opens(keys[k], jwe));
	}
}

/* An algorithm that stands in two headers is two algorithms. */
static void test_jwe_headers(void)
{
	auto_json json_t *jwe = seal(rsa), *general = json_deep_copy(jwe);
	json_t *recipient =
		json_pack("{s:O}", "encrypted_key", json_object_get(jwe, "encrypted_key"));

	json_object_set_new(general, "recipients", json_pack("[o]", recipient));
	json_object_set_new(general, "encrypted_key", json_string("AAAA")); /* skopeo's copy */
	CHECK(opens(rsa, general));
	json_object_set_new(recipient, "header", json_pack("{s:s}", "kid", "somebody"));
	CHECK(opens(rsa, general));
	json_object_set_new(recipient, "header", json_pack("{s:s}", "alg", "RSA-OAEP"));
	CHECK(!opens(rsa, general));
	json_object_set_new(jwe, "header", json_pack("{s:s}", "alg", "RSA-OAEP-256"));
	CHECK(!opens(rsa, jwe));
}

static void test_pkcs7(void)
{
	unsigned char *der = NULL, *plain = NULL;
	size_t len = 0, plain_len = 0;
	unsigned opened = 0;

	CHECK(pkcs7_seal(certificate, "secret", 6, &der, &len, &err) == 0);
	CHECK(pkcs7_open(certificate, rsa, der, len, &plain, &plain_len));
	CHECK_TEXT((char *)plain, "secret");
	free(plain);
	CHECK(!pkcs7_open(certificate, other_rsa, der, len, &plain, &plain_len));
	CHECK(!pkcs7_open(certificate, p256, der, len, &plain, &plain_len));
	for (size_t i = 0; i < len;
		i++) { /* every byte; what counts is that none gives another text */
		der[i] ^= 1;
		plain = NULL;
		if (pkcs7_open(certificate, rsa, der, len, &plain, &plain_len)) {
			CHECK_TEXT((char *)plain, "secret");
			opened++;
		}
		free(plain);
		der[i] ^= 1;
		CHECK(!pkcs7_open(certificate, rsa, der, i, &plain, &plain_len));
	}
	CHECK(opened < 8); /* version numbers and the like */
	free(der);
}

static void test_refused_keys(void)
{
	auto_ocicrypt_keys keys = { .n = 0 };
	auto_key EVP_PKEY *p521 = EVP_EC_gen("P-521"), *weak = EVP_RSA_gen(1024);
	auto_json json_t *signer = jose_key_new("sig");

	EVP_PKEY_up_ref(p521);
	CHECK_FAILS(ocicrypt_keys_add(&keys, p521, NULL, &err), &err, "cert.key_type");
	EVP_PKEY_up_ref(weak);
	CHECK_FAILS(ocicrypt_keys_add(&keys, weak, NULL, &err), &err, "cert.key_weak");
	EVP_PKEY_up_ref(p256);
	X509_up_ref(certificate);
	CHECK_FAILS(ocicrypt_keys_add(&keys, p256, certificate, &err), &err, "key.invalid");
	CHECK_FAILS(ocicrypt_keys_add_jwk(&keys, signer, &err), &err, "key.invalid");
	CHECK_FAILS(ocicrypt_keys_add_public(&keys, "x", 1, &err), &err, "key.invalid");
	CHECK_FAILS(ocicrypt_keys_add_certificate(&keys, "x", 1, &err), &err, "key.invalid");
	CHECK_NUMBER(keys.n, 0);
}

int main(void)
{
	make_keys();
	test_each_kind();
	test_many();
	test_rewrap();
	test_altered_file();
	test_jwe();
	test_jwe_headers();
	test_pkcs7();
	test_refused_keys();
	EVP_PKEY_free(p256);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(other_rsa);
	X509_free(certificate);
	X509_free(other_certificate);
	CHECK_DONE();
}
