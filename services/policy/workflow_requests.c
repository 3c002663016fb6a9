/* SPDX-License-Identifier: Apache-2.0 */
/* Requesting the approval of a draft, which makes it a version that never changes, and taking the
 * request back. */
#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "proto/roles.h"
#include "services/policy/constraints.h"
#include "services/policy/queries.h"
#include "services/policy/store_rows.h"
#include "services/policy/workflows.h"

#define MAX_POLICIES 64
#define DAY_S 86400
#define EXPIRES_DAYS 14
#define EXPIRES_DAYS_MAX 366
#define REASON_MAX 1024

struct request {
	long long version;
	json_t *policies;
	const char *expires_at;
	/* what follows from these */
	struct web_req *req;
	struct workflow workflow;
	long long expires_s;
};

static const struct json_field request_fields[] = {
	{ "version", JSON_FIELD_COUNT, offsetof(struct request, version), true, 0 },
	{ "policies", JSON_FIELD_ARRAY, offsetof(struct request, policies), true, MAX_POLICIES },
	{ "expires_at", JSON_FIELD_TEXT, offsetof(struct request, expires_at), false,
		CLOCK_TEXT_SIZE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct named_policy {
	const char *object, *policy;
};

static const struct json_field policy_fields[] = {
	{ "object", JSON_FIELD_TEXT, offsetof(struct named_policy, object), true, 31 },
	{ "policy", JSON_FIELD_TEXT, offsetof(struct named_policy, policy), true, ID_SIZE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int read_expiry(struct request *request, struct err *err)
{
	long long now = clock_unix_ms() / 1000;

	request->expires_s = now + (long long)EXPIRES_DAYS * DAY_S;
	if (!request->expires_at)
		return 0;
	if (clock_read_rfc3339(request->expires_at, &request->expires_s) &&
		request->expires_s > now &&
		request->expires_s <= now + (long long)EXPIRES_DAYS_MAX * DAY_S)
		return 0;
	return err_set(err, ERR_INVALID, "workflow.bad_expiry",
		"expires_at must be a time to come within a year, such as 2030-01-31T12:00:00Z");
}

/* --- the draft --- */

static int refuse_faults(const json_t *faults, size_t total, struct err *err)
{
	const json_t *first = json_array_get(faults, 0);
	json_t *fault;
	size_t i;

	err_set(err, ERR_UNPROCESSABLE, "workflow.invalid", "the graph has %zu faults; first: %s",
		total, json_text(first, "detail"));
	json_array_foreach (faults, i, fault)
		err_field(err, json_text(fault, "pointer"), json_text(fault, "code"), "%s",
			json_text(fault, "detail"));
	return -1;
}

static int check_draft(struct request *request, struct err *err)
{
	auto_json json_t *faults = NULL;
	size_t total;

	if (workflow_find(request->req, true, &request->workflow, err) < 0 ||
		resource_if_match(request->req, request->workflow.revision, err) < 0)
		return -1;
	if (request->version != request->workflow.version)
		return err_set(err, ERR_CONFLICT, "workflow.version_taken",
			"the draft is for version %lld", request->workflow.version);
	if (workflow_faults(request->req, &request->workflow, &faults, &total, err) < 0)
		return -1;
	return total ? refuse_faults(faults, total, err) : 0;
}

/* --- its policies --- */

static const struct graph_object *app_of(const struct graph *graph, const char *id)
{
	for (size_t i = 0; i < graph->n_objects; i++)
		if (graph->objects[i].kind == GRAPH_APP && strcmp(graph->objects[i].id, id) == 0)
			return &graph->objects[i];
	return NULL;
}

/* Locks it until the end: no vote on it comes between. */
static int check_policy(struct db *db, const struct request *request,
	const struct named_policy *named, struct err *err)
{
	struct arena *arena = request->req->arena;
	const struct graph_object *app = app_of(&request->workflow.graph, named->object);
	auto_rows struct db_rows *rows = NULL;
	struct trust_policy policy;
	const char *text;

	if (!app)
		return err_set(err, ERR_UNPROCESSABLE, "workflow.no_such_app",
			"'%s' is no application of the graph", named->object);
	if (db_exec(db, &SQL_POLICY_LOCK, DB_PARAMS(request->req->principal->tenant, named->policy),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(
			err, ERR_UNPROCESSABLE, "policy.not_found", "there is no such policy");
	text = db_text_in(rows, 0, "document", arena);
	if (trust_policy_parse(arena, text, strlen(text), &policy, err) < 0 ||
		constraints_of_workflow(db, request->req->principal->tenant, request->workflow.id,
			&policy, err) < 0)
		return -1;
	return workflow_policy_check(&request->workflow, app, &policy, err);
}

static int add_policy(
	struct db *db, const struct request *request, const json_t *entry, struct err *err)
{
	const struct workflow *workflow = &request->workflow;
	struct named_policy named;

	if (json_decode(request->req->arena, (json_t *)entry, policy_fields, &named, err) < 0 ||
		check_policy(db, request, &named, err) < 0)
		return -1;
	return db_exec(db, &SQL_WORKFLOW_POLICY_INSERT,
		DB_PARAMS(request->req->principal->tenant, workflow->space, workflow->id,
			DB_NUMBER(workflow->version), named.object, named.policy),
		NULL, err);
}

/* Each application has one, and only one. */
static int add_policies(struct db *db, const struct request *request, struct err *err)
{
	const struct graph *graph = &request->workflow.graph;
	size_t n_apps = 0, i;
	json_t *entry;

	for (i = 0; i < graph->n_objects; i++)
		n_apps += graph->objects[i].kind == GRAPH_APP;
	if (json_array_size(request->policies) != n_apps)
		return err_set(err, ERR_UNPROCESSABLE, "workflow.policies_missing",
			"the graph has %zu applications, and each needs one policy", n_apps);
	json_array_foreach (request->policies, i, entry) {
		if (add_policy(db, request, entry, err) < 0)
			return strcmp(err->code, "db.unique") == 0
				       ? err_set(err, ERR_UNPROCESSABLE,
						 "workflow.policies_missing",
						 "two policies are for one application, and "
						 "another has none")
				       : -1;
	}
	return 0;
}

/* --- the version --- */

static int add_version(struct db *db, const struct request *request, struct err *err)
{
	const struct workflow *workflow = &request->workflow;
	const struct principal *who = request->req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_WORKFLOW_EXPIRE_ONE, DB_PARAMS(who->tenant, workflow->id), NULL, err) <
			0 ||
		db_exec(db, &SQL_WORKFLOW_FREEZE,
			DB_PARAMS(who->tenant, workflow->id, DB_NUMBER(workflow->revision)), &rows,
			err) < 0 ||
		store_row_changed(db_affected(rows), err) < 0)
		return -1;
	if (db_exec(db, &SQL_WORKFLOW_VERSION_INSERT,
		    DB_PARAMS(who->tenant, workflow->space, workflow->id,
			    DB_NUMBER(workflow->version), workflow->graph_text,
			    workflow->graph.hash, who->subject, DB_NUMBER(request->expires_s)),
		    NULL, err) == 0)
		return 0;
	if (strcmp(err->code, "db.unique") != 0)
		return -1;
	return err_set(err, ERR_CONFLICT, "workflow.pending",
		"another version waits for its approval: withdraw it first");
}

/* Votes may have come before the request did. */
static int settle_policies(struct db *db, const struct request *request, struct err *err)
{
	json_t *entry;
	size_t i;

	json_array_foreach (request->policies, i, entry) {
		if (workflow_settle(db, request->req->principal->tenant, json_text(entry, "policy"),
			    err) < 0)
			return -1;
	}
	return 0;
}

static int request_work(struct db *db, void *arg, struct err *err)
{
	const struct request *request = arg;
	const struct workflow *workflow = &request->workflow;

	if (add_version(db, request, err) < 0 || add_policies(db, request, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "request",
			  .on = workflow->id,
			  .detail = workflow->graph.hash,
			  .space = workflow->space });
	return settle_policies(db, request, err);
}

static int answer_version(
	struct web_req *req, struct web_res *res, long long version, struct err *err)
{
	const char *id = web_param(req, "workflow_id");

	req->params[req->n_params++] =
		(struct web_pair) { "version", arena_printf(req->arena, "%lld", version) };
	web_header_add(res, "Location",
		arena_printf(req->arena, "/v1/workflows/%s/versions/%lld", id, version));
	return workflow_version_show(req, res, err);
}

int workflow_request(struct web_req *req, struct web_res *res, struct err *err)
{
	struct request request = { .req = req };

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		json_decode(req->arena, req->json, request_fields, &request, err) < 0 ||
		read_expiry(&request, err) < 0 || check_draft(&request, err) < 0 ||
		db_tx(req->worker->db, DB_TENANT(req->principal->tenant), request_work, &request,
			err) < 0)
		return -1;
	res->status = 201;
	return answer_version(req, res, request.version, err);
}

/* --- taking it back --- */

struct withdrawal {
	long long version;
	const char *reason;
};

static const struct json_field withdraw_fields[] = {
	{ "version", JSON_FIELD_COUNT, offsetof(struct withdrawal, version), true, 0 },
	{ "reason", JSON_FIELD_TEXT, offsetof(struct withdrawal, reason), false, REASON_MAX },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int workflow_withdraw(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *tenant = req->principal->tenant;
	struct withdrawal body = { .reason = NULL };
	struct workflow workflow;
	struct audit_act act = { .action = "withdraw" };
	int changed;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		json_decode(req->arena, req->json, withdraw_fields, &body, err) < 0 ||
		workflow_find(req, true, &workflow, err) < 0)
		return -1;
	act.on = workflow.id;
	act.space = workflow.space;
	changed = audit_run(req->worker->db, DB_TENANT(tenant), &SQL_WORKFLOW_WITHDRAW,
		DB_PARAMS(tenant, workflow.id, DB_NUMBER(body.version), req->principal->subject,
			body.reason),
		&act, err);
	if (changed < 0)
		return -1;
	if (changed == 0)
		return err_set(err, ERR_CONFLICT, "workflow.not_pending",
			"version %lld does not wait for its approval", body.version);
	return answer_version(req, res, body.version, err);
}
