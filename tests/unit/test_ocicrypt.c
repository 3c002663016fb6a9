/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ocicrypt layers: skopeo's layer opens here, our own goes round, and every alteration of blob or
 * descriptor is refused by its own code. More of skopeo's images are read when STRONGROOM_VECTORS
 * names their folder.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/id.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"
#include "tests/support/ocicrypt_file.h"
#include "tests/unit/check.h"

#define DATA "tests/data/ocicrypt-ec/"

static struct err err;

static json_t *read_json(const char *path)
{
	auto_buf text = BUF_INIT(1 << 20);

	CHECK(buf_read_file(&text, path, &err) == 0);
	return text.len ? json_parse((char *)text.data, text.len, &err) : NULL;
}

static json_t *read_key(const char *path)
{
	auto_key EVP_PKEY *key = NULL;
	auto_buf pem = BUF_INIT(1 << 16);
	json_t *jwk = NULL;

	CHECK(buf_read_file(&pem, path, &err) == 0);
	CHECK(cert_key_read((char *)pem.data, pem.len, &key, &err) == 0);
	CHECK(jose_key_from_evp(key, "enc", &jwk, &err) == 0);
	return jwk;
}

static int memory_file(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static void digest_of(int fd, char ret_text[DIGEST_TEXT_SIZE])
{
	off_t len = lseek(fd, 0, SEEK_END);
	auto_free unsigned char *data = mem_alloc((size_t)len);

	CHECK(pread(fd, data, (size_t)len, 0) == len);
	digest_text(data, (size_t)len, ret_text);
}

static struct ocicrypt_keys keys_of(const json_t *jwk)
{
	struct ocicrypt_keys keys = { .n = 0 };

	CHECK(ocicrypt_keys_add_jwk(&keys, jwk, &err) == 0);
	return keys;
}

/* Opens and decrypts; the digest of what came out goes to ret_digest. */
static int decrypt_by(const json_t *descriptor, const struct ocicrypt_keys *keys, int in_fd,
	char ret_digest[DIGEST_TEXT_SIZE])
{
	struct ocicrypt_layer *layer = NULL;
	auto_fd int out = memory_file("", 0);
	int done;

	err_clear(&err);
	if (ocicrypt_open(descriptor, keys, &layer, &err) < 0)
		return -1;
	CHECK(ocicrypt_file_add(layer, in_fd, &err) == 0);
	done = ocicrypt_decrypt(layer, in_fd, out, NULL, &err);
	if (done < 0)
		CHECK_NUMBER(lseek(out, 0, SEEK_END),
			strcmp(err.code, "image.inner_digest") == 0 ? 20 : 0);
	if (done == 0) {
		digest_of(out, ret_digest);
		CHECK_TEXT(ocicrypt_inner_digest(layer), ret_digest);
	}
	ocicrypt_layer_free(layer);
	return done;
}

static int decrypt(
	const json_t *descriptor, const json_t *jwk, int in_fd, char ret_digest[DIGEST_TEXT_SIZE])
{
	auto_ocicrypt_keys keys = keys_of(jwk);

	return decrypt_by(descriptor, &keys, in_fd, ret_digest);
}

static void test_skopeo_layer(void)
{
	auto_json json_t *manifest = read_json(DATA "manifest.json"),
			 *key = read_key(DATA "image-key.pem");
	const json_t *descriptor = json_array_get(json_object_get(manifest, "layers"), 0);
	auto_fd int in = open(DATA "layer.enc", O_RDONLY | O_CLOEXEC);
	char digest[DIGEST_TEXT_SIZE] = "", expected[DIGEST_TEXT_SIZE];
	auto_json json_t *other = jose_key_new("enc");

	CHECK(decrypt(descriptor, key, in, digest) == 0);
	CHECK(digest_file(DATA "layer.tar.gz", expected, &(long long) { 0 }, &err) == 0);
	CHECK_TEXT(digest, expected);
	CHECK(ocicrypt_check_manifest(manifest, &err) == 0);
	CHECK_FAILS(decrypt(descriptor, other, in, digest), &err, "image.unwrap");
}

/* --- our own layers --- */

struct layer {
	json_t *private, *public, *descriptor;
	int fd;
	struct ocicrypt_result result;
};

static struct layer make(const void *plain, size_t len)
{
	auto_fd int in = memory_file(plain, len);
	struct layer l = { .private = jose_key_new("enc"), .fd = memory_file("", 0) };

	auto_ocicrypt_keys keys = { .n = 0 };

	l.public = jose_key_public(l.private);
	keys = keys_of(l.public);
	CHECK(ocicrypt_encrypt(in, l.fd, &keys, NULL, &l.result, &err) == 0);
	l.descriptor = json_pack("{s:s,s:s,s:I,s:O}", "mediaType",
		"application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "digest", l.result.digest,
		"size", (json_int_t)l.result.size, "annotations", l.result.annotations);
	return l;
}

static void release(struct layer *l)
{
	json_decref(l->private);
	json_decref(l->public);
	json_decref(l->descriptor);
	json_decref(l->result.annotations);
	close(l->fd);
}

static void test_round_trip(void)
{
	static const size_t sizes[] = { 0, 1, 16, 17, 131071, 131072, 131073, 3 * 1024 * 1024 + 5 };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		auto_free unsigned char *plain = mem_alloc(sizes[i]);
		char expected[DIGEST_TEXT_SIZE], digest[DIGEST_TEXT_SIZE] = "";
		struct layer l;

		rand_bytes(plain, sizes[i] < 4096 ? sizes[i] : 4096);
		digest_text(plain, sizes[i], expected);
		l = make(plain, sizes[i]);
		CHECK_NUMBER(l.result.size, sizes[i]);
		CHECK_TEXT(l.result.inner_digest, expected);
		digest_of(l.fd, digest);
		CHECK_TEXT(l.result.digest, digest);
		CHECK(decrypt(l.descriptor, l.private, l.fd, digest) == 0);
		CHECK_TEXT(digest, expected);
		release(&l);
	}
}

