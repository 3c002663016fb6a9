/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence of real TPMs (tests/support/vtpm.py made tests/data/vtpm/machines.json), then each of
 * it attacked: every attack has a code of its own, and nothing that is unproven is called ok.
 */
#include "lib/evidence.h"
#include "lib/firmware.h"
#include "proto/trust.h"
#include "tests/unit/vtpm_run.h"

#define NOW 1790000000LL
#define FIRMWARE "b157d97b1f69729514feb7f201d2cbe4957f23ab77920e361fe9f822ba49ca4c"
#define DXE "82a0445201cb49945461acc6ed78426700fb7e92819862edc55ba3ad4559b135"

static json_t *machines;
static struct reference reference;
static struct err err;

static void from_hex(const char *hex, unsigned char ret[DIGEST_SIZE])
{
	CHECK(codec_hex_decode(hex, ret, DIGEST_SIZE, NULL) == 0);
}

static void set_up(void)
{
	auto_buf text = BUF_INIT(1 << 20), initramfs = BUF_INIT(8192);
	auto_free unsigned char *bytes = NULL;
	const char *encoded;
	size_t len = 0;

	CHECK(buf_read_file(&text, RUN_FOLDER "/machines.json", NULL) == 0);
	machines = json_parse((const char *)text.data, text.len, NULL);
	encoded = json_text(machines, "initramfs");
	CHECK(codec_b64url_decode(encoded, strlen(encoded), &bytes, &len, NULL) == 0);
	buf_add(&initramfs, bytes, len, NULL);
	while (initramfs.len % 4096 != 0)
		buf_add(&initramfs, "", 1, NULL);
	reference = (struct reference) {
		.cmdline = "console=ttyS0 quiet", .memory_mib = 256, .vcpus = 1
	};
	from_hex(FIRMWARE, reference.firmware);
	from_hex(DXE, reference.dxe);
	from_hex(json_text(machines, "kernel"), reference.kernel);
	CHECK(firmware_pei_digest(reference.firmware, 256, 1, reference.pei, &err) == 0);
	digest_state_make(initramfs.data, initramfs.len, &reference.initramfs);
}

static struct trust_expect expectation(void)
{
	const json_t *claim = json_object_get(machines, "claim");

	return (struct trust_expect) { .sandbox_id = "sbx_0190f1c2000070008000000000000002",
		.template_id = "measured-small",
		.template_version = 1,
		.nonce = json_text(claim, "nonce"),
		.claim = claim,
		.min_class = "software-tpm",
		.vtpm_ca = json_text(machines, "vtpm_ca"),
		.reference = &reference,
		.activation = EVIDENCE_ACTIVATED,
		.now = NOW };
}

static json_t *take(const char *name)
{
	json_t *evidence = json_deep_copy(json_object_get(machines, name));

	CHECK(json_is_object(evidence));
	return evidence;
}

static const char *result_of(const json_t *result, const char *code)
{
	const json_t *check;
	size_t i;

	json_array_foreach (json_object_get(result, "checks"), i, check) {
		if (strcmp(json_text(check, "code"), code) == 0)
			return json_text(check, "result");
	}
	return NULL;
}

static void expect_code(const json_t *evidence, const struct trust_expect *expect, const char *code)
{
	auto_json json_t *result = trust_evidence_appraise(evidence, expect);

	CHECK_TEXT(json_text(result, "failed"), code);
	CHECK_TEXT(json_text(result, "class"), "none");
	CHECK_FAILS(trust_evidence_verify(evidence, expect, NULL, NULL, NULL, &err), &err, code);
}

static void test_good(void)
{
	auto_json json_t *good = take("good"), *second = take("second"), *result = NULL;
	struct trust_expect expect = expectation();
	size_t i, n_ok = 0;
	json_t *check;

	CHECK(trust_evidence_verify(good, &expect, &result, NULL, NULL, &err) == 0);
	CHECK_TEXT(json_text(result, "class"), "software-tpm");
	CHECK(json_is_null(json_object_get(result, "failed")));
	CHECK(json_is_true(json_object_get(result, "operator_can_read")));
	json_array_foreach (json_object_get(result, "checks"), i, check)
		n_ok += strcmp(json_text(check, "result"), "ok") == 0;
	CHECK_NUMBER(json_array_size(json_object_get(result, "checks")), 34);
	CHECK_NUMBER(n_ok, 33); /* all but hardware */
	CHECK_TEXT(result_of(result, "evidence.hardware"), "not_measured");
	CHECK_TEXT(result_of(result, "evidence.pcr_9"), "ok");
	expect_code(second, &expect, "evidence.nonce");
	expect.nonce = json_text(machines, "second_nonce");
	CHECK(trust_evidence_verify(second, &expect, NULL, NULL, NULL, &err) == 0);
}

