/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strongroom approve, strongroom decline: the vote on a policy, or on all policies of a workflow's
 * version. The document is shown and its hash computed here, from what is shown; what the server
 * says of it counts for nothing, and nobody's key is agreed to that was not compared before.
 */
#include <string.h>

#include "client/audit_log.h"
#include "client/graph_picture.h"
#include "client/keystore.h"
#include "client/parties.h"
#include "client/peers.h"
#include "client/policy_text.h"
#include "client/session.h"
#include "lib/cert.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"

#define DAY 86400
#define DAYS 30
#define DAYS_MAX 366

static const struct cli_option approve_options[] = {
	{ "key", "FILE", "own registered key, PEM or of a project's keys/" },
	{ "scope", "NAME", "only in this scope of those that name the key" },
	{ "version", "N", "of a workflow (the one that waits)" },
	{ "days", "N", "how long the approval is good (30)" },
	{ "take-back", NULL, "take an approval back that was given before" },
	{ "reason", "TEXT", "with --take-back" },
	{ "yes", NULL, "do not ask" },
	{ NULL, NULL, NULL },
};

static const struct cli_option decline_options[] = {
	{ "key", "FILE", "own registered key, PEM or of a project's keys/" },
	{ "scope", "NAME", "only in this scope of those that name the key" },
	{ "version", "N", "of a workflow (the one that waits)" },
	{ "reason", "TEXT", "why; everybody in the space reads it" },
	{ "yes", NULL, "do not ask" },
	{ NULL, NULL, NULL },
};

/* Who votes, and how. */
struct ballot {
	struct session *session;
	const struct cli *cli;
	const char *decision, *reason;
	EVP_PKEY *key;
	char spki[DIGEST_TEXT_SIZE];
	json_t *peers, *log_head;
	long long days;
};

static int get(struct session *session, const char *path, json_t **ret_record, struct err *err)
{
	const struct api_call call = {
		.label = "show", .audience = "policy", .method = "GET", .path = path
	};

	return api_call(session->api, &call, ret_record, NULL, err);
}

/* --- one policy --- */

static int cast(const struct ballot *ballot, const struct trust_policy *policy, const char *id,
	const char *scope, struct err *err)
{
	long long now = clock_unix_ms() / 1000;
	auto_free char *path = mem_printf("%s/%s/approvals", collection_policies.path, id);
	auto_json json_t *body = NULL, *answer = NULL;
	json_t *envelope;
	char terms[DIGEST_TEXT_SIZE];

	if (trust_policy_terms(policy, scope, terms, err) < 0 ||
		trust_approval_make(ballot->key, policy,
			&(const struct trust_vote) { .scope = scope,
				.decision = ballot->decision,
				.reason = ballot->reason,
				.iat = now,
				.exp = now + ballot->days * DAY,
				.log_head = ballot->log_head },
			&envelope, err) < 0)
		return -1;
	body = json_pack("{s:o}", "approval", envelope);
	if (session_post(ballot->session, collection_policies.audience, path, body, &answer, err) <
		0)
		return -1;
	ui_result(ballot->cli->ui,
		json_pack("{s:s,s:s,s:s,s:s,s:s}", "policy", id, "hash", policy->hash, "scope",
			scope, "decision", ballot->decision, "terms", terms),
		"%s  %s  %s", id, scope, ballot->decision);
	return 0;
}

/* Whether a rule is one that this vote is for. */
static bool is_asked(
	const struct ballot *ballot, const struct trust_policy *policy, const json_t *rule)
{
	const char *only = cli_value(ballot->cli, "scope");

	return json_list_has(trust_rule_keys(policy->doc, rule), ballot->spki) &&
	       (!only || json_text_is(rule, "scope", only));
}

static size_t count_asked(const struct ballot *ballot, const struct trust_policy *policy)
{
	size_t n = 0, i;
	json_t *rule;

	json_array_foreach (trust_policy_rules(policy->doc), i, rule)
		n += is_asked(ballot, policy, rule);
	return n;
}

