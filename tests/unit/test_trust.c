/* SPDX-License-Identifier: Apache-2.0 */
/* What people sign: commitments, policies, approvals and orders, swapped, altered, expired, or
 * signed by another. */
#include "tests/unit/trust_world.h"

/* --- commitments --- */

static void test_commitments(void)
{
	auto_json json_t *again = json_deep_copy(w.input_opening), *two = NULL,
			 *bad = json_pack("{s:s}", "key", "AA");
	char first[DIGEST_TEXT_SIZE] = "", second[DIGEST_TEXT_SIZE] = "";
	json_t *secret = json_object_get(w.input_opening, "secret"), *none = NULL;

	CHECK(trust_commitment_of(w.input_opening, first, &err) == 0);
	CHECK_TEXT(first, json_string_value(json_object_get(
				  trust_policy_slot(&w.policy, "input/conditions"), "commitment")));
	CHECK(trust_commit("input/conditions", secret, &two, second, &err) == 0);
	CHECK(strcmp(first, second) != 0); /* the salt */
	json_object_set_new(again, "slot", json_string("output"));
	CHECK(trust_commitment_of(again, second, &err) == 0);
	CHECK(strcmp(first, second) != 0);
	CHECK_FAILS(trust_commit("input/conditions", bad, &none, first, &err), &err,
		"commitment.invalid");
	CHECK_FAILS(
		trust_commit("input/../x", secret, &none, first, &err), &err, "commitment.invalid");
	CHECK_FAILS(trust_commit("image", secret, &none, first, &err), &err, "commitment.invalid");
	CHECK_FAILS(trust_commit("image", NULL, &none, first, &err), &err, "commitment.invalid");
}

/* --- policy --- */

struct break_row {
	const char *object;	    /* dotted way to the object */
	const char *member, *value; /* JSON; NULL: taken out */
	const char *pointer;	    /* of the field named in the error */
};

#define RULE(age, k, objects)                                                                      \
	"{\"scope\":\"author\",\"of\":\"authors\",\"k\":" k ",\"veto\":true,\"max_age_s\":" age    \
	",\"objects\":" objects "}"
#define LOCATED(slot, port, url)                                                                   \
	"{\"slot\":\"credentials/" slot "/data\",\"port\":\"" port                                 \
	"\",\"name\":\"data\",\"dataset\":\"" DATASET                                              \
	"\",\"version\":1,\"location\":{\"url\":\"" url                                            \
	"\"},\"digest\":null,\"credentials_version\":1}"