static void test_offline(void)
{
	auto_json json_t *good = take("good"), *result = NULL;
	struct trust_expect expect = expectation();

	expect.is_offline = true;
	expect.nonce = NULL;
	expect.claim = NULL;
	expect.activation = EVIDENCE_OFFLINE;
	CHECK(trust_evidence_verify(good, &expect, &result, NULL, NULL, &err) == 0);
	CHECK_TEXT(result_of(result, "evidence.activation"), "not_provable_offline");
	CHECK_TEXT(result_of(result, "evidence.nonce"), "not_provable_offline");
	CHECK_TEXT(result_of(result, "evidence.claim"), "not_provable_offline");
	expect.nonce = json_text(machines, "second_nonce");
	expect_code(good, &expect, "evidence.nonce");
}

/* What machines sent that are not right. */
static void test_other_machines(void)
{
	static const struct {
		const char *name, *code;
	} rows[] = {
		{ "other_ca", "evidence.ek_chain" },
		{ "platform", "evidence.ek_certificate" },
		{ "weak_ak", "evidence.ak_attributes" },
		{ "rsa_ak", "evidence.ak_scheme" },
		{ "short_selection", "evidence.pcr_selection" },
		{ "unclaimed", "evidence.pcr_14" },
		{ "other_vm", "evidence.initdata" },
	};
	struct trust_expect expect = expectation();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json json_t *evidence = take(rows[i].name);

		expect_code(evidence, &expect, rows[i].code);
	}
}

static void put_report(json_t *evidence, const char *from, const char *member)
{
	json_t *theirs = json_object_get(json_object_get(machines, from), "report");

	if (!member)
		json_object_set_new(evidence, "report", json_deep_copy(theirs));
	else
		json_object_set_new(json_object_get(evidence, "report"), member,
			json_deep_copy(json_object_get(theirs, member)));
}

/* Parts of one machine's evidence put into another's. */
static void test_mixed(void)
{
	struct trust_expect expect = expectation();
	auto_json json_t *replayed = take("second"), *others = take("good"), *quote = take("good"),
			 *keys = take("good"), *attested = take("good");
	auto_json json_t *thief = jose_key_new("enc"), *theirs = jose_key_public(thief);

	expect.nonce = json_text(machines, "second_nonce");
	put_report(replayed, "good", NULL); /* an old quote beside a new nonce */
	expect_code(replayed, &expect, "evidence.extra_data");
	expect = expectation();
	put_report(others, "other_vm", NULL);
	expect_code(others, &expect, "evidence.ek_subject");
	put_report(quote, "other_vm", "quote");
	expect_code(quote, &expect, "evidence.quote_signature");
	put_report(attested, "other_vm", "ak");
	expect_code(attested, &expect, "evidence.quote_signature");
	json_object_set(keys, "enc", theirs); /* the operator's own key to wrap to */
	expect_code(keys, &expect, "evidence.binding");
}

/* The sandbox's own signing key can be had by nobody else, but an operator can make a pair: the
 * quote is what does not fit then. */
static void test_swapped_keys(void)
{
	struct trust_expect expect = expectation();
	auto_json json_t *good = take("good"), *sig = jose_key_new("sig"),
			 *enc = jose_key_new("enc"), *made = NULL;

	CHECK(trust_evidence_make(sig, enc, expect.nonce, json_object_get(good, "initdata"),
		      expect.claim, json_object_get(good, "report"), &made, &err) == 0);
	expect_code(made, &expect, "evidence.extra_data");
}

static void flip(json_t *evidence, const char *member, size_t at)
{
	json_t *report = json_object_get(evidence, "report");
	const char *text = json_text(report, member);
	auto_free unsigned char *bytes = NULL;
	auto_free char *changed = NULL;
	size_t len = 0;

	CHECK(codec_b64url_decode(text, strlen(text), &bytes, &len, NULL) == 0 && at < len);
	bytes[at] ^= 1;
	changed = codec_b64url_text(bytes, len);
	json_object_set_new(report, member, json_string(changed));
}

