/* SPDX-License-Identifier: Apache-2.0 */
/* JWE: skopeo's key packet opens, our own round trip, and every shape but the one is refused. */
#include <stdlib.h>

#include "lib/buf.h"
#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/ocicrypt.h"
#include "tests/unit/check.h"

static const char *const TYP[] = { "typ", NULL };

static json_t *parse(const char *text)
{
	return json_parse(text, strlen(text), NULL);
}

static void test_skopeo_packet(void)
{
	auto_buf manifest_text = BUF_INIT(65536), pem = BUF_INIT(65536);
	auto_json json_t *manifest = NULL, *jwk = NULL, *jwe = NULL, *options = NULL;
	struct err err = { .kind = ERR_NONE };
	auto_key EVP_PKEY *key = NULL;
	unsigned char *packet = NULL, *plain = NULL;
	size_t packet_len = 0, len = 0;
	const json_t *annotations;
	const char *text;

	CHECK(buf_read_file(&manifest_text, "tests/data/ocicrypt-ec/manifest.json", &err) == 0);
	CHECK(buf_read_file(&pem, "tests/data/ocicrypt-ec/image-key.pem", &err) == 0);
	manifest = json_parse((char *)manifest_text.data, manifest_text.len, &err);
	annotations = json_object_get(
		json_array_get(json_object_get(manifest, "layers"), 0), "annotations");
	text = json_text(annotations, OCICRYPT_JWE);
	CHECK(codec_b64_decode(text, strlen(text), &packet, &packet_len, &err) == 0);
	jwe = json_parse((char *)packet, packet_len, &err);
	CHECK(cert_key_read((char *)pem.data, pem.len, &key, &err) == 0);
	CHECK(jose_key_from_evp(key, "enc", &jwk, &err) == 0);
	CHECK(jose_decrypt(jwk, NULL, jwe, NULL, &plain, &len, &err) == 0);
	options = plain ? json_parse((char *)plain, len, &err) : NULL;
	CHECK_TEXT(json_text(options, "digest"),
		"sha256:f25bf49d282cda2e3f7e0f763e6aff1dd3229bd33966a422752b30638f0824bb");
	mem_wipe_free(plain, len);
	free(packet);
}

struct fixture {
	json_t *private, *public, *jwe;
};

static struct fixture make(void)
{
	auto_json json_t *header = json_pack("{s:s}", "typ", "test+jwe");
	struct fixture f = { .private = jose_key_new("enc") };

	f.public = jose_key_public(f.private);
	CHECK(jose_encrypt(f.public, header, "secret words", 12, &f.jwe, NULL) == 0);
	return f;
}

static void release(struct fixture *f)
{
	json_decref(f->private);
	json_decref(f->public);
	json_decref(f->jwe);
}

/* The code that opening `jwe` fails with; "" when it opens. */
static void open_fails(const json_t *key, const json_t *jwe, const char *code)
{
	unsigned char *plain = NULL;
	struct err err = { .kind = ERR_NONE };
	size_t len = 0;

	CHECK_FAILS(jose_decrypt(key, TYP, jwe, NULL, &plain, &len, &err), &err, code);
	CHECK(plain == NULL && len == 0);
}

static void test_round_trip(void)
{
	auto_json json_t *header = NULL, *other = jose_key_new("enc"), *sig = jose_key_new("sig");
	struct err err = { .kind = ERR_NONE };
	struct fixture f = make();
	unsigned char *plain = NULL;
	size_t len = 0;

	CHECK(jose_decrypt(f.private, TYP, f.jwe, &header, &plain, &len, &err) == 0);
	CHECK_NUMBER(len, 12);
	CHECK_TEXT((char *)plain, "secret words");
	CHECK_TEXT(json_text(header, "typ"), "test+jwe");
	mem_wipe_free(plain, len);
	open_fails(other, f.jwe, "jose.decrypt");
	open_fails(sig, f.jwe, "key.invalid");
	open_fails(f.public, f.jwe, "key.invalid");
	release(&f);
}

