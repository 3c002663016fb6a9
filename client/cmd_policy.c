/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom policy: policies read, explained, compared and predicted. A document is a file or the
 * record that a server keeps; hash, clauses and differences are worked out here from the text, by
 * the very functions by which the agent decides.
 */
#include <string.h>
#include <unistd.h>

#include "client/peers.h"
#include "client/policy_text.h"
#include "client/session.h"
#include "lib/buf.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/reference.h"
#include "proto/trust_constraints.h"

#define MAX_FILE (1u << 20)

static const struct cli_option options[] = {
	{ "evidence", "FILE", "explain: a sandbox's evidence, as `sandbox show` has it" },
	{ "inputs", "FILE", "explain: [{slot,dataset,version,digest,size}] that would be read" },
	{ NULL, NULL, NULL },
};

/* --- where a document comes from --- */

static int read_json(const char *path, json_t **ret_json, struct err *err)
{
	auto_buf text = BUF_INIT(MAX_FILE);

	if (buf_read_file(&text, path, err) < 0)
		return -1;
	*ret_json = json_parse((const char *)text.data, text.len, err);
	return *ret_json ? 0 : err_wrap(err, "'%s'", path);
}

/* A file is a record without approvals. */
static int get_record(
	struct session *session, const char *called, json_t **ret_record, struct err *err)
{
	auto_json json_t *document = NULL;

	if (id_is(called, collection_policies.prefix) || access(called, F_OK) != 0)
		return session_find(session, &collection_policies, called, ret_record, err);
	if (read_json(called, &document, err) < 0)
		return -1;
	*ret_record = json_pack("{s:O}", "document", document);
	return 0;
}

/* The server's word for the hash is compared with ours, and never taken for it. */
static int get_policy(struct session *session, const char *called, struct arena *arena,
	json_t **ret_record, struct trust_policy *ret_policy, struct err *err)
{
	auto_json json_t *record = NULL;

	if (get_record(session, called, &record, err) < 0 ||
		trust_policy_read(arena, json_object_get(record, "document"), ret_policy, err) < 0)
		return -1;
	if (json_text(record, "hash") && !json_text_is(record, "hash", ret_policy->hash))
		return err_set(err, ERR_UPSTREAM, "policy.other_hash",
			"the server calls this document %s, it is %s", json_text(record, "hash"),
			ret_policy->hash);
	*ret_record = take_ptr(record);
	return 0;
}

/* --- show --- */

static int show(struct session *session, const struct cli *cli, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *record = NULL, *peers = NULL;
	auto_free char *text = NULL;
	struct policy_reader reader = { .own = "" };
	struct trust_policy policy;

	if (get_policy(session, cli->arguments[1], arena, &record, &policy, err) < 0 ||
		peers_load(&session->profile, &peers, err) < 0)
		return -1;
	reader.peers = peers;
	text = policy_text(&policy, &reader);
	ui_result(cli->ui,
		json_pack("{s:s,s:O,s:s}", "hash", policy.hash, "record", record, "text", text),
		"%s", text);
	return 0;
}

/* --- explain, validate --- */

/* The scoped policies of a record, as the canonical texts that pins are over. */
static int texts_of(const json_t *record, json_t **ret_texts, struct err *err)
{
	auto_json json_t *texts = json_array();
	json_t *document;
	size_t i;

	json_array_foreach (json_object_get(record, "constraints"), i, document) {
		auto_free char *text = NULL;
		size_t len;

		if (jcs_encode(document, &text, &len, err) < 0)
			return -1;
		json_array_append_new(texts, json_stringn(text, len));
	}
	*ret_texts = take_ptr(texts);
	return 0;
}

static void print_clause(const struct cli *cli, const json_t *clause)
{
	auto_free char *name = ui_plain(json_text(clause, "clause")),
		       *expected = ui_plain(json_text(clause, "expected")),
		       *actual = ui_plain(json_text(clause, "actual"));
	const char *code = json_text(clause, "code");

	ui_result(cli->ui, json_incref((json_t *)clause), "%-9s  %-28s  %s  |  %s%s%s",
		json_text(clause, "result"), name, expected, actual, code ? "  " : "",
		code ? code : "");
}