static void test_altered(void)
{
	static const struct {
		const char *member;
		size_t at;
		const char *code;
	} rows[] = {
		{ "quote", 0, "evidence.quote_form" },
		{ "quote", 60, "evidence.quote_signature" },
		{ "signature", 30, "evidence.quote_signature" },
		{ "event_log", 120, "evidence.event_log" }, /* a PCR that does not exist */
		{ "event_log", 135, "evidence.event_log" }, /* a digest */
		{ "ak", 0, "evidence.ak_scheme" },
		{ "ak", 5, "evidence.ak_attributes" },
	};
	struct trust_expect expect = expectation();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json json_t *evidence = take("good");

		flip(evidence, rows[i].member, rows[i].at);
		expect_code(evidence, &expect, rows[i].code);
	}
}

/* Beside an edited log the PCRs themselves are still proven to be the predicted ones. */
static void test_edited_log(void)
{
	struct trust_expect expect = expectation();
	auto_json json_t *evidence = take("good"), *result = NULL, *both = NULL;

	flip(evidence, "event_log", 135);
	result = trust_evidence_appraise(evidence, &expect);
	CHECK_TEXT(result_of(result, "evidence.event_log"), "failed");
	CHECK_TEXT(result_of(result, "evidence.pcr_0"), "ok");
	CHECK_TEXT(result_of(result, "evidence.pcr_14"), "ok");
	CHECK_TEXT(result_of(result, "evidence.firmware"), "not_measured");
	reference.cmdline[0] = 'C';
	both = trust_evidence_appraise(evidence, &expect);
	reference.cmdline[0] = 'c';
	CHECK_TEXT(result_of(both, "evidence.pcr_5"), "not_measured");
	CHECK_TEXT(result_of(both, "evidence.pcr_9"), "failed");
	CHECK_TEXT(result_of(both, "evidence.pcr_14"), "not_measured");
}

/* --- a boot of other files than those the verifier has --- */

static void expect_part(const struct reference *changed, const char *code, const char *pcr)
{
	auto_json json_t *good = take("good"), *result = NULL;
	struct trust_expect expect = expectation();

	expect.reference = changed;
	expect_code(good, &expect, code);
	result = trust_evidence_appraise(good, &expect);
	CHECK_TEXT(result_of(result, pcr), "failed");
	CHECK_TEXT(result_of(result, "evidence.event_log"), "ok");
	CHECK_TEXT(result_of(result, "evidence.pcr_7"), "ok");
}

static void test_other_boots(void)
{
	struct reference changed = reference;

	changed.dxe[0] ^= 1;
	expect_part(&changed, "evidence.firmware", "evidence.pcr_0");
	changed = reference;
	changed.pei[0] ^= 1;
	expect_part(&changed, "evidence.memory", "evidence.pcr_0");
	changed = reference;
	changed.kernel[0] ^= 1;
	expect_part(&changed, "evidence.kernel", "evidence.pcr_4");
	changed = reference;
	changed.initramfs.words[7] ^= 1;
	expect_part(&changed, "evidence.initrd", "evidence.pcr_9");
	changed = reference;
	snprintf(changed.cmdline, sizeof(changed.cmdline), "console=ttyS0");
	expect_part(&changed, "evidence.cmdline", "evidence.pcr_9");
}

static void test_expectations(void)
{
	auto_json json_t *good = take("good"), *foreign = NULL;
	struct trust_expect expect = expectation();

	expect.activation = EVIDENCE_NOT_ACTIVATED;
	expect_code(good, &expect, "evidence.activation");
	expect = expectation();
	expect.vtpm_ca = NULL;
	expect_code(good, &expect, "evidence.ek_chain");
	expect = expectation();
	expect.reference = NULL;
	expect_code(good, &expect, "evidence.no_reference");
	expect = expectation();
	expect.now = 1500000000; /* before the certificates begin */
	expect_code(good, &expect, "evidence.ek_chain");
	expect = expectation();
	expect.min_class = "tee";
	CHECK_FAILS(trust_evidence_verify(good, &expect, NULL, NULL, NULL, &err), &err,
		"evidence.class_too_low");
	expect = expectation();
	foreign = json_deep_copy(expect.claim);
	json_object_set_new(foreign, "owner", json_string(FIRMWARE));
	expect.claim = foreign;
	expect_code(good, &expect, "evidence.claim");
}

