/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence against what the verifying side knows. The class is computed here: evidence without a
 * report proves that the holder of both machine keys answered this claim, and nothing about where
 * they live; with a TPM's report, that this boot chain ran beside a TPM of the operator's.
 */
#include <string.h>

#include "lib/codec.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust_secret.h"

static const char *const KID[] = { "kid", NULL };

static bool is_evidence_version(const char *text)
{
	return strcmp(text, TRUST_EVIDENCE_VERSION) == 0;
}

static const struct rule EVIDENCE[] = {
	{ .name = "v", .kind = RULE_TEXT, .is = is_evidence_version },
	{ .name = "class", .kind = RULE_TEXT, .is = rule_is_class },
	{ .name = "enc", .kind = RULE_ANY },
	{ .name = "sig", .kind = RULE_ANY },
	{ .name = "nonce", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = "initdata", .kind = RULE_OBJECT, .of = trust_initdata_rules },
	{ .name = "claim", .kind = RULE_OBJECT, .of = trust_claim_rules },
	{ .name = "report", .kind = RULE_ANY },
	{ .name = "jws", .kind = RULE_ANY },
	{ .name = NULL },
};

static const struct rule PAYLOAD[] = {
	{ .name = "binding", .kind = RULE_TEXT, .is = rule_is_bytes32 },
	{ .name = NULL },
};

/* --- keys and binding --- */

static int binding_of(
	const json_t *evidence, unsigned char ret_binding[DIGEST_SIZE], struct err *err)
{
	const json_t *enc = json_object_get(evidence, "enc"),
		     *sig = json_object_get(evidence, "sig");

	if (jose_key_check_public(enc, "enc", err) < 0 ||
		jose_key_check_public(sig, "sig", err) < 0)
		return -1;
	return trust_evidence_binding(enc, sig, json_text(evidence, "nonce"),
		json_object_get(evidence, "initdata"), json_object_get(evidence, "claim"),
		ret_binding, err);
}

static int check_signature(const json_t *evidence, json_t **ret_payload, struct err *err)
{
	const json_t *sig = json_object_get(evidence, "sig");
	struct err inner = { .kind = ERR_NONE };
	auto_json json_t *header = NULL;
	char kid[JOSE_THUMBPRINT_SIZE];
	auto_key EVP_PKEY *key = NULL;

	if (jose_key_to_evp(sig, &key, err) < 0 || jose_key_thumbprint(sig, kid, err) < 0)
		return -1;
	if (jose_verify(key, TRUST_EVIDENCE_TYP, KID, json_object_get(evidence, "jws"), &header,
		    ret_payload, &inner) < 0)
		return err_set(err, ERR_UNPROCESSABLE, "evidence.signature", "%s", inner.detail);
	if (strcmp(json_text(header, "kid"), kid) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "evidence.signature",
			"the evidence is signed in the name of another key");
	return 0;
}

static int check_binding(
	const json_t *payload, const unsigned char binding[DIGEST_SIZE], struct err *err)
{
	unsigned char stated[DIGEST_SIZE];

	if (rule_check(PAYLOAD, payload, "evidence.binding", "binding", err) < 0)
		return -1;
	if (codec_b64url_decode_fixed(json_text(payload, "binding"), stated, sizeof(stated), err) <
			0 ||
		!digest_equal(binding, stated, sizeof(stated)))
		return err_set(err, ERR_UNPROCESSABLE, "evidence.binding",
			"what is signed is not bound to these keys, nonce, initdata and claim");
	return 0;
}

/* False when there is nothing to go on with. */
static bool note_keys(
	const json_t *evidence, unsigned char ret_binding[DIGEST_SIZE], json_t *checks)
{
	static const char signature[] = "by the machine signing key",
			  bound[] = "keys, nonce, initdata, claim";
	struct err err = { .kind = ERR_NONE };
	auto_json json_t *payload = NULL;

	if (binding_of(evidence, ret_binding, &err) < 0 ||
		check_signature(evidence, &payload, &err) < 0) {
		evidence_note(
			checks, err.code, "signature", EVIDENCE_FAILED, signature, err.detail);
		return false;
	}
	evidence_note(checks, "evidence.signature", "signature", EVIDENCE_OK, signature, signature);
	if (check_binding(payload, ret_binding, &err) < 0) {
		evidence_note(checks, err.code, "binding", EVIDENCE_FAILED, bound, err.detail);
		return false;
	}
	evidence_note(checks, "evidence.binding", "binding", EVIDENCE_OK, bound, bound);
	return true;
}