/* Rewrites one text annotation that holds base64 of JSON. */
static void rewrite(json_t *descriptor, const char *name, const char *member, json_t *value)
{
	json_t *annotations = json_object_get(descriptor, "annotations");
	auto_free char *encoding = NULL, *text = NULL;
	auto_json json_t *options = NULL;
	unsigned char *data = NULL;
	size_t len = 0;

	CHECK(codec_b64_decode(json_text(annotations, name), strlen(json_text(annotations, name)),
		      &data, &len, &err) == 0);
	options = json_parse((char *)data, len, &err);
	free(data);
	if (value)
		json_object_set_new(options, member, value);
	else
		json_object_del(options, member);
	text = json_dumps(options, JSON_COMPACT);
	encoding = codec_b64_text(text, strlen(text));
	json_object_set_new(annotations, name, json_string(encoding));
}

static void expect_rewritten(
	const struct layer *l, const char *member, json_t *value, const char *code)
{
	auto_json json_t *bad = json_deep_copy(l->descriptor), *manifest = NULL;
	char digest[DIGEST_TEXT_SIZE];

	rewrite(bad, OCICRYPT_PUBOPTS, member, value);
	CHECK_FAILS(decrypt(bad, l->private, l->fd, digest), &err, code);
	manifest = json_pack("{s:[O]}", "layers", bad);
	if (strcmp(code, "image.pubopts") == 0)
		CHECK_FAILS(ocicrypt_check_manifest(manifest, &err), &err, "image.not_encrypted");
}

