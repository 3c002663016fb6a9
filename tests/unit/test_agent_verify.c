/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent refuses before it opens a grant, and what it refuses of grants: each by its code,
 * and without having bound itself to anything. */
#include "tests/unit/agent_fixture.h"

/* A boot is one claim's, and its keys are born behind it. */
static void test_one_claim(void)
{
	auto_json json_t *other = make_claim(NULL);
	auto_json json_t *sig = NULL;

	boot(NULL);
	sig = json_deep_copy(machine.sig_public);
	CHECK_FAILS(machine_claim(&machine, other, NULL, &err), &err, "claim.latched");
	CHECK_FAILS(machine_claim(&machine, machine.claim, NULL, &err), &err, "claim.latched");
	CHECK(json_equal(sig, machine.sig_public));
}

/* --- policy --- */

static void test_good(void)
{
	struct papers papers = make_papers(json_deep_copy(w.doc));

	boot(NULL);
	make_order(&papers, w.anna);
	CHECK(judge(&papers, NOW) == 0);
	CHECK_TEXT(verify.policy, papers.policy.hash);
	CHECK_TEXT(policy.hash, papers.policy.hash);
	CHECK_TEXT(order.run_nonce, papers.order.run_nonce);
	expect(&papers, "order.replayed");
	make_order(&papers, w.anna); /* the same policy again, newly ordered */
	CHECK(judge(&papers, NOW) == 0);
	drop_papers(&papers);
}

/* Every byte of the text, changed on its own: none gets through. */
static void test_tampered_policy(void)
{
	struct papers papers;
	size_t len;

	boot(NULL);
	papers = make_papers(json_deep_copy(w.doc));
	len = strlen(papers.text);
	for (size_t i = 0; i < len; i++) {
		papers.text[i] ^= 1;
		err_clear(&err);
		CHECK(judge(&papers, NOW) == -1);
		CHECK(err.code[0] != '\0');
		papers.text[i] ^= 1;
	}
	CHECK(verify.policy[0] == '\0');
	CHECK(judge(&papers, NOW) == 0);
	drop_papers(&papers);
}

static void test_policy_text(void)
{
	struct papers papers;
	char *good, *digit;

	boot(NULL);
	papers = make_papers(json_deep_copy(w.doc));
	good = papers.text;
	papers.text = mem_printf(" %s", good);
	expect(&papers, "policy.not_canonical");
	free(papers.text);
	papers.text = mem_strdup("{}");
	expect(&papers, "policy.invalid");
	free(papers.text);
	papers.text = mem_strdup(good);
	digit = strstr(papers.text, "\"max_runs\":100");
	CHECK(digit != NULL);
	if (digit)
		digit[11] = '9'; /* 900 runs: still a policy, but not the approved one */
	expect(&papers, "approval.wrong_policy");
	free(good);
	drop_papers(&papers);
}

struct doc_row {
	const char *object, *member;
	const char *value; /* JSON */
	const char *code;
};

/* Approved and ordered as they are, and yet not to be run here. */
static const struct doc_row UNFIT[] = {
	{ "template", "version", "2", "policy.wrong_template" },
	{ "template", "id", "\"large\"", "policy.wrong_template" },
	{ "evidence", "minimum", "\"tee\"", "evidence.class_too_low" },
	{ "evidence", "minimum", "\"software-tpm\"", "evidence.class_too_low" },
	{ "measurements", "encrypt-output", "\"" D1 "\"", "measurement.mismatch" },
	{ "measurements", "decrypt-input", "\"" D1 "\"", "measurement.mismatch" },
	{ "", "config_files", "[{\"path\":\"/etc/app.conf\",\"digest\":\"" D0 "\"}]",
		"policy.unsupported" },
	{ "slots", "output", NULL, "grant.lease_unsupported" }, /* a lease */
	{ "", "deadline", "1790000000", "policy.expired" },
};