static int cast_all(const struct ballot *ballot, const struct trust_policy *policy, const char *id,
	struct err *err)
{
	json_t *rule;
	size_t i;

	json_array_foreach (trust_policy_rules(policy->doc), i, rule) {
		if (is_asked(ballot, policy, rule) &&
			cast(ballot, policy, id, json_text(rule, "scope"), err) < 0)
			return -1;
	}
	return 0;
}

static int not_asked(struct err *err)
{
	return err_set(err, ERR_UNPROCESSABLE, "approval.not_a_party",
		"no rule of the policy names this key, or none of that scope");
}

/* A policy whose text the server gave, hashed here. */
static int read_policy(
	struct arena *arena, const json_t *record, struct trust_policy *ret_policy, struct err *err)
{
	json_t *document = json_object_get(record, "document");

	if (trust_policy_read(arena, document, ret_policy, err) < 0)
		return -1;
	if (json_text_is(record, "hash", ret_policy->hash))
		return 0;
	return err_set(err, ERR_UPSTREAM, "policy.other_hash",
		"the server calls this document %s, it is %s", json_text(record, "hash"),
		ret_policy->hash);
}

/* Only what takes something away needs no look at who else is in it. */
static int show_policy(
	const struct ballot *ballot, const struct trust_policy *policy, struct err *err)
{
	const struct policy_reader reader = { ballot->spki, ballot->peers };
	auto_free char *text = policy_text(policy, &reader);

	ui_result(ballot->cli->ui,
		json_pack("{s:s,s:O,s:s}", "hash", policy->hash, "document", policy->doc, "text",
			text),
		"%s", text);
	if (strcmp(ballot->decision, "approve") != 0)
		return 0;
	return parties_check_keys(policy->doc, ballot->spki, ballot->peers, err);
}

/* *ret_asked says whether the policy asks for this vote at all. */
static int vote_on_policy(
	const struct ballot *ballot, const json_t *record, bool *ret_asked, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_free char *what = NULL;
	struct trust_policy policy;

	if (read_policy(arena, record, &policy, err) < 0)
		return -1;
	*ret_asked = count_asked(ballot, &policy) > 0;
	if (!*ret_asked)
		return 0;
	if (show_policy(ballot, &policy, err) < 0)
		return -1;
	what = mem_printf("%s %s", ballot->decision, policy.hash);
	if (cli_confirm(ballot->cli, what, err) < 0)
		return -1;
	return cast_all(ballot, &policy, json_text(record, "id"), err);
}

/* --- a workflow --- */

static int show_graph(const struct ballot *ballot, const json_t *version, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_free char *picture = NULL;
	struct graph graph;

	if (graph_read(arena, json_object_get(version, "graph"), &graph, err) < 0)
		return -1;
	picture = graph_picture(&graph);
	ui_result(ballot->cli->ui,
		json_pack("{s:O,s:s}", "version", json_object_get(version, "version"), "graph_hash",
			graph.hash),
		"%s", picture);
	return 0;
}

/* The version that waits, or the newest, or the one of --version. */
static int find_version(
	const struct ballot *ballot, const char *workflow, json_t **ret_version, struct err *err)
{
	auto_free char *list_path =
		mem_printf("%s/%s/versions", collection_workflows.path, workflow);
	const char *wanted = cli_value(ballot->cli, "version");
	auto_free char *path = NULL;
	auto_json json_t *list = NULL;
	const json_t *items, *newest;

	if (!wanted && get(ballot->session, list_path, &list, err) < 0)
		return -1;
	items = json_object_get(list, "items");
	newest = json_array_get(items, 0);
	if (!wanted && !newest)
		return err_set(err, ERR_NOT_FOUND, "workflow.version_not_found",
			"nobody requested the approval of this workflow yet");
	path = wanted ? mem_printf("%s/%s", list_path, wanted)
		      : mem_printf("%s/%lld", list_path,
				(long long)json_integer_value(json_object_get(newest, "version")));
	return get(ballot->session, path, ret_version, err);
}