static void test_flipped(void)
{
	static const char *const members[] = { "encrypted_key", "iv", "ciphertext", "tag" };
	struct fixture f = make();

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		auto_json json_t *bad = json_deep_copy(f.jwe);
		auto_free char *text = mem_strdup(json_text(bad, members[i]));

		text[0] = text[0] == 'A' ? 'B' : 'A';
		json_object_set_new(bad, members[i], json_string(text));
		open_fails(f.private, bad, "jose.decrypt");
		json_object_set_new(bad, members[i], json_string("AAAA"));
		open_fails(f.private, bad, i == 2 ? "jose.decrypt" : "jose.shape");
		json_object_del(bad, members[i]);
		open_fails(f.private, bad, "jose.shape");
	}
	release(&f);
}

static void test_extra_members(void)
{
	static const char *const members[] = { "unprotected", "header", "recipients", "aad", "x" };
	struct fixture f = make();

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		auto_json json_t *bad = json_deep_copy(f.jwe);

		json_object_set_new(bad, members[i], parse("{\"alg\":\"dir\"}"));
		open_fails(f.private, bad, "jose.shape");
	}
	release(&f);
}

/* Protected headers other than the one: `set` is merged into the good header. */
static void test_headers(void)
{
	static const struct {
		const char *set, *code;
	} rows[] = {
		{ "{\"alg\":\"ECDH-ES\"}", "jose.algorithm" },
		{ "{\"alg\":\"ECDH-ES+A128KW\"}", "jose.algorithm" },
		{ "{\"alg\":\"dir\"}", "jose.algorithm" },
		{ "{\"alg\":\"A256KW\"}", "jose.algorithm" },
		{ "{\"alg\":7}", "jose.algorithm" },
		{ "{\"enc\":\"A128GCM\"}", "jose.algorithm" },
		{ "{\"enc\":\"A256CBC-HS512\"}", "jose.algorithm" },
		{ "{\"zip\":\"DEF\"}", "jose.shape" },
		{ "{\"crit\":[\"x\"],\"x\":1}", "jose.shape" },
		{ "{\"apu\":\"AA\"}", "jose.shape" },
		{ "{\"jwk\":{}}", "jose.shape" },
		{ "{\"typ\":1}", "jose.shape" },
		{ "{\"epk\":{}}", "jose.shape" },
		{ "{\"epk\":\"x\"}", "jose.shape" },
		{ "{\"epk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		  "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
		  "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}",
			"jose.shape" },
		{ "{\"epk\":{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\",\"y\":\"AA\"}}",
			"jose.shape" },
	};
	struct fixture f = make();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json json_t *bad = json_deep_copy(f.jwe), *set = parse(rows[i].set),
				 *header = NULL;
		auto_free char *text = NULL, *encoding = NULL;
		unsigned char *bytes = NULL;
		size_t len = 0;

		CHECK(codec_b64url_decode(json_text(bad, "protected"),
			      strlen(json_text(bad, "protected")), &bytes, &len, NULL) == 0);
		header = json_parse((char *)bytes, len, NULL);
		free(bytes);
		json_object_update(header, set);
		text = json_dumps(header, JSON_COMPACT);
		encoding = codec_b64url_text(text, strlen(text));
		json_object_set_new(bad, "protected", json_string(encoding));
		open_fails(f.private, bad, rows[i].code);
	}
	open_fails(f.private, NULL, "jose.shape");
	release(&f);
}

static void test_refused_keys(void)
{
	auto_json json_t *private = jose_key_new("enc"), *sig = jose_key_new("sig");
	auto_json json_t *sig_public = jose_key_public(sig);
	auto_free char *big = mem_alloc(1 << 20);
	auto_json json_t *public = jose_key_public(private);
	json_t *jwe = NULL;
	struct err err;

	CHECK_FAILS(jose_encrypt(private, NULL, "x", 1, &jwe, &err), &err, "key.invalid");
	CHECK_FAILS(jose_encrypt(sig_public, NULL, "x", 1, &jwe, &err), &err, "key.invalid");
	CHECK_FAILS(jose_encrypt(public, NULL, big, 1 << 20, &jwe, &err), &err, "jose.too_large");
}

int main(void)
{
	test_skopeo_packet();
	test_round_trip();
	test_flipped();
	test_extra_members();
	test_headers();
	test_refused_keys();
	CHECK_DONE();
}