static const struct break_row BREAKS[] = {
	{ "", "v", "\"strongroom-policy-2\"", "/v" },
	{ "", "name", "\"Über\"", "/name" },
	{ "", "name", "\"\"", "/name" },
	{ "", "name", "7", "/name" },
	{ "", "name", NULL, "/name" },
	{ "", "extra", "1", "/extra" },
	{ "", "a/b~c", "1", "/a~1b~0c" },
	{ "", "space", "\"spc_x\"", "/space" },
	{ "", "space", "\"" SANDBOX "\"", "/space" },
	{ "", "max_runs", "0", "/max_runs" },
	{ "", "max_runs", "\"1\"", "/max_runs" },
	{ "", "deadline", "-1", "/deadline" },
	{ "", "ports", "{\"in\":{}}", "/ports/in" },
	{ "", "inputs", "[]", "/slots" },
	{ "", "inputs", "[7]", "/inputs/0" },
	{ "", "config_files", "[{\"path\":\"/a/../b\",\"digest\":\"" D0 "\"}]",
		"/config_files/0/path" },
	{ "template", "version", "0", "/template/version" },
	{ "template", "id", "\"../x\"", "/template/id" },
	{ "parties", "runners", "[]", "/parties/runners" },
	{ "parties", "runners", "[\"sha256:AB\"]", "/parties/runners/0" },
	{ "parties", "authors", "[\"" D0 "\",\"" D0 "\"]", "/parties/authors/1" },
	{ "parties", "everybody", "[]", "/parties/everybody" },
	{ "approval", "rules", "[]", "/approval/rules" },
	{ "approval", "expires", "-1", "/approval/expires" },
	{ "approval", "expires", NULL, "/approval/expires" },
	{ "approval", "rules", "[" RULE("1", "2", "[]") "]", "/approval/rules" },
	{ "approval", "rules", "[" RULE("1", "1", "[]") "," RULE("2", "1", "[]") "]",
		"/approval/rules" },
	{ "approval", "rules", "[" RULE("1", "0", "[]") "]", "/approval/rules/0/k" },
	{ "approval", "rules", "[" RULE("1", "33", "[]") "]", "/approval/rules/0/k" },
	{ "approval", "rules", "[" RULE("-1", "1", "[]") "]", "/approval/rules/0/max_age_s" },
	{ "approval", "rules", "[" RULE("\"1\"", "1", "[]") "]", "/approval/rules/0/max_age_s" },
	{ "approval", "rules", "[" RULE("1", "1", "[\"" OBJECT "\"]") "]",
		"/approval/rules/0/objects/0" },
	{ "approval", "rules",
		"[{\"scope\":\"author\",\"of\":\"nobody\",\"k\":1,\"veto\":true,\"max_age_s\":0,"
		"\"objects\":[]}]",
		"/approval/rules/0/of" },
	{ "approval", "rules",
		"[{\"scope\":\"author\",\"of\":[],\"k\":1,\"veto\":1,\"max_age_s\":0,\"objects\":[]"
		"}]",
		"/approval/rules/0/of" },
	{ "approval", "scope", "\"author\"", "/approval/scope" },
	{ "", "approval", "{\"scope\":\"author\",\"of\":\"authors\",\"k\":1}", "/approval/rules" },
	{ "", "constraints",
		"[{\"scope\":\"galaxy\",\"subject\":\"" DATASET "\",\"hash\":\"" D0 "\"}]",
		"/constraints/0/scope" },
	{ "", "constraints", "[{\"scope\":\"tenant\",\"subject\":\"acme\",\"hash\":\"" D0 "\"}]",
		"/constraints/0/subject" },
	{ "", "gates", "{\"max_bytes\":null}", "/gates/max_files" },
	{ "", "gates",
		"{\"max_bytes\":\"1\",\"max_files\":null,\"file_types\":null,\"minimum_rows\":"
		"null}",
		"/gates/max_bytes" },
	{ "", "gates",
		"{\"max_bytes\":1,\"max_files\":1,\"file_types\":[\".csv\"],\"minimum_rows\":1}",
		"/gates/file_types/0" },
	{ "", "root_filesystem", "\"magic\"", "/root_filesystem" },
	{ "", "app", "{}", "/app/id" },
	{ "", "outputs", "{}", "/outputs" },
	{ "", "outputs", "[" LOCATED("output", "output", "https://h/x") "]", "/outputs/0/digest" },
	{ "", "inputs", "[" LOCATED("input", "input", "http://h/x") "]", "/inputs/0/location/url" },
	{ "", "inputs", "[" LOCATED("input", "input", "https://h/x?q=1") "]",
		"/inputs/0/location/url" },
	{ "", "inputs", "[" LOCATED("input", "input", "https://u@h/x") "]",
		"/inputs/0/location/url" },
	{ "", "inputs", "[" LOCATED("input", "input", "https://h:0/x") "]",
		"/inputs/0/location/url" },
	{ "", "inputs", "[" LOCATED("input", "input", "https://h:65536/x") "]",
		"/inputs/0/location/url" },
	{ "", "inputs", "[" LOCATED("input", "input", "https://h/a/../x") "]",
		"/inputs/0/location/url" },
	{ "", "inputs", "[" LOCATED("input", "input", "https://h") "]", "/inputs/0/location/url" },
	{ "", "inputs", "[" LOCATED("input", "output", "https://h/x") "]", "/inputs/0/port" },
	{ "egress", "roots", "[]", "/egress/roots" },
	{ "egress", "roots", "[\"MII\"]", "/egress/roots/0" },
	{ "image", "repository", "\"acme//x\"", "/image/repository" },
	{ "image", "manifest", "\"sha512:00\"", "/image/manifest" },
	{ "image", "layers", "[]", "/image/layers" },
	{ "process", "argv", "[]", "/process/argv" },
	{ "process", "argv", "\"/bin/sh\"", "/process/argv" },
	{ "process", "cwd", "\"x\"", "/process/cwd" },
	{ "process", "env", "{\"A=B\":\"x\"}", "/process/env/A=B" },
	{ "slots", "image", NULL, "/slots" },
	{ "slots", "input/other",
		"{\"commitment\":\"" D0 "\",\"mode\":\"once\",\"owner\":\"" D0 "\"}", "/slots" },
	{ "slots", "input/Big", "{}", "/slots/input~1Big" },
	{ "slots", "output", "{\"commitment\":\"" D0 "\",\"mode\":\"always\",\"owner\":\"" D0 "\"}",
		"/slots/output/mode" },
	{ "output", "slot", "\"image\"", "/output/slot" },
	{ "evidence", "minimum", "\"any\"", "/evidence/minimum" },
	{ "egress", "mode", "\"all\"", "/egress/mode" },
	{ "egress", "domains", "[\"example.com\"]", "/egress/domains/0" },
	{ "egress", "domains", "[\"example.com:443\"]", "/egress/domains" },
	{ "egress", "domains", "[\"example.com:443\",\"example.com:443\"]", "/egress/domains/1" },
	{ "limits", "pids", "0", "/limits/pids" },
	{ "limits", "wall_seconds", NULL, "/limits/wall_seconds" },
	{ "measurements", "encrypt-output", NULL, "/measurements/encrypt-output" },
};

