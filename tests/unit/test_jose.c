/* SPDX-License-Identifier: Apache-2.0 */
/* JWS and tokens: published vectors (RFC 7515 A.3, RFC 9449), every key's own algorithm, and shapes
 * meant to slip through. */
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "lib/cert.h"
#include "lib/codec.h"
#include "lib/jose.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "tests/unit/check.h"

#define TYP "strongroom-test+jws"

static const char *const KID[] = { "kid", NULL };

static json_t *parse(const char *text)
{
	return json_parse(text, strlen(text), NULL);
}

static json_t *encoded(const char *text)
{
	auto_free char *encoding = codec_b64url_text(text, strlen(text));

	return json_string(encoding);
}

/* --- published vectors --- */

static void test_rfc7515_a3(void)
{
	static const char input[] =
		"eyJhbGciOiJFUzI1NiJ9."
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
		"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
	auto_json json_t *jwk = parse("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
				      "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
				      "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\","
				      "\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"}");
	struct err err = { .kind = ERR_NONE };
	unsigned char sig[JOSE_ES256_SIZE];
	auto_key EVP_PKEY *key = NULL;

	CHECK(jose_key_to_evp(jwk, &key, &err) == 0);
	CHECK(codec_b64url_decode_fixed(
		      "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8IS"
		      "lSApmWQxfKTUJqPP3-Kg6NU1Q",
		      sig, sizeof(sig), &err) == 0);
	CHECK(jose_es256_verify(key, input, strlen(input), sig, &err) == 0);
	CHECK_FAILS(jose_es256_verify(key, input, strlen(input) - 1, sig, &err), &err,
		"jose.signature");
	memset(sig, 0, sizeof(sig));
	CHECK_FAILS(
		jose_es256_verify(key, input, strlen(input), sig, &err), &err, "jose.signature");
	CHECK(jose_es256_sign(key, input, strlen(input), sig, &err) == 0);
	CHECK(jose_es256_verify(key, input, strlen(input), sig, &err) == 0);
}

