/* SPDX-License-Identifier: Apache-2.0 */
/* Who must agree: rules of several scopes, votes that are newer, older, against, taken back or
 * about another version, and what each owner's word covers. */
#include "proto/trust_constraints.h"
#include "tests/unit/trust_world.h"

#define OTHER "dst_0190f1c2000070008000000000000006"

static EVP_PKEY *bert, *carla;
static char bert_spki[DIGEST_TEXT_SIZE], carla_spki[DIGEST_TEXT_SIZE];

/* --- a policy of three: anna writes it, bert owns the data, carla gets an output --- */

static json_t *keys_rule(const char *scope, json_t *keys, int k, bool veto, json_t *objects)
{
	return json_pack("{s:s,s:o,s:i,s:b,s:i,s:o}", "scope", scope, "of", keys, "k", k, "veto",
		veto, "max_age_s", 0, "objects", objects);
}

static json_t *rules_of(json_t *doc)
{
	return json_object_get(json_object_get(doc, "approval"), "rules");
}

static json_t *three_party_doc(void)
{
	json_t *doc = json_deep_copy(w.doc), *parties = json_object_get(doc, "parties");
	json_t *slot = make_slot(D1);

	json_array_append_new(json_object_get(parties, "recipients"), json_string(carla_spki));
	json_object_set_new(slot, "owner", json_string(carla_spki));
	json_object_set_new(json_object_get(doc, "slots"), "credentials/output/result", slot);
	json_object_set_new(doc, "outputs",
		json_pack("[{s:s,s:s,s:s,s:s,s:i,s:{s:s},s:i}]", "slot",
			"credentials/output/result", "port", "output", "name", "result", "dataset",
			OTHER, "version", 1, "location", "url", "https://store.example/result",
			"credentials_version", 1));
	json_object_set_new(json_object_get(doc, "egress"), "mode", json_string("managed"));
	json_array_append_new(rules_of(doc),
		keys_rule("data", json_pack("[s]", bert_spki), 1, true, json_pack("[s]", DATASET)));
	json_array_append_new(rules_of(doc), keys_rule("result", json_pack("[s]", carla_spki), 1,
						     true, json_pack("[s]", OTHER)));
	return doc;
}

static struct trust_policy read_doc(json_t *doc) /* takes it */
{
	struct trust_policy policy = { .doc = NULL };

	err_clear(&err);
	CHECK(trust_policy_read(w.arena, doc, &policy, &err) == 0);
	CHECK_TEXT(err.detail, "");
	json_decref(doc);
	return policy;
}

static void vote(json_t *list, const struct trust_policy *policy, EVP_PKEY *key, const char *scope,
	const char *decision, long long iat, long long exp)
{
	const struct trust_vote words = { scope, decision,
		strcmp(decision, "approve") == 0 ? NULL : "because", iat, exp, NULL };
	json_t *envelope = NULL;

	CHECK(trust_approval_make(key, policy, &words, &envelope, &err) == 0);
	json_array_append_new(list, envelope);
}

static void all_approve(json_t *list, const struct trust_policy *policy)
{
	vote(list, policy, w.anna, "author", "approve", NOW, NOW + 100);
	vote(list, policy, bert, "data", "approve", NOW, NOW + 100);
	vote(list, policy, carla, "result", "approve", NOW, NOW + 100);
}

static void expect(const struct trust_policy *policy, const json_t *list, long long now,
	const char *state, const char *code)
{
	auto_json json_t *judged = trust_approvals_judge(policy, list, now);

	CHECK_TEXT(json_text(judged, "state"), state);
	if (code)
		CHECK_TEXT(json_text(judged, "code"), code);
	err_clear(&err);
	CHECK((trust_approvals_satisfy(policy, list, now, &err) == 0) ==
		(strcmp(state, "approved") == 0));
	CHECK_TEXT(err.code, code ? code : "");
}

/* --- every rule --- */

