/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claim, initdata and evidence as they are made. Verifying is in trust_evidence_verify.c: the agent
 * does not carry that.
 */
#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/rule.h"
#include "proto/trust_secret.h"

#define CLAIM_VERSION "strongroom-claim-1"
#define INITDATA_VERSION "strongroom-initdata-1"

/* --- shapes --- */

static bool is_claim_version(const char *text)
{
	return strcmp(text, CLAIM_VERSION) == 0;
}

static bool is_initdata_version(const char *text)
{
	return strcmp(text, INITDATA_VERSION) == 0;
}

static bool is_host(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-");

	return len > 0 && len <= 253 && text[len] == '\0';
}

const struct rule trust_claim_rules[] = {
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

const struct rule trust_initdata_rules[] = {
	{ .name = "v", .kind = RULE_TEXT, .is = is_initdata_version },
	{ .name = "template", .kind = RULE_OBJECT, .of = TEMPLATE },
	{ .name = "sandbox", .kind = RULE_TEXT, .is = rule_is_sandbox },
	{ .name = "edge", .kind = RULE_OBJECT, .of = EDGE },
	{ .name = "classes", .kind = RULE_SET, .min = 1, .max = 8, .of = &CLASS },
	{ .name = NULL },
};

int trust_claim_check(const json_t *claim, struct err *err)
{
	return rule_check(trust_claim_rules, claim, "claim.invalid", "claim", err);
}

int trust_initdata_check(const json_t *initdata, struct err *err)
{
	return rule_check(trust_initdata_rules, initdata, "initdata.invalid", "initdata", err);
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

int trust_class_rank(const char *class)
{
	if (!class)
		return 0;
	if (strcmp(class, "tee") == 0 || strncmp(class, "tee-", 4) == 0)
		return 2;
	return strcmp(class, "software-tpm") == 0 ? 1 : 0;
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
	bound = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "v", TRUST_EVIDENCE_VERSION, "enc", enc,
		"sig", sig, "nonce", nonce, "initdata", initdata_digest, "claim", claim_digest);
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
	return jose_sign(key, TRUST_EVIDENCE_TYP, header, payload, ret_jws, err);
}

int trust_evidence_make(const json_t *sig_private, const json_t *enc_jwk, const char *nonce,
	const json_t *initdata, const json_t *claim, json_t *report, json_t **ret_evidence,
	struct err *err)
{
	auto_json json_t *sig_jwk = jose_key_public(sig_private), *enc = jose_key_public(enc_jwk);
	unsigned char binding[DIGEST_SIZE];
	auto_json json_t *jws = NULL;

	if (trust_evidence_binding(enc, sig_jwk, nonce, initdata, claim, binding, err) < 0 ||
		sign_binding(sig_private, binding, &jws, err) < 0)
		return -1;
	*ret_evidence = json_pack("{s:s,s:s,s:O,s:O,s:s,s:O,s:O,s:O?,s:O}", "v",
		TRUST_EVIDENCE_VERSION, "class", report ? "software-tpm" : "none", "enc", enc,
		"sig", sig_jwk, "nonce", nonce, "initdata", initdata, "claim", claim, "report",
		report, "jws", jws);
	return 0;
}
