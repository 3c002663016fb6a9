/* SPDX-License-Identifier: Apache-2.0 */
/* A tenant's rule on what packets tell, the summary of recipients, and the texts that are signed.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mem.h"
#include "services/registry-gw/rule.h"
#include "services/registry-gw/signature.h"
#include "tests/unit/check.h"

#define DIGEST "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define JWE "{\"scheme\":\"jwe\",\"kid\":null,\"issuer_serial\":null}"
#define KID "{\"scheme\":\"jwe\",\"kid\":\"k\",\"issuer_serial\":null}"
#define PKCS7 "{\"scheme\":\"pkcs7\",\"kid\":null,\"issuer_serial\":\"" DIGEST "\"}"

static struct err err;

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	CHECK(value);
	return value;
}

static int check(const struct rule *rule, const char *layers, bool encrypted)
{
	struct manifest_facts facts = { .layers = parse(layers), .encrypted = encrypted };
	int result = rule_admit(rule, &facts, &err);

	json_decref(facts.layers);
	return result;
}

static void test_modes(void)
{
	struct rule rule = { .mode = RULE_ENCRYPTED_ONLY, .max_recipients = 2 };
	enum rule_mode mode;

	CHECK(check(&rule, "[[" JWE "],[" JWE "," PKCS7 "]]", true) == 0);
	CHECK_FAILS(check(&rule, "[[" JWE "],null]", false), &err, "manifest.not_encrypted");
	CHECK(strstr(err.detail, "layer 1") && err.kind == ERR_FORBIDDEN);
	CHECK_FAILS(check(&rule, "[]", false), &err, "manifest.not_encrypted");
	for (rule.mode = RULE_ENCRYPTED_OR_SIGNED; rule.mode <= RULE_OPEN; rule.mode++) {
		CHECK(check(&rule, "[[" JWE "],null]", false) == 0);
		CHECK_FAILS(check(&rule, "[[" JWE "," JWE "," JWE "]]", true), &err,
			"manifest.too_many_recipients");
		CHECK(rule_mode_of(rule_mode_name(rule.mode), &mode) && mode == rule.mode);
	}
	CHECK(!rule_mode_of("", &mode) && !rule_mode_of("OPEN", &mode));
}

static void test_required(void)
{
	auto_json json_t *wanted = parse("[{\"name\":\"m\",\"issuer_serial\":\"" DIGEST "\"}]");
	auto_json json_t *other = parse("[{\"name\":\"o\",\"issuer_serial\":\"" OTHER "\"}]");
	struct rule rule = { .recipients = wanted, .max_recipients = 2 };

	CHECK(check(&rule, "[[" JWE "," PKCS7 "],[" PKCS7 "]]", true) == 0);
	CHECK_FAILS(check(&rule, "[[" PKCS7 "],[" JWE "," KID "]]", true), &err,
		"manifest.recipient_missing");
	CHECK(strstr(err.detail, "layer 1") && strstr(err.detail, "'m'"));
	rule.recipients = other;
	CHECK_FAILS(check(&rule, "[[" PKCS7 "]]", true), &err, "manifest.recipient_missing");
}

static long long number(const json_t *entry, const char *name)
{
	return json_integer_value(json_object_get(entry, name));
}

static void test_recipients(void)
{
	auto_json json_t *layers = parse("[[" JWE "," JWE "," PKCS7 "],null,[" KID "," JWE "]]");
	struct recipients found = recipients_of(layers);
	auto_json json_t *list = found.list;
	const json_t *first = json_array_get(list, 0);

	CHECK(json_array_size(list) == 3 && found.most == 3);
	CHECK(number(first, "packets") == 3 && number(first, "layers") == 2);
	CHECK(json_object_size(first) == 5);
	CHECK_TEXT(json_text(json_array_get(list, 1), "issuer_serial"), DIGEST);
	CHECK_TEXT(json_text(json_array_get(list, 2), "kid"), "k");
}

static void test_many_recipients(void)
{
	auto_json json_t *layers = json_array();

	for (int i = 0; i < 127; i++) {
		json_t *layer = json_array();

		for (int k = 0; k < 32; k++)
			json_array_append_new(layer, json_pack("{s:s, s:o}", "scheme", "jwe", "kid",
							     json_sprintf("%d/%d", i, k)));
		json_array_append_new(layers, layer);
	}
	json_t *list = recipients_of(layers).list;

	CHECK(json_array_size(list) == 64);
	json_decref(list);
}

#define CRITICAL(image, type)                                                                      \
	"{\"critical\":{\"image\":{\"docker-manifest-digest\":\"" image "\"},\"type\":\"" type     \
	"\"}}"
#define TYPE "cosign container image signature"

static void test_payloads(void)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"critical\":7}",
		CRITICAL(DIGEST, "cosign"), CRITICAL("sha256:a", TYPE), CRITICAL("", TYPE),
		CRITICAL(DIGEST, TYPE) "x", "{\"critical\":{\"type\":\"" TYPE "\"}}",
		"{\"critical\":{\"image\":{\"docker-manifest-digest\":\"" DIGEST
		"\",\"docker-manifest-digest\":\"" OTHER "\"},\"type\":\"" TYPE "\"}}" };
	const char *good = CRITICAL(DIGEST, TYPE);
	char image[DIGEST_TEXT_SIZE];

	CHECK(signature_payload(good, strlen(good), image, &err) == 0);
	CHECK_TEXT(image, DIGEST);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_FAILS(signature_payload(bad[i], strlen(bad[i]), image, &err), &err,
			"signature.refused");
}

int main(void)
{
	test_modes();
	test_required();
	test_recipients();
	test_many_recipients();
	test_payloads();
	CHECK_DONE();
}