static json_t *spoil(const struct doc_row *row)
{
	json_t *doc = json_deep_copy(w.doc);
	json_t *object = *row->object ? json_object_get(doc, row->object) : doc;

	if (row->value)
		json_object_set_new(
			object, row->member, json_loads(row->value, JSON_DECODE_ANY, NULL));
	else
		json_object_set_new(
			json_object_get(object, row->member), "mode", json_string("lease"));
	return doc;
}

static void test_unfit_policies(void)
{
	for (size_t i = 0; i < ARRAY_LEN(UNFIT); i++) {
		struct papers papers;

		boot(NULL);
		papers = make_papers(spoil(&UNFIT[i]));
		expect(&papers, UNFIT[i].code);
		drop_papers(&papers);
	}
}

/* What the client tallies is no business of the agent's. */
static void test_foreign_measurement(void)
{
	static const struct doc_row row = { "measurements", "decrypt-output", "\"" D1 "\"", "" };
	struct papers papers;

	boot(NULL);
	papers = make_papers(spoil(&row));
	CHECK(judge(&papers, NOW) == 0);
	drop_papers(&papers);
}

static void test_binding(void)
{
	static const struct doc_row other = { "", "max_runs", "7", "" };
	struct papers papers, second;

	boot(w.policy.hash);
	papers = make_papers(json_deep_copy(w.doc));
	second = make_papers(spoil(&other));
	expect(&second, "claim.wrong_policy");
	CHECK(judge(&papers, NOW) == 0);
	drop_papers(&papers);
	drop_papers(&second);

	boot(NULL);
	papers = make_papers(json_deep_copy(w.doc));
	second = make_papers(spoil(&other));
	CHECK(judge(&second, NOW) == 0);
	expect(&papers, "agent.other_policy");
	drop_papers(&papers);
	drop_papers(&second);
}

/* --- approvals and orders --- */

static void test_approvals(void)
{
	struct papers papers;

	boot(NULL);
	papers = make_papers(json_deep_copy(w.doc));
	json_array_clear(papers.approvals);
	expect(&papers, "approval.quorum");
	add_approval(&papers, w.mallory, NOW + 3600);
	CHECK(judge(&papers, NOW) == -1);
	json_array_clear(papers.approvals);
	add_approval(&papers, w.anna, NOW + 10);
	CHECK_FAILS(judge(&papers, NOW + 20), &err, "approval.expired");
	CHECK(judge(&papers, NOW) == 0);
	drop_papers(&papers);
}

static void test_orders(void)
{
	static const struct doc_row other = { "", "max_runs", "7", "" };
	struct papers papers, second;
	json_t *foreign;

	boot(NULL);
	papers = make_papers(json_deep_copy(w.doc));
	second = make_papers(spoil(&other));
	foreign = second.envelope;
	second.envelope = papers.envelope;
	papers.envelope = foreign;
	expect(&papers, "order.wrong_policy");
	make_order(&papers, w.mallory);
	expect(&papers, "order.not_a_runner");
	make_order(&papers, w.anna);
	json_object_set_new(json_object_get(papers.envelope, "jws"), "signature",
		json_string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
			    "AAAAAA"
			    "AAAAAAAAAA"));
	expect(&papers, "trust.signature");
	json_decref(papers.envelope);
	papers.envelope = NULL;
	CHECK(judge(&papers, NOW) == -1);
	drop_papers(&papers);
	drop_papers(&second);
}

/* The order of the boot before: its keys are gone. */
static void test_wrong_machine(void)
{
	struct papers papers;

	boot(NULL);
	papers = make_papers(json_deep_copy(w.doc));
	boot(NULL);
	expect(&papers, "order.wrong_machine");
	snprintf(papers.order.enc_thumbprint, JOSE_THUMBPRINT_SIZE, "%s", machine.enc_thumbprint);
	json_decref(papers.envelope);
	CHECK(trust_order_make(w.anna, &papers.order, &papers.envelope, &err) == 0);
	expect(&papers, "order.wrong_machine"); /* one of two keys is not enough */
	drop_papers(&papers);
}

