/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claim, initdata and evidence. The class is what the verifying side computes: evidence without a
 * report of hardware or a TPM proves that the holder of both machine keys answered this claim, and
 * nothing about where they live.
 */
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust_secret.h"

#define CLAIM_VERSION "strongroom-claim-1"
#define INITDATA_VERSION "strongroom-initdata-1"
#define EVIDENCE_VERSION "strongroom-evidence-1"
#define TYP "strongroom-evidence+jws"

static const char *const KID[] = { "kid", NULL };

/* --- shapes --- */

static bool is_claim_version(const char *text)
{
	return strcmp(text, CLAIM_VERSION) == 0;
}

static bool is_initdata_version(const char *text)
{
	return strcmp(text, INITDATA_VERSION) == 0;
}

static bool is_evidence_version(const char *text)
{
	return strcmp(text, EVIDENCE_VERSION) == 0;
}

static bool is_host(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-");

	return len > 0 && len <= 253 && text[len] == '\0';
}

static const struct rule CLAIM[] = {
	{ .name = "v", .kind = RULE_TEXT, .is = is_claim_version },
	{ .name = "owner", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = "policy", .kind = RULE_TEXT, .is = rule_is_digest, .or_null = true },
	{ .name = "nonce", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = NULL },
};

static const struct rule TEMPLATE[] = {
	{ .name = "id", .kind = RULE_TEXT, .is = rule_is_label },
	{ .name = "version", .kind = RULE_NUMBER, .min = 1, .max = RULE_MAX },
	{ .name = NULL },
};

static const struct rule EDGE[] = {
	{ .name = "host", .kind = RULE_TEXT, .is = is_host },
	{ .name = "port", .kind = RULE_NUMBER, .min = 1, .max = 65535 },
	{ .name = "ca_spki", .kind = RULE_TEXT, .is = rule_is_digest },
	{ .name = NULL },
};

static const struct rule CLASS = { .name = "", .kind = RULE_TEXT, .is = rule_is_class };

static const struct rule INITDATA[] = {
	{ .name = "v", .kind = RULE_TEXT, .is = is_initdata_version },
	{ .name = "template", .kind = RULE_OBJECT, .of = TEMPLATE },
	{ .name = "sandbox", .kind = RULE_TEXT, .is = rule_is_sandbox },
	{ .name = "edge", .kind = RULE_OBJECT, .of = EDGE },
	{ .name = "classes", .kind = RULE_SET, .min = 1, .max = 8, .of = &CLASS },
	{ .name = NULL },
};

static const struct rule EVIDENCE[] = {
	{ .name = "v", .kind = RULE_TEXT, .is = is_evidence_version },
	{ .name = "class", .kind = RULE_TEXT, .is = rule_is_class },
	{ .name = "enc", .kind = RULE_ANY },
	{ .name = "sig", .kind = RULE_ANY },
	{ .name = "nonce", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "initdata", .kind = RULE_OBJECT, .of = INITDATA },
	{ .name = "claim", .kind = RULE_OBJECT, .of = CLAIM },
	{ .name = "report", .kind = RULE_ANY },
	{ .name = "jws", .kind = RULE_ANY },
	{ .name = NULL },
};

static const struct rule PAYLOAD[] = {
	{ .name = "binding", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = NULL },
};

int trust_claim_check(const json_t *claim, struct err *err)
{
	return rule_check(CLAIM, claim, "claim.invalid", "claim", err);
}

int trust_initdata_check(const json_t *initdata, struct err *err)
{
	return rule_check(INITDATA, initdata, "initdata.invalid", "initdata", err);
}

bool trust_initdata_allows(const json_t *initdata, const char *class)
{
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(initdata, "classes"), i, entry) {
		if (strcmp(json_string_value(entry), class) == 0)
			return true;
	}
	return false;
}

/* --- binding and making --- */

int trust_evidence_binding(const json_t *enc_jwk, const json_t *sig_jwk, const char *nonce,
	const json_t *initdata, const json_t *claim, unsigned char ret_binding[DIGEST_SIZE],
	struct err *err)
{
	char enc[JOSE_THUMBPRINT_SIZE], sig[JOSE_THUMBPRINT_SIZE];
	char initdata_digest[DIGEST_TEXT_SIZE], claim_digest[DIGEST_TEXT_SIZE];
	auto_json json_t *bound = NULL;
	auto_free char *text = NULL;
	size_t len = 0;

