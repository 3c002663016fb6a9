/* SPDX-License-Identifier: Apache-2.0 */
/* What is made for and by machines: grants, evidence and receipts, swapped, replayed, altered, or
 * of another run. */
#include "tests/unit/trust_world.h"

/* --- grants --- */

static json_t *grant(const char *hash, const char *slot, const char *nonce, const json_t *opening)
{
	json_t *jwe = NULL;

	CHECK(trust_grant_make(w.enc_public, hash, slot, nonce, opening, &jwe, &err) == 0);
	return jwe;
}

static void expect_grant(const json_t *jwe, const char *code)
{
	json_t *secret = NULL;
	char slot[64] = "";

	CHECK_FAILS(
		trust_grant_open(w.enc, &w.policy, &w.order, jwe, &secret, slot, &err), &err, code);
	CHECK(secret == NULL && slot[0] == '\0');
}

static void test_grants(void)
{
	const char *hash = w.policy.hash, *nonce = w.order.run_nonce, *input = "input/conditions";
	auto_json json_t *good = grant(hash, input, nonce, w.input_opening), *secret = NULL,
			 *header = NULL;
	auto_json json_t *policy = grant(D0, input, nonce, w.input_opening),
			 *flipped = json_deep_copy(good);
	char other_nonce[TRUST_NONCE_TEXT_SIZE], slot[64] = "";
	auto_json json_t *run = NULL;

	CHECK(trust_grant_open(w.enc, &w.policy, &w.order, good, &secret, slot, &err) == 0);
	CHECK_TEXT(slot, input);
	CHECK(json_equal(secret, json_object_get(w.input_opening, "secret")));
	CHECK(trust_grant_peek(good, &header, &err) == 0);
	CHECK_TEXT(json_text(header, "kid"), w.order.enc_thumbprint);
	make_nonce(other_nonce);
	run = grant(hash, input, other_nonce, w.input_opening);
	expect_grant(policy, "grant.wrong_policy");
	expect_grant(run, "grant.wrong_run");
	json_object_set_new(flipped, "tag", json_string("AAAAAAAAAAAAAAAAAAAAAA"));
	expect_grant(flipped, "grant.open");
	json_object_set_new(flipped, "header", json_object());
	expect_grant(flipped, "grant.open");
	json_object_set_new(flipped, "protected", json_string("e30"));
	expect_grant(flipped, "grant.invalid");
	expect_grant(NULL, "grant.invalid");
}

/* Another secret under the same policy hash, slot and run: what commitments are for. */
static void test_swapped_grants(void)
{
	const char *hash = w.policy.hash, *nonce = w.order.run_nonce, *input = "input/conditions";
	auto_json json_t *secret = make_key_secret(), *opening = NULL, *swapped = NULL,
			 *same_slot = NULL;
	auto_json json_t *resalted = NULL, *resalted_grant = NULL, *undefined = NULL,
			 *undefined_grant = NULL;
	char commitment[DIGEST_TEXT_SIZE];
	json_t *none = NULL;

	CHECK(trust_commit(input, secret, &opening, commitment, &err) == 0);
	swapped = grant(hash, input, nonce, opening);
	expect_grant(swapped, "grant.commitment");

	/* the right secret with another salt */
	CHECK(trust_commit(input, json_object_get(w.input_opening, "secret"), &resalted, commitment,
		      &err) == 0);
	resalted_grant = grant(hash, input, nonce, resalted);
	expect_grant(resalted_grant, "grant.commitment");

	CHECK(trust_commit("input/nothing", secret, &undefined, commitment, &err) == 0);
	undefined_grant = grant(hash, "input/nothing", nonce, undefined);
	expect_grant(undefined_grant, "grant.wrong_slot");
	CHECK_FAILS(
		trust_grant_make(w.enc_public, hash, "output", nonce, w.input_opening, &none, &err),
		&err, "grant.wrong_slot");
	same_slot = grant(hash, "output", nonce, w.output_opening);
	CHECK(trust_grant_open(
		      w.enc, &w.policy, &w.order, same_slot, &none, (char[64]) { 0 }, &err) == 0);
	json_decref(none);
}