/* --- nonce, claim, initdata --- */

static void note_freshness(
	const json_t *evidence, const struct trust_expect *expect, json_t *checks)
{
	const char *nonce = json_text(evidence, "nonce");
	bool is_same = expect->nonce && strcmp(expect->nonce, nonce) == 0;
	enum evidence_result unknown =
		expect->is_offline ? EVIDENCE_NOT_PROVABLE_OFFLINE : EVIDENCE_FAILED;

	evidence_note(checks, "evidence.nonce", "nonce",
		is_same		? EVIDENCE_OK
		: expect->nonce ? EVIDENCE_FAILED
				: unknown,
		expect->nonce, nonce);
	is_same = expect->claim && json_equal(expect->claim, json_object_get(evidence, "claim"));
	evidence_note(checks, "evidence.claim", "claim",
		is_same		? EVIDENCE_OK
		: expect->claim ? EVIDENCE_FAILED
				: unknown,
		"the verifier's own", is_same ? "the verifier's own" : "another one");
}

static bool differs(const char *expected, const char *actual)
{
	return expected && strcmp(expected, actual) != 0;
}

/* What the initdata names otherwise than expected; NULL when nothing. */
static const char *fault_of_initdata(const json_t *evidence, const struct trust_expect *expect)
{
	const json_t *initdata = json_object_get(evidence, "initdata"),
		     *template = json_object_get(initdata, "template");

	if (differs(expect->sandbox_id, json_text(initdata, "sandbox")))
		return "names another sandbox";
	if (differs(expect->template_id, json_text(template, "id")))
		return "names another template";
	if (expect->template_version &&
		expect->template_version !=
			json_integer_value(json_object_get(template, "version")))
		return "names another version of the template";
	if (differs(expect->edge_ca_spki, json_text(json_object_get(initdata, "edge"), "ca_spki")))
		return "names another edge CA";
	if (!trust_initdata_allows(initdata, json_text(evidence, "class")))
		return "does not allow the evidence's class";
	return NULL;
}

static void note_initdata(const json_t *evidence, const struct trust_expect *expect, json_t *checks)
{
	static const char expected[] = "this sandbox, template, version, edge CA and class";
	const char *fault = fault_of_initdata(evidence, expect);
	bool is_measured = json_is_object(json_object_get(evidence, "report"));

	evidence_note(checks, "evidence.initdata", "initdata",
		fault	      ? EVIDENCE_FAILED
		: is_measured ? EVIDENCE_OK
			      : EVIDENCE_NOT_MEASURED,
		expected, fault ? fault : expected);
}

/* --- report and class --- */

static bool note_kind(const json_t *evidence, json_t *checks)
{
	const char *class = json_text(evidence, "class");
	const json_t *report = json_object_get(evidence, "report");

	if ((strcmp(class, "none") == 0 && json_is_null(report)) ||
		(strcmp(class, "software-tpm") == 0 && json_is_object(report)))
		return true;
	evidence_note(checks, "evidence.class_unknown", "class", EVIDENCE_FAILED,
		"none, or software-tpm with a report", class);
	return false;
}

/* False when the checks could not be made at all. */
static bool note_report(const json_t *evidence, const struct trust_expect *expect,
	const unsigned char binding[DIGEST_SIZE], json_t *checks)
{
	struct evidence_expect tpm = { .vtpm_ca = expect->vtpm_ca,
		.subject = json_text(json_object_get(evidence, "initdata"), "sandbox"),
		.reference = expect->reference,
		.activation = expect->activation,
		.now = expect->now };
	auto_free char *initdata = NULL, *claim = NULL;
	size_t initdata_len = 0, claim_len = 0;
	struct reference_boot boot;

	if (jcs_encode(json_object_get(evidence, "initdata"), &initdata, &initdata_len, NULL) < 0 ||
		jcs_encode(json_object_get(evidence, "claim"), &claim, &claim_len, NULL) < 0)
		return false;
	digest_sha256(claim, claim_len, tpm.claim);
	memcpy(tpm.binding, binding, DIGEST_SIZE);
	if (expect->reference &&
		reference_boot(expect->reference, initdata, initdata_len, &boot, NULL) == 0)
		tpm.boot = &boot;
	evidence_check_report(json_object_get(evidence, "report"), &tpm, checks);
	return true;
}