/* 0, or the exit code for what is refused. */
static int print_explanation(const struct cli *cli, const json_t *explanation)
{
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(explanation, "clauses"), i, entry)
		print_clause(cli, entry);
	json_array_foreach (json_object_get(explanation, "warnings"), i, entry) {
		auto_free char *warning = ui_plain(json_string_value(entry));

		ui_warn(cli->ui, "%s", warning);
	}
	ui_result(cli->ui,
		json_pack("{s:O,s:O,s:O}", "policy", json_object_get(explanation, "policy"),
			"result", json_object_get(explanation, "result"), "failed",
			json_object_get(explanation, "failed")),
		"%s  %s", json_text(explanation, "policy"), json_text(explanation, "result"));
	return json_text_is(explanation, "result", "fail") ? CLI_DENIED : CLI_OK;
}

static int read_given(const struct cli *cli, const char *option, json_t **ret_json, struct err *err)
{
	const char *path = cli_value(cli, option);

	return path ? read_json(path, ret_json, err) : 0;
}

/* Of a file, the approvals and scoped policies are the server's to know. */
static int ask(struct session *session, const char *path, const json_t *body,
	json_t **ret_explanation, struct err *err)
{
	return session_change(session,
		&(const struct api_call) { .audience = collection_policies.audience,
			.method = "POST",
			.path = path,
			.body = body },
		ret_explanation, err);
}

static int explain(struct session *session, const struct cli *cli, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *record = NULL, *evidence = NULL, *inputs = NULL, *texts = NULL,
			 *explanation = NULL, *body = NULL;
	struct trust_facts facts = { .now = clock_unix_ms() / 1000 };
	struct trust_policy policy;
	const json_t *template;

	if (get_policy(session, cli->arguments[1], arena, &record, &policy, err) < 0 ||
		read_given(cli, "evidence", &evidence, err) < 0 ||
		read_given(cli, "inputs", &inputs, err) < 0 || texts_of(record, &texts, err) < 0)
		return -1;
	if (!json_text(record, "id")) {
		body = json_pack("{s:O,s:O*,s:O*}", "policy", policy.doc, "evidence", evidence,
			"inputs", inputs);
		return ask(session, "/v1/policies:explain", body, &explanation, err) < 0
			       ? -1
			       : print_explanation(cli, explanation);
	}
	template = json_object_get(json_object_get(evidence, "initdata"), "template");
	facts.class = json_text(evidence, "class");
	facts.template_id = json_text(template, "id");
	facts.template_version = json_integer_value(json_object_get(template, "version"));
	facts.inputs = inputs;
	facts.approvals = json_object_get(record, "approvals");
	facts.constraints = texts;
	explanation = trust_policy_explain(&policy, &facts);
	return print_explanation(cli, explanation);
}

/* Read here first: what is malformed is told with its members without a server. */
static int validate(struct session *session, const struct cli *cli, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *document = NULL, *body = NULL, *explanation = NULL;
	struct trust_policy policy;

	if (read_json(cli->arguments[1], &document, err) < 0 ||
		trust_policy_read(arena, document, &policy, err) < 0)
		return -1;
	body = json_pack("{s:O,s:[]}", "policy", document, "approvals");
	if (ask(session, "/v1/policies?validate_only=true", body, &explanation, err) < 0)
		return -1;
	return print_explanation(cli, explanation);
}

/* --- diff --- */

static char *value_text(const json_t *value)
{
	auto_free char *text = NULL;

	if (!value || json_is_null(value))
		return mem_printf("-");
	text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
	return ui_plain(text);
}

static void print_change(const struct cli *cli, const json_t *change)
{
	auto_free char *from = value_text(json_object_get(change, "from")),
		       *to = value_text(json_object_get(change, "to")),
		       *who = session_list_text(json_object_get(change, "approvals")),
		       *path = ui_plain(json_text(change, "path"));

	ui_result(cli->ui, json_incref((json_t *)change), "%-40s  %s -> %s  approvals: %s", path,
		from, to, who[0] ? who : "none");
}