static void test_broken_policies(void)
{
	for (size_t i = 0; i < ARRAY_LEN(BREAKS); i++) {
		auto_json json_t *doc = json_deep_copy(w.doc);
		json_t *object = BREAKS[i].object[0] ? json_object_get(doc, BREAKS[i].object) : doc;
		struct trust_policy policy = { .doc = NULL };

		if (BREAKS[i].value)
			json_object_set_new(object, BREAKS[i].member,
				json_parse(BREAKS[i].value, strlen(BREAKS[i].value), &err));
		else
			json_object_del(object, BREAKS[i].member);
		CHECK_FAILS(trust_policy_read(w.arena, doc, &policy, &err), &err, "policy.invalid");
		CHECK_TEXT(err.fields[0].pointer, BREAKS[i].pointer);
		CHECK(policy.doc == NULL);
	}
}

static void test_policy_text(void)
{
	struct trust_policy policy = { .doc = NULL };
	auto_free char *text = NULL, *spaced = NULL;
	size_t len = 0;

	CHECK(jcs_encode(w.doc, &text, &len, &err) == 0);
	CHECK(trust_policy_parse(w.arena, text, len, &policy, &err) == 0);
	CHECK_TEXT(policy.hash, w.policy.hash);
	CHECK_TEXT(policy.manifest_digest, D0);
	CHECK_TEXT(policy.repository, "acme/describe");
	CHECK_NUMBER(policy.deadline, 1795000000);
	spaced = mem_printf("%s\n", text);
	CHECK_FAILS(trust_policy_parse(w.arena, spaced, len + 1, &policy, &err), &err,
		"policy.not_canonical");
	free(spaced);
	spaced = json_dumps(w.doc, JSON_INDENT(1));
	CHECK_FAILS(trust_policy_parse(w.arena, spaced, strlen(spaced), &policy, &err), &err,
		"policy.not_canonical");
	CHECK_FAILS(trust_policy_parse(w.arena, text, len - 1, &policy, &err), &err, "json.syntax");

	CHECK(trust_policy_names(&w.policy, "runners", w.anna_spki));
	CHECK(!trust_policy_names(&w.policy, "approvers", w.anna_spki));
	CHECK(!trust_policy_names(&w.policy, "runners", D0));
	CHECK(!trust_policy_names(&w.policy, "nobody", w.anna_spki));
	CHECK(trust_policy_slot(&w.policy, "input/none") == NULL);
}

/* The same policy with one member altered: another hash. */
static struct trust_policy other_policy(void)
{
	auto_json json_t *doc = json_deep_copy(w.doc);
	struct trust_policy policy = { .doc = NULL };

	json_object_set_new(doc, "max_runs", json_integer(101));
	CHECK(trust_policy_read(w.arena, doc, &policy, &err) == 0);
	CHECK(strcmp(policy.hash, w.policy.hash) != 0);
	return policy;
}