static void test_rfc9449_proof(void)
{
	static const char proof[] = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik"
				    "VDIiwieCI6Imw4dEZyaHgtMz"
				    "R0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpm"
				    "X09rX282NHpiVFRsY3VOSmFq"
				    "SG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19."
				    "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwia"
				    "HRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3R"
				    "va2VuIiwiaWF0IjoxNTYyMjY"
				    "yNjE2fQ.2-GxA6T8lP4vfrg8v-"
				    "FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV3"
				    "7xRZT3Lg";
	char thumbprint[JOSE_THUMBPRINT_SIZE] = "";
	auto_json json_t *header = NULL, *claims = NULL;
	struct err err = { .kind = ERR_NONE };
	auto_key EVP_PKEY *key = NULL;

	CHECK(jose_token_peek(proof, &header, &err) == 0);
	CHECK(jose_key_thumbprint(json_object_get(header, "jwk"), thumbprint, &err) == 0);
	CHECK_TEXT(thumbprint, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
	CHECK(jose_key_to_evp(json_object_get(header, "jwk"), &key, &err) == 0);
	CHECK_FAILS(jose_token_verify(key, "dpop+jwt", false, proof, &claims, &err), &err,
		"jose.shape");
	CHECK(jose_token_verify(key, "dpop+jwt", true, proof, &claims, &err) == 0);
	CHECK_TEXT(json_text(claims, "htm"), "POST");
}

/* --- keys --- */

static void test_keys(void)
{
	auto_json json_t *jwk = jose_key_new("enc"), *public = jose_key_public(jwk), *again = NULL;
	char a[JOSE_THUMBPRINT_SIZE] = "", b[JOSE_THUMBPRINT_SIZE] = "";
	struct err err = { .kind = ERR_NONE };
	auto_key EVP_PKEY *key = NULL;

	CHECK(json_object_get(jwk, "d") && !json_object_get(public, "d"));
	CHECK(jose_key_check_public(public, "enc", &err) == 0);
	CHECK_FAILS(jose_key_check_public(public, "sig", &err), &err, "key.invalid");
	CHECK_FAILS(jose_key_check_public(jwk, "enc", &err), &err, "key.invalid");
	CHECK(jose_key_to_evp(jwk, &key, &err) == 0);
	CHECK(jose_key_from_evp(key, "enc", &again, &err) == 0);
	CHECK(json_equal(jwk, again));
	CHECK(jose_key_thumbprint(jwk, a, &err) == 0 && jose_key_thumbprint(public, b, &err) == 0);
	CHECK_TEXT(a, b);
}

static void test_refused_keys(void)
{
	static const char *const members[] = { "kty", "crv", "x", "y", "use", "alg" };
	static const char *const values[] = { "", "RSA", "P-384",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AA==", "not base64url!" };
	auto_json json_t *jwk = jose_key_new("sig"), *public = jose_key_public(jwk), *other;
	auto_key EVP_PKEY *p384 = EVP_EC_gen("P-384"), *key = NULL;
	json_t *out = NULL;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		for (size_t n = 0; n < ARRAY_LEN(values); n++) {
			auto_json json_t *bad = json_deep_copy(public);

			json_object_set_new(bad, members[i], json_string(values[n]));
			CHECK_FAILS(jose_key_check_public(bad, "sig", &err), &err, "key.invalid");
			json_object_set_new(bad, members[i], json_integer(1));
			CHECK_FAILS(jose_key_check_public(bad, "sig", &err), &err, "key.invalid");
			json_object_del(bad, members[i]);
			CHECK_FAILS(jose_key_check_public(bad, "sig", &err), &err, "key.invalid");
		}
	}
	json_object_set_new(public, "x5u", json_string("https://example.com"));
	CHECK_FAILS(jose_key_check_public(public, "sig", &err), &err, "key.invalid");

	/* a private part that belongs to another point */
	other = jose_key_new("sig");
	json_object_set(jwk, "d", json_object_get(other, "d"));
	CHECK_FAILS(jose_key_to_evp(jwk, &key, &err), &err, "key.invalid");
	CHECK_FAILS(jose_key_from_evp(p384, "sig", &out, &err), &err, "key.invalid");
}

/* --- flattened JWS --- */

static void test_sign(EVP_PKEY *key, const char *alg)
{
	auto_json json_t *header = json_pack("{s:s}", "kid", "k1"),
			 *payload = json_pack("{s:i}", "n", 7);
	auto_json json_t *jws = NULL, *ret_header = NULL, *ret_payload = NULL, *altered = NULL;
	auto_key EVP_PKEY *other = EVP_EC_gen("P-256");
	struct err err = { .kind = ERR_NONE };

	CHECK(jose_sign(key, TYP, header, payload, &jws, &err) == 0);
	CHECK(jose_verify(key, TYP, KID, jws, &ret_header, &ret_payload, &err) == 0);
	CHECK_TEXT(json_text(ret_header, "alg"), alg);
	CHECK_TEXT(json_text(ret_header, "kid"), "k1");
	CHECK(json_equal(ret_payload, payload));

	CHECK(jose_verify(other, TYP, KID, jws, NULL, NULL, &err) == -1);
	CHECK_TEXT(err.code, strcmp(alg, "ES256") == 0 ? "jose.signature" : "jose.algorithm");
	CHECK_FAILS(jose_verify(key, "other+jws", KID, jws, NULL, NULL, &err), &err, "jose.typ");
	CHECK_FAILS(jose_verify(key, TYP, NULL, jws, NULL, NULL, &err), &err, "jose.shape");
	altered = json_deep_copy(jws);
	json_object_set_new(altered, "payload", encoded("{\"n\":8}"));
	CHECK_FAILS(jose_verify(key, TYP, KID, altered, NULL, NULL, &err), &err, "jose.signature");
}

static void test_sign_kinds(void)
{
	EVP_PKEY *keys[] = { EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_RSA_gen(2048) };
	const char *algs[] = { "ES256", "ES384", "PS256" };
	auto_key EVP_PKEY *ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	auto_json json_t *payload = json_object();
	json_t *jws = NULL;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		test_sign(keys[i], algs[i]);
		EVP_PKEY_free(keys[i]);
	}
	CHECK_FAILS(jose_sign(ed25519, TYP, NULL, payload, &jws, &err), &err, "key.cannot_sign");
}

