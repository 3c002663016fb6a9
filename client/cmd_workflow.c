/* SPDX-License-Identifier: Apache-2.0 */
/* strongroom workflow: drafts of graphs in a space, requests for their approval, versions and
 * differences. */
#include <stdlib.h>
#include <string.h>

#include "client/graph_file.h"
#include "client/graph_picture.h"
#include "client/session.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "proto/trust.h"

#define DAY 86400
#define DAYS_MAX 366

static const struct cli_option options[] = {
	{ "name", "NAME", "create, edit: instead of the file's" },
	{ "space", "SPACE", "create: instead of the file's (own); list: only these" },
	{ "version", "N", "show, withdraw: which (show: the draft)" },
	{ "days", "N", "request: how long it waits (14)" },
	{ "expires-at", "TIME", "request: or until when, such as 2030-01-31T12:00:00Z" },
	{ "reason", "TEXT", "withdraw: why" },
	{ "from", "N", "diff: a version or 'draft' (the newest version)" },
	{ "to", "N", "diff: the same (draft)" },
	{ NULL, NULL, NULL },
};

static int find(
	struct session *session, const struct cli *cli, json_t **ret_record, struct err *err)
{
	auto_json json_t *found = NULL;

	if (session_find(session, &collection_workflows, cli->arguments[1], &found, err) < 0)
		return -1;
	return session_find(
		session, &collection_workflows, json_text(found, "id"), ret_record, err);
}