static void test_public_options(void)
{
	struct layer l = make("plaintext of a layer", 20);
	json_t *zeros = json_string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");

	expect_rewritten(&l, "cipheroptions",
		json_pack("{s:s}", "nonce", "AAAAAAAAAAAAAAAAAAAAAA=="), "image.pubopts");
	expect_rewritten(&l, "cipheroptions", json_string("x"), "image.pubopts");
	expect_rewritten(&l, "cipher", json_string("AES_128_CTR"), "image.pubopts");
	expect_rewritten(&l, "cipher", NULL, "image.pubopts");
	expect_rewritten(&l, "hmac", NULL, "image.pubopts");
	expect_rewritten(&l, "hmac", json_string("AAAA"), "image.pubopts");
	expect_rewritten(&l, "digest", json_string("x"), "image.pubopts");
	expect_rewritten(&l, "hmac", zeros, "image.hmac");
	release(&l);
}

/* Another value, whatever it is. */
static void flip(int fd)
{
	unsigned char byte = 0;

	CHECK(pread(fd, &byte, 1, 3) == 1);
	byte ^= 1;
	CHECK(pwrite(fd, &byte, 1, 3) == 1);
}

static void test_altered_blob(void)
{
	struct layer l = make("plaintext of a layer", 20);
	auto_json json_t *shorter = json_deep_copy(l.descriptor),
			 *longer = json_deep_copy(l.descriptor);
	char digest[DIGEST_TEXT_SIZE];

	json_object_set_new(shorter, "size", json_integer(19));
	CHECK_FAILS(decrypt(shorter, l.private, l.fd, digest), &err, "image.digest");
	json_object_set_new(shorter, "size", json_string("20"));
	CHECK_FAILS(decrypt(shorter, l.private, l.fd, digest), &err, "image.digest");
	json_object_set_new(longer, "size", json_integer(21));
	CHECK_FAILS(decrypt(longer, l.private, l.fd, digest), &err, "image.digest");
	flip(l.fd);
	CHECK_FAILS(decrypt(l.descriptor, l.private, l.fd, digest), &err, "image.hmac");
	release(&l);
}

/* Other bytes than those that were added: the inner digest stands against them. */
static void test_changed_later(void)
{
	struct layer l = make("plaintext of a layer", 20);
	auto_ocicrypt_keys keys = keys_of(l.private);
	struct ocicrypt_layer *layer = NULL;
	auto_fd int out = memory_file("", 0);

	CHECK(ocicrypt_open(l.descriptor, &keys, &layer, &err) == 0);
	CHECK(ocicrypt_file_add(layer, l.fd, &err) == 0);
	flip(l.fd);
	CHECK_FAILS(ocicrypt_decrypt(layer, l.fd, out, NULL, &err), &err, "image.inner_digest");
	ocicrypt_layer_free(layer);
	release(&l);
}

/* A packet whose inner digest is another layer's, wrapped properly: all but the inner digest fits.
 */
static void test_inner_digest(void)
{
	struct layer l = make("plaintext of a layer", 20);
	json_t *annotations = json_object_get(l.descriptor, "annotations");
	auto_json json_t *jwe = NULL, *options = NULL, *again = NULL;
	auto_free char *text = NULL, *packet = NULL, *encoding = NULL;
	unsigned char *data = NULL, *plain = NULL;
	char digest[DIGEST_TEXT_SIZE];
	size_t len = 0;

	CHECK(codec_b64_decode(json_text(annotations, OCICRYPT_JWE),
		      strlen(json_text(annotations, OCICRYPT_JWE)), &data, &len, &err) == 0);
	jwe = json_parse((char *)data, len, &err);
	free(data);
	CHECK(jose_decrypt(l.private, NULL, jwe, NULL, &plain, &len, &err) == 0);
	options = json_parse((char *)plain, len, &err);
	mem_wipe_free(plain, len);
	json_object_set_new(options, "digest",
		json_string(
			"sha256:0000000000000000000000000000000000000000000000000000000000000000"));
	text = json_dumps(options, 0);
	CHECK(jose_encrypt(l.public, NULL, text, strlen(text), &again, &err) == 0);
	packet = json_dumps(again, 0);
	encoding = codec_b64_text(packet, strlen(packet));
	json_object_set_new(annotations, OCICRYPT_JWE, json_string(encoding));
	CHECK_FAILS(decrypt(l.descriptor, l.private, l.fd, digest), &err, "image.inner_digest");
	release(&l);
}