static void test_every_rule_must_hold(void)
{
	struct trust_policy policy = read_doc(three_party_doc());
	auto_json json_t *list = json_array(), *judged = NULL;

	vote(list, &policy, w.anna, "author", "approve", NOW, NOW + 100);
	expect(&policy, list, NOW, "pending", "approval.quorum");
	vote(list, &policy, bert, "data", "approve", NOW, NOW + 100);
	expect(&policy, list, NOW, "pending", "approval.quorum");
	judged = trust_approvals_judge(&policy, list, NOW);
	CHECK_TEXT(json_string_value(json_array_get(
			   json_object_get(
				   json_array_get(json_object_get(judged, "rules"), 2), "missing"),
			   0)),
		carla_spki);
	vote(list, &policy, carla, "result", "approve", NOW, NOW + 100);
	expect(&policy, list, NOW, "approved", NULL);
	/* in another's scope a key says nothing */
	CHECK_FAILS(trust_approval_make(carla, &policy,
			    &(const struct trust_vote) {
				    "nobody", "approve", NULL, NOW, NOW + 1, NULL },
			    &(json_t *) { NULL }, &err),
		&err, "approval.wrong_scope");
	json_array_clear(list);
	vote(list, &policy, carla, "data", "approve", NOW, NOW + 100);
	CHECK_FAILS(trust_approval_check(&policy, json_array_get(list, 0), NOW, &err), &err,
		"approval.not_a_party");
	expect(&policy, list, NOW, "pending", "approval.not_a_party");
}

static void test_k_of_n(void)
{
	json_t *doc = three_party_doc();
	struct trust_policy policy;
	auto_json json_t *list = json_array();

	json_array_clear(rules_of(doc));
	json_array_append_new(rules_of(doc),
		keys_rule("any-two", json_pack("[s,s,s]", w.anna_spki, bert_spki, carla_spki), 2,
			false, json_array()));
	policy = read_doc(doc);
	vote(list, &policy, bert, "any-two", "approve", NOW, NOW + 100);
	vote(list, &policy, bert, "any-two", "approve", NOW + 1, NOW + 100);
	expect(&policy, list, NOW + 2, "pending", "approval.quorum");
	vote(list, &policy, w.anna, "any-two", "decline", NOW, NOW + 100);
	expect(&policy, list, NOW + 2, "pending", "approval.declined");
	vote(list, &policy, carla, "any-two", "approve", NOW, NOW + 100);
	expect(&policy, list, NOW + 2, "approved", NULL); /* no veto: two are two */
}

#define MANY 32

/* As many as the rules of a policy can ask for, and one more. */
static void test_the_most_approvals(void)
{
	json_t *doc = three_party_doc(), *spkis = json_array();
	EVP_PKEY *keys[MANY];
	auto_json json_t *list = json_array();
	struct trust_policy policy;
	char text[DIGEST_TEXT_SIZE];

	for (int i = 0; i < MANY; i++) {
		keys[i] = EVP_EC_gen("P-256");
		CHECK(cert_spki(keys[i], text, &err) == 0);
		json_array_append_new(spkis, json_string(text));
	}
	json_array_clear(rules_of(doc));
	for (int i = 0; i < TRUST_MAX_APPROVALS / MANY; i++) {
		snprintf(text, sizeof(text), "rule-%d", i);
		json_array_append_new(rules_of(doc),
			keys_rule(text, json_incref(spkis), MANY, true, json_array()));
	}
	policy = read_doc(doc);
	for (int i = 0; i < TRUST_MAX_APPROVALS; i++) {
		snprintf(text, sizeof(text), "rule-%d", i / MANY);
		vote(list, &policy, keys[i % MANY], text, "approve", NOW, NOW + 100);
	}
	expect(&policy, list, NOW, "approved", NULL);
	json_array_append(list, json_array_get(list, 0));
	expect(&policy, list, NOW, "pending", "approval.invalid");
	json_decref(spkis);
	for (int i = 0; i < MANY; i++)
		EVP_PKEY_free(keys[i]);
}

/* --- against --- */

static void test_veto(void)
{
	json_t *doc = three_party_doc();
	struct trust_policy policy;
	auto_json json_t *list = json_array();

	json_array_clear(rules_of(doc));
	json_array_append_new(rules_of(doc),
		keys_rule("any-two", json_pack("[s,s,s]", w.anna_spki, bert_spki, carla_spki), 2,
			true, json_array()));
	policy = read_doc(doc);
	vote(list, &policy, bert, "any-two", "approve", NOW, NOW + 100);
	vote(list, &policy, carla, "any-two", "approve", NOW, NOW + 100);
	expect(&policy, list, NOW, "approved", NULL);
	vote(list, &policy, w.anna, "any-two", "decline", NOW, NOW + 1);
	expect(&policy, list, NOW, "rejected", "approval.declined");
	expect(&policy, list, NOW + 50, "rejected", "approval.declined"); /* it does not run out */
	vote(list, &policy, w.anna, "any-two", "withdraw", NOW + 1, NOW + 100);
	expect(&policy, list, NOW + 1, "approved", NULL);
}