struct hostile {
	const char *header; /* JSON text of the protected header; NULL: the good one */
	const char *member; /* set to `value` in the envelope; NULL: none; value NULL: taken out */
	const char *value;
	const char *code;
};

#define GOOD "{\"alg\":\"ES256\",\"typ\":\"" TYP "\",\"kid\":\"k1\"}"

static const struct hostile HOSTILE[] = {
	{ "{\"alg\":\"ES256\",\"typ\":\"" TYP "\",\"kid\":\"k1\",\"crit\":[\"exp\"],\"exp\":1}",
		NULL, NULL, "jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"" TYP "\",\"kid\":\"k1\",\"crit\":[]}", NULL, NULL,
		"jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"" TYP "\",\"kid\":\"k1\",\"b64\":false}", NULL, NULL,
		"jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"" TYP "\",\"kid\":\"k1\",\"jwk\":{}}", NULL, NULL,
		"jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"" TYP "\",\"jku\":\"https://e\"}", NULL, NULL,
		"jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"" TYP "\",\"kid\":1}", NULL, NULL, "jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"" TYP "\"}", NULL, NULL, "jose.shape" },
	{ "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"typ\":\"" TYP "\",\"kid\":\"k1\"}", NULL, NULL,
		"jose.shape" },
	{ "{\"alg\":\"none\",\"typ\":\"" TYP "\",\"kid\":\"k1\"}", NULL, NULL, "jose.algorithm" },
	{ "{\"alg\":\"HS256\",\"typ\":\"" TYP "\",\"kid\":\"k1\"}", NULL, NULL, "jose.algorithm" },
	{ "{\"alg\":\"ES384\",\"typ\":\"" TYP "\",\"kid\":\"k1\"}", NULL, NULL, "jose.algorithm" },
	{ "{\"alg\":\"es256\",\"typ\":\"" TYP "\",\"kid\":\"k1\"}", NULL, NULL, "jose.algorithm" },
	{ "{\"alg\":[\"ES256\"],\"typ\":\"" TYP "\",\"kid\":\"k1\"}", NULL, NULL, "jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k1\"}", NULL, NULL, "jose.typ" },
	{ "{\"typ\":\"" TYP "\",\"kid\":\"k1\",\"x\":\"\"}", NULL, NULL, "jose.shape" },
	{ "[]", NULL, NULL, "jose.shape" },
	{ "", NULL, NULL, "jose.shape" },
	{ "{\"alg\":\"ES256\"", NULL, NULL, "jose.shape" },
	{ "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}", NULL, NULL,
		"jose.shape" },
	{ NULL, "header", "{\"kid\":\"k2\"}", "jose.shape" },
	{ NULL, "unprotected", "{\"kid\":\"k2\"}", "jose.shape" },
	{ NULL, "signatures", "[]", "jose.shape" },
	{ NULL, "comment", "\"x\"", "jose.shape" },
	{ NULL, "protected", NULL, "jose.shape" },
	{ NULL, "payload", NULL, "jose.shape" },
	{ NULL, "signature", NULL, "jose.shape" },
	{ NULL, "signature", "\"\"", "jose.signature" },
	{ NULL, "signature", "\"AAAA\"", "jose.signature" },
	{ NULL, "signature", "\"AAAA=\"", "jose.shape" },
	{ NULL, "signature", "7", "jose.shape" },
	{ NULL, "payload", "{\"n\":7}", "jose.shape" },
	{ NULL, "payload", "\"e30=\"", "jose.shape" },
	{ NULL, "payload", "\"eyJuIjo4fQ\"", "jose.signature" },
	{ NULL, "payload", "\"W10\"", "jose.shape" },
	{ NULL, "protected", "\"e30\\n\"", "jose.shape" },
};