/* --- approvals --- */

static json_t *approval(EVP_PKEY *key, bool approve, long long iat, long long exp)
{
	json_t *envelope = NULL;

	CHECK(trust_approval_make(key, &w.policy,
		      &(const struct trust_vote) {
			      "author", approve ? "approve" : "decline", NULL, iat, exp, NULL },
		      &envelope, &err) == 0);
	return envelope;
}

static void test_approvals(void)
{
	auto_json json_t *good = approval(w.anna, true, NOW, NOW + 100);
	auto_json json_t *early = approval(w.anna, true, NOW + 4000, NOW + 5000);
	auto_json json_t *foreign = approval(w.mallory, true, NOW, NOW + 100);
	auto_json json_t *swapped = json_deep_copy(good), *kid = json_deep_copy(good), *list = NULL;
	struct trust_policy other = other_policy();

	CHECK(trust_approval_check(&w.policy, good, NOW, &err) == 0);
	CHECK_FAILS(
		trust_approval_check(&w.policy, good, NOW + 100, &err), &err, "approval.expired");
	CHECK_FAILS(
		trust_approval_check(&w.policy, early, NOW, &err), &err, "approval.not_yet_valid");
	CHECK_FAILS(trust_approval_check(&other, good, NOW, &err), &err, "approval.wrong_policy");
	CHECK_FAILS(
		trust_approval_check(&w.policy, foreign, NOW, &err), &err, "approval.not_a_party");
	CHECK_FAILS(trust_approval_check(&w.policy, w.order_envelope, NOW, &err), &err,
		"trust.envelope");
	CHECK_FAILS(trust_approval_check(&w.policy, NULL, NOW, &err), &err, "trust.envelope");

	/* somebody else's signature under anna's key; anna's signature under somebody else's key */
	json_object_set(swapped, "jws", json_object_get(foreign, "jws"));
	CHECK_FAILS(trust_approval_check(&w.policy, swapped, NOW, &err), &err, "trust.envelope");
	json_object_set(kid, "spki", json_object_get(foreign, "spki"));
	CHECK_FAILS(trust_approval_check(&w.policy, kid, NOW, &err), &err, "trust.envelope");
	json_object_set_new(kid, "spki", json_string("AAAA"));
	CHECK_FAILS(trust_approval_check(&w.policy, kid, NOW, &err), &err, "trust.envelope");

	list = json_pack("[O]", good);
	CHECK(trust_approvals_satisfy(&w.policy, list, NOW, &err) == 0);
	CHECK_FAILS(
		trust_approvals_satisfy(&other, list, NOW, &err), &err, "approval.wrong_policy");
	CHECK_FAILS(trust_approvals_satisfy(&w.policy, list, NOW + 100, &err), &err,
		"approval.expired");
}

static void test_quorum(void)
{
	auto_json json_t *yes = approval(w.anna, true, NOW, NOW + 100),
			 *no = approval(w.anna, false, NOW + 1, NOW + 100);
	auto_json json_t *old_no = approval(w.anna, false, NOW - 1, NOW + 100),
			 *empty = json_array();
	auto_json json_t *declined = json_pack("[O,O]", yes, no),
			 *again = json_pack("[O,O,O]", old_no, yes, yes);
	auto_json json_t *expired = approval(w.anna, true, NOW - 50, NOW),
			 *mixed = json_pack("[O,O]", expired, yes);
	auto_json json_t *wrong_scope = NULL, *late = NULL;

	CHECK_FAILS(trust_approvals_satisfy(&w.policy, empty, NOW, &err), &err, "approval.quorum");
	CHECK_FAILS(trust_approvals_satisfy(&w.policy, NULL, NOW, &err), &err, "approval.invalid");
	CHECK_FAILS(
		trust_approvals_satisfy(&w.policy, declined, NOW, &err), &err, "approval.declined");
	CHECK(trust_approvals_satisfy(&w.policy, again, NOW, &err) == 0);
	CHECK(trust_approvals_satisfy(&w.policy, mixed, NOW, &err) == 0);
	CHECK_FAILS(trust_approval_make(w.anna, &w.policy,
			    &(const struct trust_vote) {
				    "data-owner", "approve", NULL, NOW, NOW + 100, NULL },
			    &wrong_scope, &err),
		&err, "approval.wrong_scope");
	late = json_pack("[O]", no);
	CHECK_FAILS(trust_approvals_satisfy(&w.policy, late, NOW, &err), &err, "approval.declined");
}