static void note_class(const char *class, const char *min_class, json_t *checks)
{
	const char *minimum = min_class ? min_class : "tee";
	auto_free char *expected = mem_printf("at least %s", minimum);

	evidence_note(checks, "evidence.class_too_low", "class",
		trust_class_rank(class) >= trust_class_rank(minimum) ? EVIDENCE_OK
								     : EVIDENCE_FAILED,
		expected, class);
}

static const char *appraise(
	const json_t *evidence, const struct trust_expect *expect, json_t *checks)
{
	const char *class = "none";
	unsigned char binding[DIGEST_SIZE];

	if (!note_keys(evidence, binding, checks))
		return class;
	note_freshness(evidence, expect, checks);
	if (!note_kind(evidence, checks))
		return class;
	note_initdata(evidence, expect, checks);
	if (json_is_object(json_object_get(evidence, "report"))) {
		if (note_report(evidence, expect, binding, checks) && !evidence_failed(checks))
			class = "software-tpm";
	} else {
		evidence_note(
			checks, "evidence.launch", "launch", EVIDENCE_NOT_MEASURED, NULL, NULL);
	}
	evidence_note(checks, "evidence.hardware", "hardware", EVIDENCE_NOT_MEASURED, NULL, NULL);
	note_class(class, expect->min_class, checks);
	return class;
}

json_t *trust_evidence_appraise(const json_t *evidence, const struct trust_expect *expect)
{
	struct err err = { .kind = ERR_NONE };
	json_t *checks = json_array();
	const json_t *failed;
	const char *class = "none";

	if (rule_check(EVIDENCE, evidence, "evidence.invalid", "evidence", &err) < 0)
		evidence_note(checks, err.code, "form", EVIDENCE_FAILED,
			"exactly the members of the contract", err.detail);
	else
		class = appraise(evidence, expect, checks);
	failed = evidence_failed(checks);
	return json_pack("{s:s,s:b,s:s?,s:o}", "class", class, "operator_can_read",
		trust_class_rank(class) < 2, "failed", failed ? json_text(failed, "code") : NULL,
		"checks", checks);
}

/* --- the calls that fail --- */

static int fail(const json_t *check, struct err *err)
{
	const char *expected = json_text(check, "expected"), *actual = json_text(check, "actual"),
		   *code = json_text(check, "code");

	return err_set(err, ERR_UNPROCESSABLE, code, "%s: expected %s, found %s",
		json_text(check, "name"), expected ? expected : "-", actual ? actual : "nothing");
}

int trust_appraisal_fail(const json_t *result, struct err *err)
{
	const json_t *failed = evidence_failed(json_object_get(result, "checks"));

	return failed ? fail(failed, err) : 0;
}

static void hand_keys(const json_t *evidence, json_t **ret_enc_jwk, json_t **ret_sig_jwk)
{
	if (ret_enc_jwk)
		*ret_enc_jwk = json_deep_copy(json_object_get(evidence, "enc"));
	if (ret_sig_jwk)
		*ret_sig_jwk = json_deep_copy(json_object_get(evidence, "sig"));
}

int trust_evidence_verify(const json_t *evidence, const struct trust_expect *expect,
	json_t **ret_result, json_t **ret_enc_jwk, json_t **ret_sig_jwk, struct err *err)
{
	auto_json json_t *result = NULL;

	if (rule_check(EVIDENCE, evidence, "evidence.invalid", "evidence", err) < 0)
		return -1;
	result = trust_evidence_appraise(evidence, expect);
	if (trust_appraisal_fail(result, err) < 0)
		return -1;
	if (ret_result)
		*ret_result = take_ptr(result);
	hand_keys(evidence, ret_enc_jwk, ret_sig_jwk);
	return 0;
}

int trust_evidence_bound(const json_t *evidence, const struct trust_expect *expect,
	json_t **ret_enc_jwk, json_t **ret_sig_jwk, struct err *err)
{
	auto_json json_t *checks = json_array();
	unsigned char binding[DIGEST_SIZE];

	if (rule_check(EVIDENCE, evidence, "evidence.invalid", "evidence", err) < 0)
		return -1;
	if (note_keys(evidence, binding, checks)) {
		note_freshness(evidence, expect, checks);
		if (note_kind(evidence, checks))
			note_initdata(evidence, expect, checks);
	}
	if (evidence_failed(checks))
		return fail(evidence_failed(checks), err);
	hand_keys(evidence, ret_enc_jwk, ret_sig_jwk);
	return 0;
}