/* The signature is made over the hostile header, so that nothing but the shape can be what refuses
 * it. */
static json_t *signed_by_hand(EVP_PKEY *key, const char *header, const char *payload)
{
	auto_free char *head = codec_b64url_text(header, strlen(header)), *input = NULL,
		       *sig = NULL;
	auto_free char *body = codec_b64url_text(payload, strlen(payload));
	unsigned char raw[JOSE_ES256_SIZE];

	input = mem_printf("%s.%s", head, body);
	CHECK(jose_es256_sign(key, input, strlen(input), raw, NULL) == 0);
	sig = codec_b64url_text(raw, sizeof(raw));
	return json_pack("{s:s,s:s,s:s}", "protected", head, "payload", body, "signature", sig);
}

static void test_hostile(void)
{
	auto_key EVP_PKEY *key = EVP_EC_gen("P-256");
	auto_json json_t *good = signed_by_hand(key, GOOD, "{}");
	struct err err = { .kind = ERR_NONE };

	CHECK(jose_verify(key, TYP, KID, good, NULL, NULL, &err) == 0);
	for (size_t i = 0; i < ARRAY_LEN(HOSTILE); i++) {
		const struct hostile *h = &HOSTILE[i];
		auto_json json_t *jws = signed_by_hand(key, h->header ? h->header : GOOD, "{}");

		if (h->member && h->value)
			json_object_set_new(jws, h->member, parse(h->value));
		else if (h->member)
			json_object_del(jws, h->member);
		CHECK_FAILS(jose_verify(key, TYP, KID, jws, NULL, NULL, &err), &err, h->code);
	}
}

static void test_huge(void)
{
	auto_key EVP_PKEY *key = EVP_EC_gen("P-256");
	auto_json json_t *jws = signed_by_hand(key, GOOD, "{}");
	auto_free char *big = mem_alloc(3 << 20);
	struct err err;

	memset(big, 'A', (3 << 20) - 4);
	json_object_set_new(jws, "payload", json_string(big));
	CHECK_FAILS(jose_verify(key, TYP, KID, jws, NULL, NULL, &err), &err, "jose.too_large");
	big[9000] = '\0';
	json_object_set_new(jws, "payload", json_string("e30"));
	json_object_set_new(jws, "protected", json_string(big));
	CHECK_FAILS(jose_verify(key, TYP, KID, jws, NULL, NULL, &err), &err, "jose.too_large");
	CHECK_FAILS(jose_verify(key, TYP, KID, NULL, NULL, NULL, &err), &err, "jose.shape");
}

/* --- tokens --- */

static char *token_by_hand(EVP_PKEY *key, const char *header, const char *claims)
{
	auto_json json_t *jws = signed_by_hand(key, header, claims);

	return mem_printf("%s.%s.%s", json_text(jws, "protected"), json_text(jws, "payload"),
		json_text(jws, "signature"));
}