static void test_newest_word(void)
{
	struct trust_policy policy = read_doc(three_party_doc());
	auto_json json_t *list = json_array();

	all_approve(list, &policy);
	expect(&policy, list, NOW, "approved", NULL);
	vote(list, &policy, bert, "data", "withdraw", NOW + 1, NOW + 2);
	expect(&policy, list, NOW + 1, "pending", "approval.withdrawn");
	expect(&policy, list, NOW + 50, "pending", "approval.withdrawn");  /* gone for good */
	vote(list, &policy, bert, "data", "approve", NOW - 10, NOW + 100); /* the old one again */
	expect(&policy, list, NOW + 50, "pending", "approval.withdrawn");
	vote(list, &policy, bert, "data", "approve", NOW + 1, NOW + 100); /* at the same time */
	expect(&policy, list, NOW + 50, "pending", "approval.withdrawn");
	vote(list, &policy, bert, "data", "approve", NOW + 2, NOW + 100);
	expect(&policy, list, NOW + 50, "approved", NULL);
	vote(list, &policy, bert, "data", "approve", NOW + 9000, NOW + 9999); /* not yet signed */
	expect(&policy, list, NOW + 50, "approved", NULL);
}

/* --- times --- */

static void test_times(void)
{
	json_t *doc = three_party_doc();
	struct trust_policy policy;
	auto_json json_t *list = json_array(), *late = json_array();

	json_object_set_new(json_array_get(rules_of(doc), 1), "max_age_s", json_integer(50));
	json_object_set_new(json_object_get(doc, "approval"), "expires", json_integer(NOW + 1000));
	policy = read_doc(doc);
	all_approve(list, &policy);
	expect(&policy, list, NOW + 49, "approved", NULL);
	expect(&policy, list, NOW + 50, "pending", "approval.expired");
	expect(&policy, list, NOW + 1000, "expired", "approval.expired");

	vote(late, &policy, w.anna, "author", "approve", NOW + 999, NOW + 5000);
	vote(late, &policy, bert, "data", "approve", NOW + 999, NOW + 5000);
	vote(late, &policy, carla, "result", "approve", NOW + 999, NOW + 5000);
	expect(&policy, late, NOW + 1010, "approved", NULL); /* in time, and still good */
	json_array_remove(late, 2);
	vote(late, &policy, carla, "result", "approve", NOW + 1000, NOW + 5000);
	expect(&policy, late, NOW + 1010, "expired", "approval.too_late");
	CHECK_FAILS(trust_approval_check(&policy, json_array_get(late, 2), NOW + 1010, &err), &err,
		"approval.too_late");
}

/* --- terms --- */

static json_t *next_version(const char *pointer, json_t *value)
{
	json_t *doc = three_party_doc(), *at = doc;
	char path[128], *part = path, *slash;

	snprintf(path, sizeof(path), "%s", pointer);
	while ((slash = strchr(part, '.'))) {
		*slash = '\0';
		at = json_is_array(at) ? json_array_get(at, (size_t)strtol(part, NULL, 10))
				       : json_object_get(at, part);
		part = slash + 1;
	}
	json_object_set_new(at, part, value);
	return doc;
}

/* Each change of the next version, and whose approvals of the first still count. */
static void test_terms_outlive_versions(void)
{
	static const struct {
		const char *pointer, *text;
		long long number;
		bool author, data, result;
	} rows[] = {
		{ "max_runs", NULL, 7, false, true, true },
		{ "deadline", NULL, 1795000001, false, true, true },
		{ "outputs.0.location.url", "https://store.example/other", 0, false, true, false },
		{ "inputs.0.version", NULL, 2, false, false, true },
		{ "inputs.0.digest", D1, 0, false, false, true },
		{ "slots.input/conditions.commitment", D0, 0, false, false, true },
		{ "slots.credentials/output/result.commitment", D0, 0, false, true, false },
		{ "approval.rules.1.max_age_s", NULL, 5, false, false, true },
		{ "approval.rules.0.max_age_s", NULL, 5, false, false, false },
		{ "approval.expires", NULL, NOW + 9, false, false, false },
		{ "image.manifest", D1, 0, false, false, false },
		{ "slots.image.commitment", D0, 0, false, false, false },
		{ "limits.pids", NULL, 65, false, false, false },
		{ "output.name", "other", 0, false, false, false },
	};
	struct trust_policy first = read_doc(three_party_doc());
	auto_json json_t *list = json_array();

	all_approve(list, &first);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct trust_policy next = read_doc(next_version(rows[i].pointer,
			rows[i].text ? json_string(rows[i].text) : json_integer(rows[i].number)));
		const bool counts[] = { rows[i].author, rows[i].data, rows[i].result };

		for (size_t n = 0; n < 3; n++) {
			err_clear(&err);
			CHECK((trust_approval_check(&next, json_array_get(list, n), NOW, &err) ==
				      0) == counts[n]);
			CHECK_TEXT(err.code, counts[n] ? "" : "approval.wrong_policy");
		}
	}
}