/* One key twice is one approval. */
static void test_two_of_two(void)
{
	auto_json json_t *doc = json_deep_copy(w.doc), *one = NULL, *two = NULL, *same = NULL,
			 *both = NULL;
	auto_key EVP_PKEY *bert = EVP_EC_gen("P-256");
	const struct trust_vote yes = { "author", "approve", NULL, NOW, NOW + 100, NULL };
	struct trust_policy policy = { .doc = NULL };
	char bert_spki[DIGEST_TEXT_SIZE];

	CHECK(cert_spki(bert, bert_spki, &err) == 0);
	json_array_append_new(json_object_get(json_object_get(doc, "parties"), "authors"),
		json_string(bert_spki));
	json_object_set_new(json_array_get(trust_policy_rules(doc), 0), "k", json_integer(2));
	CHECK(trust_policy_read(w.arena, doc, &policy, &err) == 0);
	CHECK(trust_approval_make(w.anna, &policy, &yes, &one, &err) == 0);
	CHECK(trust_approval_make(bert, &policy, &yes, &two, &err) == 0);
	same = json_pack("[O,O]", one, one);
	both = json_pack("[O,O]", one, two);
	CHECK_FAILS(trust_approvals_satisfy(&policy, same, NOW, &err), &err, "approval.quorum");
	CHECK(trust_approvals_satisfy(&policy, both, NOW, &err) == 0);
}

/* --- hand-made envelopes: what a party could sign with other words --- */

static json_t *sign_envelope(EVP_PKEY *key, const char *typ, const char *kid, const json_t *payload)
{
	auto_json json_t *header = json_pack("{s:s}", "kid", kid), *jws = NULL;
	auto_free unsigned char *der = NULL;
	auto_free char *text = NULL;
	size_t len = 0;

	CHECK(jose_sign(key, typ, header, payload, &jws, &err) == 0);
	CHECK(cert_spki_der(key, &der, &len, &err) == 0);
	text = codec_b64_text(der, len);
	return json_pack("{s:O,s:s}", "jws", jws, "spki", text);
}

static json_t *approval_words(const char *space, const char *spki)
{
	char terms[DIGEST_TEXT_SIZE];

	CHECK(trust_policy_terms(&w.policy, "author", terms, &err) == 0);
	return json_pack("{s:s,s:s,s:s,s:n,s:s,s:s,s:s,s:I,s:I,s:n}", "policy", w.policy.hash,
		"terms", terms, "decision", "approve", "reason", "scope", "author", "space", space,
		"spki", spki, "iat", (json_int_t)NOW, "exp", (json_int_t)NOW + 100, "log_head");
}

static void expect_approval(const json_t *words, const char *kid, const char *code)
{
	auto_json json_t *envelope = sign_envelope(w.anna, "strongroom-approval+jws", kid, words);

	CHECK_FAILS(trust_approval_check(&w.policy, envelope, NOW, &err), &err, code);
}

static void test_words(void)
{
	auto_json json_t *good = approval_words(SPACE, w.anna_spki), *extra = json_deep_copy(good);
	auto_json json_t *space =
		approval_words("spc_0190f1c2000070008000000000000009", w.anna_spki);
	auto_json json_t *other = approval_words(SPACE, D0), *maybe = json_deep_copy(good);

	json_object_set_new(extra, "also", json_true());
	json_object_set_new(maybe, "decision", json_string("maybe"));
	expect_approval(good, D0, "trust.spki_mismatch");
	expect_approval(other, w.anna_spki, "trust.spki_mismatch");
	expect_approval(space, w.anna_spki, "approval.wrong_space");
	expect_approval(extra, w.anna_spki, "approval.invalid");
	expect_approval(maybe, w.anna_spki, "approval.invalid");
}