static void test_token(void)
{
	auto_key EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256"),
			  *rsa = EVP_RSA_gen(2048);
	auto_json json_t *claims =
		json_pack("{s:s,s:I}", "aud", "policy", "exp", (json_int_t)1795000000);
	auto_json json_t *header = NULL, *read = NULL;
	struct err err = { .kind = ERR_NONE };
	auto_free char *token = NULL;
	json_t *none_json = NULL;
	char *none = NULL;

	CHECK(jose_token_sign(key, "at+jwt", "k1", claims, &token, &err) == 0);
	CHECK(jose_token_peek(token, &header, &err) == 0);
	CHECK_TEXT(json_text(header, "kid"), "k1");
	CHECK(jose_token_verify(key, "at+jwt", false, token, &read, &err) == 0);
	CHECK(json_equal(read, claims));
	CHECK_FAILS(jose_token_verify(other, "at+jwt", false, token, &none_json, &err), &err,
		"jose.signature");
	CHECK_FAILS(jose_token_verify(rsa, "at+jwt", false, token, &none_json, &err), &err,
		"jose.signature");
	CHECK_FAILS(
		jose_token_verify(key, "JWT", false, token, &none_json, &err), &err, "jose.typ");
	CHECK_FAILS(jose_token_verify(key, "at+jwt", true, token, &none_json, &err), &err,
		"jose.shape");
	CHECK_FAILS(
		jose_token_sign(rsa, "at+jwt", "k1", claims, &none, &err), &err, "key.cannot_sign");
}

struct hostile_token {
	const char *header, *code;
};

static const struct hostile_token TOKENS[] = {
	{ "{\"alg\":\"none\",\"typ\":\"at+jwt\"}", "jose.algorithm" },
	{ "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", "jose.algorithm" },
	{ "{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}", "jose.algorithm" },
	{ "{\"alg\":\"ES256\",\"typ\":\"at+JWT\"}", "jose.typ" },
	{ "{\"alg\":\"ES256\"}", "jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"crit\":[\"b64\"]}", "jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"jwk\":{}}", "jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"x5u\":\"https://e\"}", "jose.shape" },
	{ "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":{}}", "jose.shape" },
	{ "\"alg\"", "jose.shape" },
};

static void test_hostile_tokens(void)
{
	static const char *const texts[] = { "", ".", "..", "...", "a.b", "e30.e30.",
		"e30.e30.e30.e30", "e30..", " e30.e30.AA" };
	auto_key EVP_PKEY *key = EVP_EC_gen("P-256");
	auto_free char *big = mem_alloc(40000),
		       *not_object =
			       token_by_hand(key, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}", "[]");
	json_t *claims = NULL;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(TOKENS); i++) {
		auto_free char *token = token_by_hand(key, TOKENS[i].header, "{}");

		CHECK_FAILS(jose_token_verify(key, "at+jwt", false, token, &claims, &err), &err,
			TOKENS[i].code);
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		CHECK_FAILS(jose_token_verify(key, "at+jwt", false, texts[i], &claims, &err), &err,
			"jose.shape");
	memset(big, '.', 39999);
	CHECK_FAILS(jose_token_verify(key, "at+jwt", false, big, &claims, &err), &err,
		"jose.too_large");
	CHECK_FAILS(jose_token_verify(key, "at+jwt", false, not_object, &claims, &err), &err,
		"jose.shape");
}

static void test_proof(void)
{
	auto_json json_t *claims = json_pack("{s:s}", "htm", "GET"), *jwk = jose_key_new("sig");
	auto_json json_t *header = NULL, *read = NULL;
	struct err err = { .kind = ERR_NONE };
	auto_key EVP_PKEY *key = NULL;
	auto_free char *proof = NULL;

	CHECK(jose_key_to_evp(jwk, &key, &err) == 0);
	CHECK(jose_proof_sign(key, claims, &proof, &err) == 0);
	CHECK(jose_token_verify(key, "dpop+jwt", true, proof, &read, &err) == 0);
	CHECK(jose_token_peek(proof, &header, &err) == 0);
	CHECK(jose_key_check_public(json_object_get(header, "jwk"), "sig", &err) == 0);
}

int main(void)
{
	test_rfc7515_a3();
	test_rfc9449_proof();
	test_keys();
	test_refused_keys();
	test_sign_kinds();
	test_hostile();
	test_huge();
	test_token();
	test_hostile_tokens();
	test_proof();
	CHECK_DONE();
}