static void test_packets(void)
{
	struct layer l = make("plaintext of a layer", 20), other = make("x", 1);
	json_t *annotations = json_object_get(l.descriptor, "annotations");
	auto_free char *good = mem_strdup(json_text(annotations, OCICRYPT_JWE)), *both = NULL;
	char digest[DIGEST_TEXT_SIZE];

	/* the second of two packets is ours */
	both = mem_printf("%s,%s", json_text(other.result.annotations, OCICRYPT_JWE), good);
	json_object_set_new(annotations, OCICRYPT_JWE, json_string(both));
	CHECK(decrypt(l.descriptor, l.private, l.fd, digest) == 0);
	json_object_set_new(annotations, OCICRYPT_JWE, json_string("e30=,AA,,"));
	CHECK_FAILS(decrypt(l.descriptor, l.private, l.fd, digest), &err, "image.unwrap");
	json_object_del(annotations, OCICRYPT_JWE);
	CHECK_FAILS(decrypt(l.descriptor, l.private, l.fd, digest), &err, "image.no_packet");
	json_object_set_new(l.descriptor, "mediaType",
		json_string("application/vnd.oci.image.layer.v1.tar+gzip"));
	CHECK_FAILS(decrypt(l.descriptor, l.private, l.fd, digest), &err, "image.not_encrypted");
	release(&l);
	release(&other);
}

static void expect_manifest(const json_t *manifest)
{
	CHECK_FAILS(ocicrypt_check_manifest(manifest, &err), &err, "image.not_encrypted");
}

static void test_manifest_rule(void)
{
	struct layer l = make("x", 1);
	auto_json json_t *plain = json_pack("{s:s,s:s,s:i}", "mediaType",
		"application/vnd.oci.image.layer.v1.tar+gzip", "digest", l.result.digest, "size",
		1);
	auto_json json_t *none = json_pack("{s:[]}", "layers"),
			 *mixed = json_pack("{s:[O,O]}", "layers", l.descriptor, plain);
	auto_json json_t *good = json_pack("{s:[O,O]}", "layers", l.descriptor, l.descriptor),
			 *empty = json_object();
	auto_json json_t *no_packet = json_deep_copy(good), *bad_packet = json_deep_copy(good);
	auto_json json_t *layers = NULL;

	CHECK(ocicrypt_check_manifest(good, &err) == 0);
	expect_manifest(NULL);
	expect_manifest(empty);
	expect_manifest(none);
	expect_manifest(mixed);
	CHECK(strstr(err.detail, "layer 1") != NULL);
	CHECK(ocicrypt_check_layers(none, &layers, &err) == 0 && json_array_size(layers) == 0);
	json_decref(layers);
	CHECK(ocicrypt_check_layers(mixed, &layers, &err) == 0);
	CHECK(json_array_size(json_array_get(layers, 0)) == 1);
	CHECK(json_is_null(json_array_get(layers, 1)));
	json_object_del(json_object_get(json_array_get(json_object_get(no_packet, "layers"), 0),
				"annotations"),
		OCICRYPT_JWE);
	expect_manifest(no_packet);
	json_object_set_new(
		json_object_get(
			json_array_get(json_object_get(bad_packet, "layers"), 0), "annotations"),
		OCICRYPT_JWE, json_string("e30="));
	expect_manifest(bad_packet);
	release(&l);
}

/* --- skopeo's images --- */