/* A grant made by hand: header and content need not agree, nor come from our own code. */
static json_t *grant_by_hand(
	const char *slot, const json_t *opening, const char *mode, const char *typ)
{
	auto_json json_t *header =
		json_pack("{s:s,s:s,s:s,s:s,s:s}", "typ", typ, "policy", w.policy.hash, "slot",
			slot, "run_nonce", w.order.run_nonce, "kid", w.order.enc_thumbprint);
	auto_json json_t *content = json_pack("{s:O,s:s}", "opening", opening, "mode", mode);
	auto_free char *text = json_dumps(content, JSON_COMPACT);
	json_t *jwe = NULL;

	CHECK(jose_encrypt(w.enc_public, header, text, strlen(text), &jwe, &err) == 0);
	return jwe;
}

static void test_grants_by_hand(void)
{
	const char *typ = "strongroom-grant+jwe";
	auto_json json_t *slot = grant_by_hand("output", w.input_opening, "once", typ);
	auto_json json_t *mode = grant_by_hand("output", w.output_opening, "lease", typ);
	auto_json json_t *typed = grant_by_hand("output", w.output_opening, "once", "other+jwe");
	auto_json json_t *junk = json_object(),
			 *no_opening = grant_by_hand("output", junk, "once", typ);
	auto_json json_t *bad_mode = grant_by_hand("output", w.output_opening, "x", typ);

	expect_grant(slot, "grant.commitment");
	expect_grant(mode, "grant.mode");
	expect_grant(typed, "grant.invalid");
	expect_grant(no_opening, "grant.commitment");
	expect_grant(bad_mode, "grant.open");
}

static void expect_release(const json_t *given, const json_t *envelope, const char *code)
{
	err_clear(&err);
	CHECK_FAILS(trust_release_check(&w.policy, given, envelope, &err), &err, code);
}

/* By the owner's key, for this very grant. */
static void test_releases(void)
{
	const char *nonce = w.order.run_nonce;
	auto_json json_t *good = grant(w.policy.hash, "output", nonce, w.output_opening),
			 *again = grant(w.policy.hash, "output", nonce, w.output_opening),
			 *other = grant(w.policy.hash, "input/conditions", nonce, w.input_opening),
			 *elsewhere = grant(D0, "output", nonce, w.output_opening);
	auto_json json_t *release = NULL, *forged = NULL, *wrong = NULL;

	CHECK_NUMBER(trust_release_make(w.anna, good, NOW, &release, &err), 0);
	CHECK_NUMBER(trust_release_check(&w.policy, good, release, &err), 0);
	expect_release(again, release, "release.wrong_grant"); /* the same secret, wrapped anew */
	expect_release(other, release, "release.wrong_grant");
	CHECK_NUMBER(trust_release_make(w.mallory, good, NOW, &forged, &err), 0);
	expect_release(good, forged, "release.not_the_owner");
	CHECK_NUMBER(trust_release_make(w.anna, elsewhere, NOW, &wrong, &err), 0);
	expect_release(elsewhere, wrong, "release.wrong_policy");
	expect_release(good, w.order_envelope, "trust.envelope");
	expect_release(good, NULL, "trust.envelope");
}

static void test_grant_for_another_machine(void)
{
	auto_json json_t *jwe = grant(w.policy.hash, "output", w.order.run_nonce, w.output_opening);
	auto_json json_t *other = jose_key_new("enc");
	struct trust_order order = w.order;
	json_t *secret = NULL;
	char slot[64];

	CHECK_FAILS(trust_grant_open(other, &w.policy, &w.order, jwe, &secret, slot, &err), &err,
		"grant.wrong_key");
	CHECK(jose_key_thumbprint(other, order.enc_thumbprint, &err) == 0);
	CHECK_FAILS(trust_grant_open(w.enc, &w.policy, &order, jwe, &secret, slot, &err), &err,
		"grant.wrong_key");
}