	if (trust_initdata_check(initdata, err) < 0 || trust_claim_check(claim, err) < 0 ||
		jose_key_thumbprint(enc_jwk, enc, err) < 0 ||
		jose_key_thumbprint(sig_jwk, sig, err) < 0 ||
		jcs_digest(initdata, initdata_digest, err) < 0 ||
		jcs_digest(claim, claim_digest, err) < 0)
		return -1;
	if (!rule_is_bytes32(nonce))
		return err_set(
			err, ERR_UNPROCESSABLE, "evidence.nonce", "the nonce is not 32 bytes");
	bound = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "v", EVIDENCE_VERSION, "enc", enc, "sig",
		sig, "nonce", nonce, "initdata", initdata_digest, "claim", claim_digest);
	if (jcs_encode(bound, &text, &len, err) < 0)
		return -1;
	digest_sha256(text, len, ret_binding);
	return 0;
}

static int sign_binding(const json_t *sig_private, const unsigned char binding[DIGEST_SIZE],
	json_t **ret_jws, struct err *err)
{
	auto_free char *text = codec_b64url_text(binding, DIGEST_SIZE);
	auto_json json_t *payload = json_pack("{s:s}", "binding", text), *header = NULL;
	char kid[JOSE_THUMBPRINT_SIZE];
	auto_key EVP_PKEY *key = NULL;

	if (jose_key_to_evp(sig_private, &key, err) < 0 ||
		jose_key_thumbprint(sig_private, kid, err) < 0)
		return -1;
	header = json_pack("{s:s}", "kid", kid);
	return jose_sign(key, TYP, header, payload, ret_jws, err);
}

int trust_evidence_make(const json_t *sig_private, const json_t *enc_jwk, const char *nonce,
	const json_t *initdata, const json_t *claim, json_t **ret_evidence, struct err *err)
{
	auto_json json_t *sig_jwk = jose_key_public(sig_private), *enc = jose_key_public(enc_jwk);
	unsigned char binding[DIGEST_SIZE];
	auto_json json_t *jws = NULL;

	if (trust_evidence_binding(enc, sig_jwk, nonce, initdata, claim, binding, err) < 0 ||
		sign_binding(sig_private, binding, &jws, err) < 0)
		return -1;
	*ret_evidence = json_pack("{s:s,s:s,s:O,s:O,s:s,s:O,s:O,s:n,s:O}", "v", EVIDENCE_VERSION,
		"class", "none", "enc", enc, "sig", sig_jwk, "nonce", nonce, "initdata", initdata,
		"claim", claim, "report", "jws", jws);
	return 0;
}

/* --- verifying --- */

static int check_binding(const json_t *evidence, struct err *err)
{
	const json_t *enc = json_object_get(evidence, "enc"),
		     *sig = json_object_get(evidence, "sig");
	unsigned char binding[DIGEST_SIZE], stated[DIGEST_SIZE];
	auto_json json_t *header = NULL, *payload = NULL;
	struct err inner = { .kind = ERR_NONE };
	char kid[JOSE_THUMBPRINT_SIZE];
	auto_key EVP_PKEY *key = NULL;

	if (jose_key_check_public(enc, "enc", err) < 0 ||
		jose_key_check_public(sig, "sig", err) < 0 || jose_key_to_evp(sig, &key, err) < 0 ||
		jose_key_thumbprint(sig, kid, err) < 0 ||
		trust_evidence_binding(enc, sig, json_text(evidence, "nonce"),
			json_object_get(evidence, "initdata"), json_object_get(evidence, "claim"),
			binding, err) < 0)
		return -1;
	if (jose_verify(
		    key, TYP, KID, json_object_get(evidence, "jws"), &header, &payload, &inner) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "evidence.signature", "%s", inner.detail);
	if (strcmp(json_text(header, "kid"), kid) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "evidence.signature",
			"the evidence is signed in the name of another key");
	if (rule_check(PAYLOAD, payload, "evidence.binding", "binding", err) < 0)
		return -1;
	if (codec_b64url_decode_fixed(json_text(payload, "binding"), stated, sizeof(stated), err) <
			0 ||
		!digest_equal(binding, stated, sizeof(stated)))
		return err_set(err, ERR_UNPROCESSABLE, "evidence.binding",
			"what is signed is not bound to these keys, nonce, initdata and claim");
	return 0;
}