/* Payload of a signed object replaced behind the signature. */
static void test_forged(void)
{
	auto_json json_t *envelope = json_deep_copy(w.order_envelope), *words = NULL;
	json_t *jws = json_object_get(envelope, "jws");
	auto_free char *text = NULL, *encoding = NULL;
	unsigned char *plain = NULL;
	struct trust_order order;
	size_t len = 0;

	CHECK(codec_b64url_decode(json_text(jws, "payload"), strlen(json_text(jws, "payload")),
		      &plain, &len, &err) == 0);
	words = json_parse((char *)plain, len, &err);
	free(plain);
	json_object_set_new(words, "iat", json_integer(NOW + 1));
	text = json_dumps(words, JSON_COMPACT);
	encoding = codec_b64url_text(text, strlen(text));
	json_object_set_new(jws, "payload", json_string(encoding));
	CHECK_FAILS(trust_order_check(&w.policy, envelope, &order, &err), &err, "trust.signature");
}

/* --- orders --- */

static void test_orders(void)
{
	auto_json json_t *new_enc = jose_key_new("enc"), *foreign = NULL, *bad = NULL;
	struct trust_policy other = other_policy();
	struct trust_order order, broken = w.order;

	CHECK(trust_order_check(&w.policy, w.order_envelope, &order, &err) == 0);
	CHECK_TEXT(order.run_nonce, w.order.run_nonce);
	CHECK_TEXT(order.runner_spki, w.anna_spki);
	CHECK_NUMBER(order.issued_at, NOW);
	CHECK(trust_order_check_machine(&order, w.enc_public, w.sig_public, &err) == 0);
	CHECK_FAILS(trust_order_check(&other, w.order_envelope, &order, &err), &err,
		"order.wrong_policy");
	/* replayed after a restart: the machine keys are new */
	CHECK_FAILS(trust_order_check_machine(&order, new_enc, w.sig_public, &err), &err,
		"order.wrong_machine");
	CHECK_FAILS(trust_order_check_machine(&order, w.enc_public, new_enc, &err), &err,
		"order.wrong_machine");

	CHECK(trust_order_make(w.mallory, &w.order, &foreign, &err) == 0);
	CHECK_FAILS(
		trust_order_check(&w.policy, foreign, &order, &err), &err, "order.not_a_runner");
	snprintf(broken.run_nonce, sizeof(broken.run_nonce), "short");
	CHECK(trust_order_make(w.anna, &broken, &bad, &err) == 0);
	CHECK_FAILS(trust_order_check(&w.policy, bad, &order, &err), &err, "order.invalid");
}

/* null, or exactly a size and a root. */
static void test_log_heads(void)
{
	static const struct {
		const char *text;
		bool good;
	} heads[] = {
		{ "{\"size\":7,\"root\":\"sha256:"
		  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}",
			true },
		{ "{\"size\":-1,\"root\":\"sha256:"
		  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}",
			false },
		{ "{\"size\":7,\"root\":\"sha256:00\"}", false },
		{ "{\"size\":7}", false },
		{ "[]", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		auto_json json_t *head = json_loads(heads[i].text, 0, NULL), *envelope = NULL;
		auto_json json_t *approval = NULL;
		struct trust_order order = w.order;

		order.log_head = head;
		CHECK(trust_order_make(w.anna, &order, &envelope, &err) == 0);
		CHECK(trust_approval_make(w.anna, &w.policy,
			      &(const struct trust_vote) {
				      "author", "approve", NULL, NOW, NOW + 100, head },
			      &approval, &err) == 0);
		err_clear(&err);
		CHECK((trust_order_check(&w.policy, envelope, &order, &err) == 0) == heads[i].good);
		CHECK_TEXT(err.code, heads[i].good ? "" : "order.invalid");
		err_clear(&err);
		CHECK((trust_approval_check(&w.policy, approval, NOW, &err) == 0) == heads[i].good);
		CHECK_TEXT(err.code, heads[i].good ? "" : "approval.invalid");
	}
}

int main(void)
{
	set_up();
	test_log_heads();
	test_commitments();
	test_broken_policies();
	test_policy_text();
	test_approvals();
	test_quorum();
	test_two_of_two();
	test_words();
	test_forged();
	test_orders();
	tear_down();
	CHECK_DONE();
}