static int diff(struct session *session, const struct cli *cli, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *first = NULL, *second = NULL, *changes = NULL;
	struct trust_policy from, to;
	json_t *change;
	size_t i;

	if (get_policy(session, cli->arguments[1], arena, &first, &from, err) < 0 ||
		get_policy(session, cli->arguments[2], arena, &second, &to, err) < 0)
		return -1;
	changes = trust_policy_diff(&from, &to);
	json_array_foreach (changes, i, change)
		print_change(cli, change);
	return json_array_size(changes) ? CLI_CHANGES : CLI_OK;
}

/* --- predict --- */

static json_t *terms_of(const struct trust_policy *policy, struct err *err)
{
	json_t *terms = json_object(), *rule;
	size_t i;

	json_array_foreach (trust_policy_rules(policy->doc), i, rule) {
		char digest[DIGEST_TEXT_SIZE];

		if (trust_policy_terms(policy, json_text(rule, "scope"), digest, err) == 0)
			json_object_set_new(terms, json_text(rule, "scope"), json_string(digest));
	}
	return terms;
}

static void note_all(const struct cli *cli, const char *what, const json_t *values)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)values, name, value)
		ui_note(cli->ui, "%s %s  %s", what, name, json_string_value(value));
}

/* What a boot of the policy's template must show, by the own trust file: one set of PCRs for each
 * reference that it has. */
static json_t *measured(struct session *session, const struct trust_policy *policy,
	const json_t **ret_agent, struct err *err)
{
	const json_t *template = profile_template(&session->profile, policy->template_id, err);
	json_t *all, *entry;
	size_t i;

	if (!template)
		return NULL;
	*ret_agent = json_object_get(template, "agent");
	all = json_array();
	json_array_foreach (json_object_get(template, "references"), i, entry) {
		struct reference reference;

		if (reference_decode(entry, &reference, NULL) == 0)
			json_array_append_new(all, reference_pcrs(&reference));
	}
	return all;
}

static int predict(struct session *session, const struct cli *cli, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *record = NULL, *terms = NULL, *pcrs = NULL;
	const json_t *expected, *agent = NULL;
	struct trust_policy policy;
	bool is_expected;
	json_t *boot;
	size_t i;

	if (get_policy(session, cli->arguments[1], arena, &record, &policy, err) < 0)
		return -1;
	pcrs = measured(session, &policy, &agent, err);
	if (!pcrs)
		return -1;
	terms = terms_of(&policy, err);
	expected = json_object_get(json_object_get(policy.doc, "measurements"), "encrypt-output");
	is_expected = agent && json_equal(agent, expected);
	note_all(cli, "terms", terms);
	json_array_foreach (pcrs, i, boot)
		note_all(cli, "PCR", boot);
	ui_note(cli->ui, "agent  %s (%s)", json_string_value(expected),
		is_expected ? "as the trust file has it" : "NOT what the trust file has");
	ui_result(cli->ui,
		json_pack("{s:s,s:O,s:O,s:O?,s:b}", "hash", policy.hash, "terms", terms, "pcrs",
			pcrs, "agent", agent, "agent_expected", is_expected),
		"%s", policy.hash);
	return is_expected ? CLI_OK : CLI_EVIDENCE;
}

static const struct verb verbs[] = {
	{ "list", NULL, 0, "" },
	{ "show", show, 1, "ID|FILE" },
	{ "explain", explain, 1, "ID|FILE" },
	{ "diff", diff, 2, "ID|FILE ID|FILE" },
	{ "validate", validate, 1, "FILE" },
	{ "predict", predict, 1, "ID|FILE" },
	{ NULL, NULL, 0, NULL },
};

static int policy_command(const struct cli *cli, struct err *err)
{
	return session_verb_of(cli, "policy", verbs, &collection_policies, err);
}

const struct command command_policy = { "policy",
	"list | show ID|FILE | explain ID|FILE | diff ID|FILE ID|FILE | validate FILE | predict "
	"ID|FILE",
	"policies: what they say, what holds, what changed, what a boot must show", options, 1, 3,
	policy_command };