static void add_key(struct ocicrypt_keys *keys, const char *folder, const char *name)
{
	auto_free char *path = mem_printf("%s/ocicrypt/%s", folder, name);
	auto_buf pem = BUF_INIT(1 << 16);
	EVP_PKEY *key = NULL;

	CHECK(buf_read_file(&pem, path, &err) == 0);
	if (strstr(name, "cert")) {
		CHECK(ocicrypt_keys_match(keys, (char *)pem.data, pem.len, &err) == 0);
		return;
	}
	CHECK(cert_key_read((char *)pem.data, pem.len, &key, &err) == 0);
	CHECK(ocicrypt_keys_add(keys, key, NULL, &err) == 0);
}

static void test_vector(const char *folder, const char *image, const char *const *names,
	const char *expected, const char *code)
{
	auto_free char *manifest_path = mem_printf("%s/ocicrypt/%s.manifest.json", folder, image);
	auto_ocicrypt_keys keys = { .n = 0 };
	auto_json json_t *manifest = read_json(manifest_path);
	const json_t *descriptor = json_array_get(json_object_get(manifest, "layers"), 0);
	auto_free char *blob = mem_printf("%s/ocicrypt/%s/blobs/sha256/%s", folder, image,
		json_text(descriptor, "digest") + 7);
	auto_fd int in = open(blob, O_RDONLY | O_CLOEXEC);
	char digest[DIGEST_TEXT_SIZE] = "";

	for (; *names; names++)
		add_key(&keys, folder, *names);
	CHECK(ocicrypt_check_manifest(manifest, &err) == 0);
	if (code) {
		CHECK_FAILS(decrypt_by(descriptor, &keys, in, digest), &err, code);
	} else {
		CHECK(decrypt_by(descriptor, &keys, in, digest) == 0);
		CHECK_TEXT(digest, expected);
	}
}

#define SM "sha256:200ea924b9cad8b953677f3a59b2d15bfb58326aae6882fd17fa010a94acd8c3"
#define BB "sha256:15fd53422db3952d60f2dd3f67ad66cfa70c842d68d83bd40a41edb60dc34d1f"

static void test_vectors(const char *folder)
{
	static const struct {
		const char *image, *names[4], *expected, *code;
	} cases[] = {
		{ "bb-jwe", { "jwe-priv.pem" }, BB, NULL },
		{ "bb-jwe", { "jwe2-priv.pem", "ec-priv.pem" }, NULL, "image.unwrap" },
		{ "sm-jwe-rsa", { "jwe-priv.pem" }, SM, NULL },
		{ "sm-jwe-rsa", { "jwe2-priv.pem", "ec-priv.pem", "jwe-priv.pem" }, SM, NULL },
		{ "sm-jwe-ec", { "ec-priv.pem" }, SM, NULL },
		{ "sm-jwe-ec", { "jwe-priv.pem" }, NULL, "image.unwrap" },
		{ "sm-pkcs7", { "pkcs7-priv.pem", "pkcs7-cert.pem" }, SM, NULL },
		{ "sm-pkcs7", { "pkcs7-priv.pem" }, NULL, "image.unwrap" },
		{ "sm-multi", { "jwe-priv.pem" }, SM, NULL },
		{ "sm-multi", { "jwe2-priv.pem" }, SM, NULL },
		{ "sm-multi", { "pkcs7-priv.pem", "pkcs7-cert.pem" }, SM, NULL },
		{ "sm-multi", { "ec-priv.pem" }, NULL, "image.unwrap" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		test_vector(
			folder, cases[i].image, cases[i].names, cases[i].expected, cases[i].code);
}

int main(void)
{
	const char *folder = getenv("STRONGROOM_VECTORS");

	test_skopeo_layer();
	test_round_trip();
	test_public_options();
	test_altered_blob();
	test_changed_later();
	test_inner_digest();
	test_packets();
	test_manifest_rule();
	if (folder)
		test_vectors(folder);
	else
		puts("skipped: STRONGROOM_VECTORS is not set, further images of skopeo are not "
		     "read");
	CHECK_DONE();
}