static int get(struct session *session, json_t **ret_json, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int get(struct session *session, json_t **ret_json, struct err *err, const char *fmt, ...)
{
	auto_free char *path = NULL;
	va_list args;

	va_start(args, fmt);
	path = mem_vprintf(fmt, args);
	va_end(args);
	return api_call(session->api,
		&(const struct api_call) {
			.label = "show", .audience = "policy", .method = "GET", .path = path },
		ret_json, NULL, err);
}

static int post(struct session *session, const json_t *workflow, const char *action,
	const json_t *body, json_t **ret_json, struct err *err)
{
	auto_free char *path =
		mem_printf("%s/%s%s", collection_workflows.path, json_text(workflow, "id"), action);

	return session_change(session,
		&(const struct api_call) { .audience = "policy",
			.method = "POST",
			.path = path,
			.body = body,
			.etag = json_text(workflow, "etag") },
		ret_json, err);
}

/* --- showing --- */

static void show_faults(const struct cli *cli, const json_t *faults)
{
	json_t *fault;
	size_t i;

	json_array_foreach (faults, i, fault) {
		ui_result(cli->ui, json_incref(fault), "%-24s  %s: %s", json_text(fault, "code"),
			json_text(fault, "pointer"), json_text(fault, "detail"));
	}
}

/* The picture for people; programs have the document. */
static int show_graph(const struct cli *cli, json_t *record, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_free char *picture = NULL;
	struct graph graph;

	if (graph_read(arena, json_object_get(record, "graph"), &graph, err) < 0)
		return -1;
	picture = graph_picture(&graph);
	ui_result(cli->ui, json_incref(record), "graph %s\n%s", graph.hash, picture);
	return 0;
}

static void show_version(const struct cli *cli, json_t *version)
{
	const char *reason = json_text(version, "reason");
	auto_free char *plain = reason ? ui_plain(reason) : NULL;

	ui_result(cli->ui, json_incref(version), "version %lld  %-9s  requested %s, until %s%s%s",
		(long long)json_integer_value(json_object_get(version, "version")),
		json_text(version, "state"), json_text(version, "requested_at"),
		json_text(version, "expires_at"), plain ? ": " : "", plain ? plain : "");
}

static int show(struct session *session, const struct cli *cli, struct err *err)
{
	const char *number = cli_value(cli, "version");
	auto_json json_t *record = NULL, *version = NULL;

	if (find(session, cli, &record, err) < 0)
		return -1;
	if (!number)
		return show_graph(cli, record, err);
	if (get(session, &version, err, "%s/%s/versions/%s", collection_workflows.path,
		    json_text(record, "id"), number) < 0)
		return -1;
	if (!cli->ui->json)
		show_version(cli, version);
	return show_graph(cli, version, err);
}

static int list(struct session *session, const struct cli *cli, struct err *err)
{
	const char *called = cli_value(cli, "space");
	auto_json json_t *space = NULL;
	auto_free char *path = NULL;

	if (!called)
		return session_list(session, cli, collection_workflows.audience,
			collection_workflows.path, collection_workflows.columns, err);
	if (session_find(session, &collection_spaces, called, &space, err) < 0)
		return -1;
	path = mem_printf("%s?space=%s", collection_workflows.path, json_text(space, "id"));
	return session_list(session, cli, collection_workflows.audience, path,
		collection_workflows.columns, err);
}

static int versions(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *record = NULL, *answer = NULL;
	json_t *version;
	size_t i;

	if (find(session, cli, &record, err) < 0 ||
		get(session, &answer, err, "%s/%s/versions", collection_workflows.path,
			json_text(record, "id")) < 0)
		return -1;
	json_array_foreach (json_object_get(answer, "items"), i, version)
		show_version(cli, version);
	return 0;
}

static int diff(struct session *session, const struct cli *cli, struct err *err)
{
	const char *from = cli_value(cli, "from"), *to = cli_value(cli, "to");
	auto_json json_t *record = NULL, *answer = NULL;
	json_t *change;
	size_t i;

	if (find(session, cli, &record, err) < 0 ||
		get(session, &answer, err, "%s/%s/diff?to=%s%s%s", collection_workflows.path,
			json_text(record, "id"), to ? to : "draft", from ? "&from=" : "",
			from ? from : "") < 0)
		return -1;
	json_array_foreach (json_object_get(answer, "changes"), i, change) {
		auto_free char *plain = ui_plain(json_text(change, "text"));

		ui_result(cli->ui, json_incref(change), "%c %s",
			json_text_is(change, "change", "added")	    ? '+'
			: json_text_is(change, "change", "removed") ? '-'
								    : '~',
			plain);
	}
	return 0;
}

/* --- the draft --- */

/* What the file and the command line say. */
static json_t *body_of(const struct cli *cli, const struct graph_file *file, const json_t *before)
{
	const char *name = cli_value(cli, "name");
	json_t *body = json_pack("{s:O}", "graph", file->graph);

	name = name ? name : file->name ? file->name : json_text(before, "name");
	if (name)
		json_object_set_new(body, "name", json_string(name));
	if (file->description)
		json_object_set_new(body, "description", json_string(file->description));
	return body;
}

static int set_space(struct session *session, const struct cli *cli, const struct graph_file *file,
	json_t *body, struct err *err)
{
	const char *called = cli_value(cli, "space");
	auto_json json_t *space = NULL;

	if (called && session_find(session, &collection_spaces, called, &space, err) < 0)
		return -1;
	if (space || file->space_id)
		json_object_set_new(body, "space",
			json_string(space ? json_text(space, "id") : file->space_id));
	return 0;
}

static int create(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *body = NULL, *record = NULL;
	struct graph_file file;
	int result;

	if (graph_file_read(session, cli->arguments[1], &file, err) < 0)
		return -1;
	body = body_of(cli, &file, NULL);
	result = set_space(session, cli, &file, body, err);
	graph_file_release(&file);
	if (result < 0 ||
		session_post(session, "policy", collection_workflows.path, body, &record, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(record), "%s", json_text(record, "id"));
	return 0;
}

static int edit(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *before = NULL, *body = NULL, *record = NULL;
	auto_free char *path = NULL;
	struct graph_file file;

	if (find(session, cli, &before, err) < 0 ||
		graph_file_read(session, cli->arguments[2], &file, err) < 0)
		return -1;
	body = body_of(cli, &file, before);
	graph_file_release(&file);
	path = mem_printf("%s/%s", collection_workflows.path, json_text(before, "id"));
	if (session_change(session,
		    &(const struct api_call) { .audience = "policy",
			    .method = "PUT",
			    .path = path,
			    .body = body,
			    .etag = json_text(before, "etag") },
		    &record, err) < 0)
		return -1;
	ui_result(cli->ui, json_incref(record), "%s %s", json_text(record, "id"),
		json_text(record, "graph_hash"));
	return 0;
}

/* With exit code 1 when there are faults. */
static int validate(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *record = NULL, *body = json_object(), *answer = NULL;

	if (find(session, cli, &record, err) < 0 ||
		post(session, record, ":validate", body, &answer, err) < 0)
		return -1;
	show_faults(cli, json_object_get(answer, "faults"));
	if (json_is_true(json_object_get(answer, "valid")))
		return 0;
	return err_set(err, ERR_UNPROCESSABLE, "workflow.invalid", "the graph has %lld faults",
		(long long)json_integer_value(json_object_get(answer, "count")));
}

/* --- requests --- */

/* "count=pol_…" of the arguments. */
static int read_policies(const struct cli *cli, json_t *list, struct err *err)
{
	for (unsigned i = 2; i < cli->n_arguments; i++) {
		const char *text = cli->arguments[i], *equals = strchr(text, '=');

		if (!equals || !id_is(equals + 1, "pol"))
			return err_set(err, ERR_INVALID, "usage.arguments",
				"'%s' is not OBJECT=POLICY, such as count=pol_…", text);
		json_array_append_new(list, json_pack("{s:s%,s:s}", "object", text,
						    (size_t)(equals - text), "policy", equals + 1));
	}
	return 0;
}

static int read_end(const struct cli *cli, json_t *body, struct err *err)
{
	const char *at = cli_value(cli, "expires-at");
	char text[CLOCK_TEXT_SIZE];
	long long days;

	if (cli_number(cli, "days", DAYS_MAX, 0, &days, err) < 0)
		return -1;
	clock_rfc3339(clock_unix_ms() + days * DAY * 1000, text);
	if (at || days)
		json_object_set_new(body, "expires_at", json_string(at ? at : text));
	return 0;
}

/* Whether it is an approval that counts under this policy, too: what others refused they are asked
 * for again. */
static bool still_approves(const struct trust_policy *policy, json_t *envelope)
{
	auto_json json_t *list = json_pack("[O]", envelope), *judgement = NULL;
	const json_t *vote;
	json_t *rule;
	size_t i;

	judgement = trust_approvals_judge(policy, list, clock_unix_ms() / 1000);
	json_array_foreach (json_object_get(judgement, "rules"), i, rule) {
		vote = json_array_get(json_object_get(rule, "votes"), 0);
		if (json_text_is(vote, "decision", "approve") && !json_text(vote, "code"))
			return true;
	}
	return false;
}

/* What was agreed to for the version before still counts where its terms are the same: the words
 * are handed on, each as its signer wrote it. */
static int carry_over(
	struct session *session, const char *from, const char *to, size_t *n, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	auto_json json_t *before = NULL, *after = NULL;
	auto_free char *path = mem_printf("/v1/policies/%s/approvals", to);
	struct trust_policy policy;
	json_t *envelope;
	size_t i;

	if (get(session, &before, err, "/v1/policies/%s", from) < 0 ||
		get(session, &after, err, "/v1/policies/%s", to) < 0 ||
		trust_policy_read(arena, json_object_get(after, "document"), &policy, err) < 0)
		return -1;
	json_array_foreach (json_object_get(before, "approvals"), i, envelope) {
		auto_json json_t *body = json_pack("{s:O}", "approval", envelope), *answer = NULL;

		if (!still_approves(&policy, envelope))
			continue;
		if (session_post(session, "policy", path, body, &answer, err) < 0)
			return -1;
		(*n)++;
	}
	return 0;
}

static const char *policy_of(const json_t *policies, const char *object)
{
	json_t *entry;
	size_t i;

	json_array_foreach (policies, i, entry) {
		if (json_text_is(entry, "object", object))
			return json_text(entry, "policy");
	}
	return NULL;
}

/* From the newest version that has a policy for the same object. */
static int carry_all(struct session *session, const struct cli *cli, const json_t *workflow,
	const json_t *policies, struct err *err)
{
	auto_json json_t *answer = NULL;
	const json_t *last;
	size_t i, n = 0;
	json_t *entry;

	if (get(session, &answer, err, "%s/%s/versions", collection_workflows.path,
		    json_text(workflow, "id")) < 0)
		return -1;
	last = json_object_get(json_array_get(json_object_get(answer, "items"), 0), "policies");
	json_array_foreach (policies, i, entry) {
		const char *from = policy_of(last, json_text(entry, "object")),
			   *to = json_text(entry, "policy");

		if (from && strcmp(from, to) != 0 && carry_over(session, from, to, &n, err) < 0)
			return -1;
	}
	if (n > 0)
		ui_note(cli->ui, "%zu approvals of the version before count for this one, too", n);
	return 0;
}

static int request(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *record = NULL, *body = NULL, *policies = json_array(), *version = NULL;

	if (read_policies(cli, policies, err) < 0 || find(session, cli, &record, err) < 0)
		return -1;
	body = json_pack(
		"{s:O,s:O}", "version", json_object_get(record, "version"), "policies", policies);
	if (read_end(cli, body, err) < 0 || carry_all(session, cli, record, policies, err) < 0 ||
		post(session, record, ":request", body, &version, err) < 0)
		return -1;
	show_version(cli, version);
	return 0;
}

static int withdraw(struct session *session, const struct cli *cli, struct err *err)
{
	auto_json json_t *record = NULL, *body = NULL, *version = NULL;
	long long number;

	if (find(session, cli, &record, err) < 0 ||
		cli_number(cli, "version", 999999999,
			(long long)json_integer_value(json_object_get(record, "version")) - 1,
			&number, err) < 0)
		return -1;
	body = json_pack(
		"{s:I,s:s*}", "version", (json_int_t)number, "reason", cli_value(cli, "reason"));
	if (post(session, record, ":withdraw", body, &version, err) < 0)
		return -1;
	show_version(cli, version);
	return 0;
}

static int workflow(const struct cli *cli, struct err *err)
{
	static const struct verb verbs[] = {
		{ "create", create, 1, "FILE" },
		{ "edit", edit, 2, "NAME FILE" },
		{ "list", list, 0, "" },
		{ "show", show, 1, "NAME" },
		{ "validate", validate, 1, "NAME" },
		{ "request", request, 2, "NAME OBJECT=POLICY..." },
		{ "withdraw", withdraw, 1, "NAME" },
		{ "versions", versions, 1, "NAME" },
		{ "diff", diff, 1, "NAME" },
		{ "delete", NULL, 1, "NAME" },
		{ NULL, NULL, 0, NULL },
	};

	return session_verb_of(cli, "workflow", verbs, &collection_workflows, err);
}

const struct command command_workflow = { "workflow",
	"create FILE | edit NAME FILE | list | show NAME | validate NAME | request NAME "
	"OBJECT=POLICY... | withdraw NAME | versions NAME | diff NAME | delete NAME",
	"which data meets which application, agreed to by all", options, 1, CLI_MAX_ARGUMENTS,
	workflow };