/* --- grants --- */

static int open_secrets(const struct papers *papers, struct secrets *ret_secrets)
{
	return secrets_open(machine.enc, &policy, &order, papers->grants, ret_secrets, &err);
}

static void expect_secrets(const struct papers *papers, const char *code)
{
	struct secrets secrets = { 0 };

	CHECK_FAILS(open_secrets(papers, &secrets), &err, code);
	CHECK(secrets.image == NULL);
}

static void test_secrets(void)
{
	struct secrets secrets;
	unsigned char key[32];
	struct papers papers;

	boot(NULL);
	papers = make_papers(json_deep_copy(w.doc));
	CHECK(judge(&papers, NOW) == 0);
	CHECK(open_secrets(&papers, &secrets) == 0);
	CHECK(json_text(secrets.image, "d") != NULL);
	CHECK(codec_b64url_decode_fixed(
		      json_text(json_object_get(w.output_opening, "secret"), "key"), key, 32,
		      &err) == 0);
	CHECK(memcmp(key, secrets.output, 32) == 0);
	CHECK(codec_b64url_decode_fixed(
		      json_text(json_object_get(w.input_opening, "secret"), "key"), key, 32,
		      &err) == 0);
	CHECK(memcmp(key, secrets.inputs[0], 32) == 0);
	secrets_wipe(&secrets);
	CHECK(secrets.output[0] == 0 && secrets.output[31] == 0 && !secrets.image);
	drop_papers(&papers);
}

static void test_bad_grants(void)
{
	auto_json json_t *swapped = make_key_secret(), *opening = NULL;
	char commitment[DIGEST_TEXT_SIZE];
	struct papers papers;

	boot(NULL);
	papers = make_papers(json_deep_copy(w.doc));
	CHECK(judge(&papers, NOW) == 0);
	json_array_remove(papers.grants, 2);
	expect_secrets(&papers, "grant.missing");
	CHECK(trust_commit("output", swapped, &opening, commitment, &err) == 0);
	add_grant(&papers, "output", opening); /* another key under the same policy hash */
	expect_secrets(&papers, "grant.commitment");
	json_array_remove(papers.grants, 2);
	add_grant(&papers, "output", w.output_opening);
	add_grant(&papers, "output", w.output_opening);
	expect_secrets(&papers, "grant.repeated");
	json_array_remove(papers.grants, 3);
	make_order(&papers, w.anna); /* grants of the run before */
	CHECK(judge(&papers, NOW) == 0);
	expect_secrets(&papers, "grant.wrong_run");
	drop_papers(&papers);
}

/* --- image --- */

static void test_manifest(void)
{
	auto_free struct oci_manifest *manifest = mem_alloc(sizeof(*manifest));

	snprintf(manifest->config.digest, DIGEST_TEXT_SIZE, "%s", D1);
	manifest->n_layers = 1;
	CHECK(pull_check_manifest(&w.policy, manifest, &err) == 0);
	manifest->n_layers = 2;
	CHECK_FAILS(pull_check_manifest(&w.policy, manifest, &err), &err, "image.layers");
	snprintf(manifest->config.digest, DIGEST_TEXT_SIZE, "%s", D0);
	CHECK_FAILS(pull_check_manifest(&w.policy, manifest, &err), &err, "image.config");
}

int main(void)
{
	set_up();
	boot(NULL);
	test_one_claim();
	boot(NULL);
	test_good();
	test_tampered_policy();
	test_policy_text();
	test_unfit_policies();
	test_foreign_measurement();
	test_binding();
	test_approvals();
	test_orders();
	test_wrong_machine();
	test_secrets();
	test_bad_grants();
	test_manifest();
	shut_down();
	tear_down();
	CHECK_DONE();
}