/* A word against a policy counts by its hash, too; one for it never with other terms. */
static void test_wrong_terms(void)
{
	struct trust_policy policy = read_doc(three_party_doc()), lying = policy;
	auto_json json_t *list = json_array(), *other = next_version("max_runs", json_integer(3));

	lying.doc = other;
	vote(list, &lying, w.anna, "author", "approve", NOW, NOW + 100);
	CHECK_FAILS(trust_approval_check(&policy, json_array_get(list, 0), NOW, &err), &err,
		"approval.wrong_terms");
	json_array_clear(list);
	vote(list, &lying, w.anna, "author", "decline", NOW, NOW + 100);
	CHECK(trust_approval_check(&policy, json_array_get(list, 0), NOW, &err) == 0);
}

/* Nobody becomes a reader by an entry that only its own owner approves. */
static void test_recipients(void)
{
	json_t *doc = three_party_doc();
	struct trust_policy policy = { .doc = NULL };

	json_array_remove(json_object_get(json_object_get(doc, "parties"), "recipients"), 1);
	CHECK_FAILS(trust_policy_read(w.arena, doc, &policy, &err), &err, "policy.invalid");
	CHECK_TEXT(err.fields[0].pointer, "/outputs");
	json_decref(doc);
}

/* --- who has to agree again --- */

static json_t *change_at(const json_t *diff, const char *path)
{
	json_t *change;
	size_t i;

	json_array_foreach (diff, i, change) {
		if (json_text_is(change, "path", path))
			return change;
	}
	return NULL;
}

static void test_diff(void)
{
	struct trust_policy first = read_doc(three_party_doc()),
			    next = read_doc(next_version("inputs.0.version", json_integer(2)));
	auto_json json_t *diff = trust_policy_diff(&first, &next),
			 *same = trust_policy_diff(&first, &first);
	const json_t *change = change_at(diff, "/inputs/input~1conditions/version");
	const json_t *approvals = json_object_get(change, "approvals");
	json_t *doc = three_party_doc();

	CHECK_NUMBER(json_array_size(same), 0);
	CHECK_NUMBER(json_array_size(diff), 1);
	CHECK_NUMBER(json_integer_value(json_object_get(change, "from")), 1);
	CHECK_NUMBER(json_integer_value(json_object_get(change, "to")), 2);
	CHECK_NUMBER(json_array_size(approvals), 2);
	CHECK(json_list_has(approvals, "author") && json_list_has(approvals, "data"));

	/* the data goes over to another owner's rule: its first owner's terms change by that */
	json_object_set_new(json_array_get(rules_of(doc), 1), "objects", json_pack("[s]", OTHER));
	json_object_set_new(json_array_get(rules_of(doc), 2), "objects", json_pack("[s]", DATASET));
	next = read_doc(doc);
	json_decref(diff);
	diff = trust_policy_diff(&first, &next);
	change = change_at(diff, "/approval/rules/data/objects");
	CHECK(json_list_has(json_object_get(change, "approvals"), "data"));
	change = change_at(diff, "/approval/rules/result/objects");
	CHECK(json_list_has(json_object_get(change, "approvals"), "data"));
	CHECK(json_list_has(json_object_get(change, "approvals"), "result"));
}

int main(void)
{
	set_up();
	bert = EVP_EC_gen("P-256");
	carla = EVP_EC_gen("P-256");
	CHECK(cert_spki(bert, bert_spki, &err) == 0 && cert_spki(carla, carla_spki, &err) == 0);
	test_every_rule_must_hold();
	test_k_of_n();
	test_the_most_approvals();
	test_veto();
	test_newest_word();
	test_times();
	test_terms_outlive_versions();
	test_wrong_terms();
	test_recipients();
	test_diff();
	EVP_PKEY_free(bert);
	EVP_PKEY_free(carla);
	tear_down();
	CHECK_DONE();
}