/* A chain that the report itself brings is no anchor, however complete it is. */
static void test_own_root(void)
{
	struct trust_expect expect = expectation();
	auto_json json_t *evidence = take("other_ca");
	json_t *report = json_object_get(evidence, "report");

	json_object_set_new(report, "ek_chain", json_array());
	expect_code(evidence, &expect, "evidence.ek_chain");
	json_object_set_new(
		report, "ek_chain", json_pack("[s,s,s,s,s]", "AA", "AA", "AA", "AA", "AA"));
	expect_code(evidence, &expect, "evidence.report");
	json_object_del(report, "ek_chain");
	expect_code(evidence, &expect, "evidence.report");
}

/* Names may hold any bytes; the row must be there all the same. */
static void test_rows(void)
{
	auto_json json_t *checks = json_array();

	evidence_note(checks, "evidence.ek_subject", "x", EVIDENCE_FAILED, "\xff\xfe", "\x1b[2J");
	CHECK_NUMBER(json_array_size(checks), 1);
	CHECK(evidence_failed(checks) != NULL);
	CHECK_TEXT(json_text(json_array_get(checks, 0), "actual"), "?[2J");
}

static void test_ear(void)
{
	auto_json json_t *good = take("good"), *bad = take("other_ca"), *result = NULL,
			 *refused = NULL, *ear = NULL, *refusal = NULL;
	struct trust_expect expect = expectation();
	const json_t *sandbox;

	result = trust_evidence_appraise(good, &expect);
	ear = trust_ear_claims(result, good, "test", "https://relying.example", NOW);
	sandbox = json_object_get(json_object_get(ear, "submods"), "sandbox");
	CHECK_TEXT(json_text(ear, "eat_profile"), "tag:ietf.org,2026:rats/ear#04");
	CHECK_TEXT(json_text(ear, "aud"), "https://relying.example");
	CHECK_TEXT(json_text(ear, "eat_nonce"), expect.nonce);
	CHECK(json_equal(
		json_object_get(json_object_get(ear, "cnf"), "jwk"), json_object_get(good, "sig")));
	CHECK_TEXT(json_text(sandbox, "ear_status"), "affirming");
	CHECK(!json_object_get(json_object_get(sandbox, "ear_trustworthiness_vector"), "hardware"));
	refused = trust_evidence_appraise(bad, &expect);
	refusal = trust_ear_claims(refused, bad, "test", NULL, NOW);
	sandbox = json_object_get(json_object_get(refusal, "submods"), "sandbox");
	CHECK_TEXT(json_text(sandbox, "ear_status"), "contraindicated");
	CHECK_TEXT(json_text(sandbox, "strongroom_class"), "none");
	CHECK_NUMBER(json_object_size(json_object_get(sandbox, "ear_trustworthiness_vector")), 0);
}

/* The credential goes to this certificate's key and this key's name. */
static void test_credential(void)
{
	const json_t *good = json_object_get(machines, "good"), *report;
	const char *ca = json_text(machines, "vtpm_ca");
	struct tpm_credential credential;
	unsigned char secret[32] = { 1 };

	report = json_object_get(good, "report");
	CHECK(evidence_credential(json_text(report, "ek_certificate"), json_text(report, "ak"),
		      secret, sizeof(secret), &credential, &err) == 0);
	CHECK_FAILS(evidence_credential(json_text(report, "ak"), json_text(report, "ak"), secret,
			    sizeof(secret), &credential, &err),
		&err, "evidence.ek_certificate");
	CHECK_FAILS(evidence_credential(json_text(report, "ek_certificate"), "AAAA", secret,
			    sizeof(secret), &credential, &err),
		&err, "tpm.structure");
	CHECK_FAILS(evidence_credential(ca, "AAAA", secret, sizeof(secret), &credential, &err),
		&err, "encoding.base64");
}

int main(void)
{
	set_up();
	test_good();
	test_offline();
	test_other_machines();
	test_mixed();
	test_swapped_keys();
	test_altered();
	test_edited_log();
	test_other_boots();
	test_expectations();
	test_own_root();
	test_rows();
	test_credential();
	test_ear();
	json_decref(machines);
	CHECK_DONE();
}