static bool differs(const char *expected, const char *actual)
{
	return expected && strcmp(expected, actual) != 0;
}

static int check_initdata(
	const json_t *initdata, const struct trust_expect *expect, struct err *err)
{
	const json_t *template = json_object_get(initdata, "template");
	const char *what = NULL;

	if (differs(expect->sandbox_id, json_text(initdata, "sandbox")))
		what = "another sandbox";
	else if (differs(expect->template_id, json_text(template, "id")))
		what = "another template";
	else if (expect->template_version &&
		 expect->template_version !=
			 json_integer_value(json_object_get(template, "version")))
		what = "another version of the template";
	else if (differs(expect->edge_ca_spki,
			 json_text(json_object_get(initdata, "edge"), "ca_spki")))
		what = "another edge CA";
	if (what)
		return err_set(
			err, ERR_UNPROCESSABLE, "evidence.initdata", "the initdata names %s", what);
	return 0;
}

static int check_freshness(
	const json_t *evidence, const struct trust_expect *expect, struct err *err)
{
	if (!expect->nonce || strcmp(expect->nonce, json_text(evidence, "nonce")) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "evidence.nonce",
			"the evidence answers another nonce");
	if (!expect->claim || !json_equal(expect->claim, json_object_get(evidence, "claim")))
		return err_set(err, ERR_UNPROCESSABLE, "evidence.claim",
			"the sandbox was claimed otherwise than here");
	return 0;
}

/* Only the class without a report can be computed here; it is enough only for who opted down to it.
 */
static int check_class(const json_t *evidence, const char *min_class, struct err *err)
{
	const char *class = json_text(evidence, "class");

	if (strcmp(class, "none") != 0 || !json_is_null(json_object_get(evidence, "report")))
		return err_set(err, ERR_UNPROCESSABLE, "evidence.class_unknown",
			"no verifier for evidence of the class '%s'", class);
	if (!trust_initdata_allows(json_object_get(evidence, "initdata"), class))
		return err_set(err, ERR_UNPROCESSABLE, "evidence.initdata",
			"the initdata does not allow the class '%s'", class);
	if (!min_class || strcmp(min_class, "none") != 0)
		return err_set(err, ERR_UNPROCESSABLE, "evidence.class_too_low",
			"the class is 'none', at least '%s' is asked for",
			min_class ? min_class : "tee");
	return 0;
}

static json_t *result_for_none(void)
{
	static const char *const verified[] = { "signature", "binding", "nonce", "claim" };
	static const char *const unmeasured[] = { "initdata", "launch", "hardware" };
	json_t *checks = json_array();

	for (size_t i = 0; i < ARRAY_LEN(verified); i++)
		json_array_append_new(
			checks, json_pack("{s:s,s:s}", "name", verified[i], "result", "ok"));
	for (size_t i = 0; i < ARRAY_LEN(unmeasured); i++)
		json_array_append_new(checks,
			json_pack("{s:s,s:s}", "name", unmeasured[i], "result", "not_measured"));
	return json_pack(
		"{s:s,s:b,s:o}", "class", "none", "operator_can_read", 1, "checks", checks);
}

int trust_evidence_verify(const json_t *evidence, const struct trust_expect *expect,
	json_t **ret_result, json_t **ret_enc_jwk, json_t **ret_sig_jwk, struct err *err)
{
	if (rule_check(EVIDENCE, evidence, "evidence.invalid", "evidence", err) < 0 ||
		check_binding(evidence, err) < 0 || check_freshness(evidence, expect, err) < 0 ||
		check_initdata(json_object_get(evidence, "initdata"), expect, err) < 0 ||
		check_class(evidence, expect->min_class, err) < 0)
		return -1;
	if (ret_result)
		*ret_result = result_for_none();
	if (ret_enc_jwk)
		*ret_enc_jwk = json_deep_copy(json_object_get(evidence, "enc"));
	if (ret_sig_jwk)
		*ret_sig_jwk = json_deep_copy(json_object_get(evidence, "sig"));
	return 0;
}