/* --- evidence --- */

static json_t *make_claim(const char *nonce)
{
	return json_pack("{s:s,s:s,s:n,s:s}", "v", "strongroom-claim-1", "owner", w.anna_spki,
		"policy", "nonce", nonce);
}

static json_t *make_initdata(const char *class)
{
	return json_pack("{s:s,s:{s:s,s:i},s:s,s:{s:s,s:i,s:s},s:[s]}", "v",
		"strongroom-initdata-1", "template", "id", "small", "version", 1, "sandbox",
		SANDBOX, "edge", "host", "10.0.2.2", "port", 8443, "ca_spki", D1, "classes", class);
}

static void expect_evidence(
	const json_t *evidence, const struct trust_expect *expect, const char *code)
{
	json_t *result = NULL, *enc = NULL, *sig = NULL;

	CHECK_FAILS(trust_evidence_verify(evidence, expect, &result, &enc, &sig, &err), &err, code);
	CHECK(!result && !enc && !sig);
}

static void test_evidence(void)
{
	char nonce[TRUST_NONCE_TEXT_SIZE], stale[TRUST_NONCE_TEXT_SIZE];
	auto_json json_t *claim = NULL, *initdata = make_initdata("none"), *evidence = NULL,
			 *old = NULL;
	auto_json json_t *result = NULL, *enc = NULL, *sig = NULL, *other_claim = NULL,
			 *tee = make_initdata("tee-sev-snp");
	struct trust_expect expect = { .sandbox_id = SANDBOX,
		.template_id = "small",
		.edge_ca_spki = D1,
		.nonce = nonce,
		.template_version = 1,
		.min_class = "none" },
			    wrong;

	make_nonce(nonce);
	make_nonce(stale);
	expect.claim = claim = make_claim(nonce);
	CHECK(trust_evidence_make(
		      w.sig, w.enc_public, nonce, initdata, claim, NULL, &evidence, &err) == 0);
	CHECK(trust_evidence_verify(evidence, &expect, &result, &enc, &sig, &err) == 0);
	CHECK_TEXT(json_text(result, "class"), "none");
	CHECK(json_is_true(json_object_get(result, "operator_can_read")));
	CHECK(json_equal(enc, w.enc_public) && json_equal(sig, w.sig_public));

	wrong = expect, wrong.sandbox_id = RUN;
	expect_evidence(evidence, &wrong, "evidence.initdata");
	wrong = expect, wrong.template_id = "large";
	expect_evidence(evidence, &wrong, "evidence.initdata");
	wrong = expect, wrong.template_version = 2;
	expect_evidence(evidence, &wrong, "evidence.initdata");
	wrong = expect, wrong.edge_ca_spki = D0;
	expect_evidence(evidence, &wrong, "evidence.initdata");
	wrong = expect, wrong.nonce = stale;
	expect_evidence(evidence, &wrong, "evidence.nonce");
	wrong = expect, wrong.nonce = NULL;
	expect_evidence(evidence, &wrong, "evidence.nonce");
	wrong = expect, wrong.claim = other_claim = make_claim(stale);
	expect_evidence(evidence, &wrong, "evidence.claim");
	wrong = expect, wrong.min_class = "tee";
	expect_evidence(evidence, &wrong, "evidence.class_too_low");
	wrong = expect, wrong.min_class = NULL;
	expect_evidence(evidence, &wrong, "evidence.class_too_low");
	CHECK(trust_evidence_make(w.sig, w.enc_public, nonce, tee, claim, NULL, &old, &err) == 0);
	expect_evidence(old, &expect, "evidence.initdata");
}