static int vote_on_workflow(const struct ballot *ballot, const char *workflow, struct err *err)
{
	auto_json json_t *version = NULL;
	bool is_asked_once = false, is_asked_here;
	json_t *entry;
	size_t i;

	if (find_version(ballot, workflow, &version, err) < 0 ||
		show_graph(ballot, version, err) < 0)
		return -1;
	json_array_foreach (json_object_get(version, "policies"), i, entry) {
		auto_json json_t *record = NULL;
		auto_free char *path =
			mem_printf("%s/%s", collection_policies.path, json_text(entry, "policy"));

		if (get(ballot->session, path, &record, err) < 0 ||
			vote_on_policy(ballot, record, &is_asked_here, err) < 0)
			return -1;
		is_asked_once = is_asked_once || is_asked_here;
	}
	return is_asked_once ? 0 : not_asked(err);
}

/* --- the commands --- */

static int vote_on(const struct ballot *ballot, const char *called, struct err *err)
{
	auto_json json_t *record = NULL;
	bool is_asked_here;

	if (!id_is(called, collection_policies.prefix)) {
		if (session_find(ballot->session, &collection_workflows, called, &record, err) < 0)
			return -1;
		return vote_on_workflow(ballot, json_text(record, "id"), err);
	}
	if (session_find(ballot->session, &collection_policies, called, &record, err) < 0 ||
		vote_on_policy(ballot, record, &is_asked_here, err) < 0)
		return -1;
	return is_asked_here ? 0 : not_asked(err);
}

static int open_ballot(struct ballot *ballot, EVP_PKEY **ret_key, struct err *err)
{
	const char *file = cli_value(ballot->cli, "key");

	if (!file)
		return err_set(err, ERR_INVALID, "usage.option", "--key FILE: whose vote is it?");
	if (keystore_read_key(ballot->session->profile.storage, file, ret_key, err) < 0 ||
		cert_spki(*ret_key, ballot->spki, err) < 0 ||
		peers_load(&ballot->session->profile, &ballot->peers, err) < 0 ||
		audit_log_head(ballot->session->api, &ballot->log_head, err) < 0)
		return -1;
	ballot->key = *ret_key;
	return 0;
}

static int vote(struct ballot *ballot, struct err *err)
{
	auto_key EVP_PKEY *key = NULL;
	int result = open_ballot(ballot, &key, err);

	if (result == 0)
		result = vote_on(ballot, ballot->cli->arguments[0], err);
	json_decref(ballot->peers);
	json_decref(ballot->log_head);
	return result;
}

static int run(const struct cli *cli, const char *decision, long long days, struct err *err)
{
	struct session session;
	struct ballot ballot = { .session = &session,
		.cli = cli,
		.decision = decision,
		.reason = cli_value(cli, "reason"),
		.days = days };
	int result;

	if (session_open(&session, cli, err) < 0)
		return -1;
	result = vote(&ballot, err);
	session_close(&session);
	return result;
}

static int approve(const struct cli *cli, struct err *err)
{
	bool takes_back = cli_switch(cli, "take-back");
	long long days;

	if (cli_number(cli, "days", DAYS_MAX, DAYS, &days, err) < 0)
		return -1;
	if (cli_value(cli, "reason") && !takes_back)
		return err_set(err, ERR_INVALID, "usage.option", "--reason is for --take-back");
	return run(cli, takes_back ? "withdraw" : "approve", days, err);
}

static int decline(const struct cli *cli, struct err *err)
{
	if (!cli_value(cli, "reason"))
		return err_set(err, ERR_INVALID, "usage.option", "--reason TEXT: why not?");
	return run(cli, "decline", DAYS, err);
}

const struct command command_approve = { "approve",
	"POLICY|WORKFLOW --key FILE [--scope NAME] [--days N] | --take-back",
	"agree to a policy, or to all of a workflow", approve_options, 1, 1, approve };
const struct command command_decline = { "decline", "POLICY|WORKFLOW --key FILE --reason TEXT",
	"refuse a policy, or all of a workflow", decline_options, 1, 1, decline };