static void test_altered_evidence(void)
{
	static const struct {
		const char *member, *value, *code;
	} rows[] = {
		{ "class", "\"tee-tdx\"", "evidence.class_unknown" },
		{ "class", "\"software-tpm\"", "evidence.class_unknown" },
		{ "class", "\"best\"", "evidence.invalid" },
		{ "report", "\"x\"", "evidence.class_unknown" },
		{ "jws", "{}", "evidence.signature" },
		{ "nonce", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", "evidence.binding" },
		{ "nonce", "\"AAAA\"", "evidence.invalid" },
		{ "enc", "{}", "key.invalid" },
		{ "debug", "true", "evidence.invalid" },
	};
	char nonce[TRUST_NONCE_TEXT_SIZE];
	auto_json json_t *claim = NULL, *initdata = make_initdata("none"), *evidence = NULL;
	auto_json json_t *mine = jose_key_new("enc"), *mine_public = jose_key_public(mine);
	struct trust_expect expect = { .nonce = nonce, .min_class = "none" };

	make_nonce(nonce);
	expect.claim = claim = make_claim(nonce);
	CHECK(trust_evidence_make(
		      w.sig, w.enc_public, nonce, initdata, claim, NULL, &evidence, &err) == 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json json_t *bad = json_deep_copy(evidence);

		json_object_set_new(bad, rows[i].member,
			json_parse(rows[i].value, strlen(rows[i].value), &err));
		expect_evidence(bad, &expect, rows[i].code);
	}
	/* the operator's own encryption key beside the sandbox's signature */
	json_object_set(evidence, "enc", mine_public);
	expect_evidence(evidence, &expect, "evidence.binding");
	json_object_set_new(initdata, "extra", json_true());
	CHECK_FAILS(trust_initdata_check(initdata, &err), &err, "initdata.invalid");
	json_object_del(claim, "owner");
	CHECK_FAILS(trust_claim_check(claim, &err), &err, "claim.invalid");
}

/* A second machine key signs over the first one's evidence. */
static void test_evidence_by_another_key(void)
{
	char nonce[TRUST_NONCE_TEXT_SIZE];
	auto_json json_t *claim = NULL, *initdata = make_initdata("none"), *good = NULL,
			 *other = NULL;
	auto_json json_t *thief = jose_key_new("sig");
	struct trust_expect expect = { .nonce = nonce, .min_class = "none" };

	make_nonce(nonce);
	expect.claim = claim = make_claim(nonce);
	CHECK(trust_evidence_make(w.sig, w.enc_public, nonce, initdata, claim, NULL, &good, &err) ==
		0);
	CHECK(trust_evidence_make(
		      thief, w.enc_public, nonce, initdata, claim, NULL, &other, &err) == 0);
	json_object_set(good, "jws", json_object_get(other, "jws"));
	expect_evidence(good, &expect, "evidence.signature");
}

/* --- receipts --- */

static json_t *make_statement(void)
{
	return json_pack("{s:s,s:[{s:s,s:{s:s}}],s:s,s:{s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:"
			 "s,s:s,s:s,s:i,"
			 "s:{s:s,s:s},s:[],s:[{s:s,s:s,s:i,s:n}],s:{s:s},s:[{s:s,s:i,s:i,s:i}],s:i,"
			 "s:i,s:[],s:[s],s:{s:s},s:n,s:I,s:I}}",
		"_type", "https://in-toto.io/Statement/v1", "subject", "name", "output", "digest",
		"sha256", &D0[7], "predicateType", "urn:strongroom:receipt:v1", "predicate",
		"policy", w.policy.hash, "run_nonce", w.order.run_nonce, "run", RUN, "fence", 1,
		"space", SPACE, "sandbox", SANDBOX, "boot_id", "b", "class", "none", "evidence", D0,
		"initdata", D0, "claim", D0, "enc", w.order.enc_thumbprint, "sig",
		w.order.sig_thumbprint, "output_size", 4711, "image", "manifest", D0, "config", D1,
		"inputs", "outputs", "slot", "credentials/output/result", "dataset", DATASET,
		"version", 1, "digest", "commitments", "output", D0, "egress", "target",
		"store.example:443", "bytes_in", 1, "bytes_out", 2, "connections", 1, "exit_code",
		0, "signal", 0, "limits_hit", "recipients", w.anna_spki, "measurements",
		"encrypt-output", D0, "log_head", "started", (json_int_t)NOW, "ended",
		(json_int_t)NOW + 9);
}

static void expect_receipt(const json_t *key, const json_t *envelope,
	const struct trust_receipt_expect *expect, const char *code)
{
	json_t *statement = NULL;

	CHECK_FAILS(trust_receipt_check(key, envelope, expect, &statement, &err), &err, code);
	CHECK(statement == NULL);
}

static void test_receipts(void)
{
	auto_json json_t *statement = make_statement(), *envelope = NULL, *read = NULL, *bad = NULL,
			 *other = jose_key_new("sig");
	struct trust_receipt_expect expect = { .policy_hash = w.policy.hash,
		.run_nonce = w.order.run_nonce,
		.output_digest = D0,
		.output_size = 4711 },
				    wrong;
	auto_json json_t *second = make_statement(), *second_envelope = NULL;
	json_t *none = NULL;

	CHECK(trust_receipt_make(w.sig, statement, &envelope, &err) == 0);
	CHECK(trust_receipt_check(w.sig_public, envelope, &expect, &read, &err) == 0);
	CHECK(json_equal(read, statement));

	wrong = expect, wrong.run_nonce = w.order.enc_thumbprint;
	expect_receipt(w.sig_public, envelope, &wrong, "receipt.wrong_run");
	wrong = expect, wrong.policy_hash = D0;
	expect_receipt(w.sig_public, envelope, &wrong, "receipt.wrong_policy");
	wrong = expect, wrong.output_digest = D1;
	expect_receipt(w.sig_public, envelope, &wrong, "receipt.wrong_output");
	wrong = expect, wrong.output_size = 4712;
	expect_receipt(w.sig_public, envelope, &wrong, "receipt.wrong_output");
	expect_receipt(other, envelope, &expect, "receipt.wrong_key");

	/* another statement under this signature */
	json_object_set_new(json_object_get(second, "predicate"), "exit_code", json_integer(1));
	CHECK(trust_receipt_make(w.sig, second, &second_envelope, &err) == 0);
	bad = json_deep_copy(envelope);
	json_object_set(bad, "payload", json_object_get(second_envelope, "payload"));
	expect_receipt(w.sig_public, bad, &expect, "receipt.signature");
	json_object_set_new(bad, "payloadType", json_string("text/plain"));
	expect_receipt(w.sig_public, bad, &expect, "receipt.invalid");
	json_object_set_new(bad, "signatures", json_array());
	expect_receipt(w.sig_public, bad, &expect, "receipt.invalid");

	CHECK_FAILS(trust_receipt_make(other, statement, &none, &err), &err, "receipt.wrong_key");
	json_object_set_new(statement, "extra", json_true());
	CHECK_FAILS(trust_receipt_make(w.sig, statement, &none, &err), &err, "receipt.invalid");
}

static void test_associated_data(void)
{
	auto_free char *input = NULL, *output = NULL;
	size_t len = 0;

	CHECK(trust_input_aad(DATASET, 3, &input, &len, &err) == 0);
	CHECK_TEXT(input, "{\"dataset\":\"" DATASET
			  "\",\"role\":\"input\",\"v\":\"strongroom-data-1\",\"version\":3}");
	CHECK_NUMBER(len, strlen(input));
	CHECK(trust_output_aad(D0, "n", "output", &output, &len, &err) == 0);
	CHECK_TEXT(output,
		"{\"name\":\"output\",\"policy\":\"" D0
		"\",\"role\":\"output\",\"run_nonce\":\"n\",\"v\":\"strongroom-data-1\"}");
}

int main(void)
{
	set_up();
	test_grants();
	test_swapped_grants();
	test_grants_by_hand();
	test_releases();
	test_grant_for_another_machine();
	test_evidence();
	test_altered_evidence();
	test_evidence_by_another_key();
	test_receipts();
	test_associated_data();
	tear_down();
	CHECK_DONE();
}
