/* SPDX-License-Identifier: Apache-2.0 */
/* The drafts of workflows, and what is wrong with one. */
#include "services/policy/workflows.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "proto/roles.h"
#include "services/policy/name.h"
#include "services/policy/queries.h"
#include "services/policy/store_rows.h"

#define DESCRIPTION_MAX 4096

struct workflow_body {
	const char *space, *name, *description;
	json_t *graph;
};

/* An update has all but the first. */
static const struct json_field fields[] = {
	{ "space", JSON_FIELD_TEXT, offsetof(struct workflow_body, space), false, ID_SIZE },
	{ "name", JSON_FIELD_TEXT, offsetof(struct workflow_body, name), true, 63 },
	{ "description", JSON_FIELD_TEXT, offsetof(struct workflow_body, description), false,
		DESCRIPTION_MAX },
	{ "graph", JSON_FIELD_OBJECT, offsetof(struct workflow_body, graph), true, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static int check_space(const struct web_req *req, const char *space, struct err *err)
{
	if (principal_in_space(req->principal, space))
		return 0;
	return err_set(
		err, ERR_UNPROCESSABLE, "workflow.wrong_space", "the caller is in no such space");
}

static int decode(struct web_req *req, bool is_new, struct record *record, struct err *err)
{
	struct workflow_body body = { .space = req->principal->space };
	auto_free char *text = NULL;
	struct graph graph;
	size_t len;

	if (json_decode(req->arena, req->json, is_new ? fields : fields + 1, &body, err) < 0 ||
		name_check(body.name, "/name", err) < 0 || check_space(req, body.space, err) < 0 ||
		graph_read(req->arena, body.graph, &graph, err) < 0 ||
		jcs_encode(body.graph, &text, &len, err) < 0)
		return -1;
	record->space = body.space;
	record->name = body.name;
	record->detail = arena_strdup(req->arena, graph.hash);
	record_add(record, body.name);
	record_add(record, body.description);
	record_add(record, arena_strndup(req->arena, text, len));
	record_add(record, record->detail);
	return 0;
}

static int query(struct web_req *req, struct record *record, struct err *err)
{
	const char *space = web_query(req, "space");

	if (space && check_space(req, space, err) < 0)
		return -1;
	record_add(record, space ? space : req->principal->spaces);
	record_add(record, space);
	return 0;
}

static json_t *encode(const struct db_rows *rows, size_t i)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s?,s:I,s:s,s:s,s:s,s:s}", "id", db_text(rows, i, "id"),
		"tenant", db_text(rows, i, "tenant_id"), "space", db_text(rows, i, "space_id"),
		"name", db_text(rows, i, "name"), "description",
		db_is_null(rows, i, "description") ? NULL : db_text(rows, i, "description"),
		"version", (json_int_t)db_number(rows, i, "version"), "graph_hash",
		db_text(rows, i, "graph_hash"), "created_by", db_text(rows, i, "created_by"),
		"created_at", db_text(rows, i, "created_at"), "updated_at",
		db_text(rows, i, "updated_at"));
}

static int show(
	struct web_req *req, struct web_res *res, const struct db_rows *rows, struct err *err)
{
	if (store_row_answer(req, res, rows, &workflow_kind, err) < 0)
		return -1;
	json_object_set_new(res->json, "graph", json_loads(db_text(rows, 0, "graph"), 0, NULL));
	return 0;
}

const struct record_kind workflow_kind = {
	.name = "workflow",
	.prefix = "wfl",
	.path = "/v1/workflows",
	.roles = ROLES_WORK,
	.in_use = "a version of it waits for its approval",
	.decode = decode,
	.query = query,
	.encode = encode,
	.read = { .sql = &SQL_WORKFLOW_BY_ID, .answer = show, .shared = true },
	.list = &SQL_WORKFLOW_LIST,
	.insert = &SQL_WORKFLOW_INSERT,
	.update = &SQL_WORKFLOW_UPDATE,
	.remove = &SQL_WORKFLOW_DELETE,
};

/* --- for the other handlers --- */

static void release_document(void *doc)
{
	json_decref(doc);
}

int workflow_find(struct web_req *req, bool is_own, struct workflow *ret_workflow, struct err *err)
{
	const struct principal *who = req->principal;
	const struct db_scope scope = { .tenant_id = who->tenant,
		.space_ids = is_own ? NULL : who->spaces };
	auto_rows struct db_rows *rows = NULL;
	struct workflow workflow;
	json_t *doc;

	if (db_run(req->worker->db, &scope, &SQL_WORKFLOW_BY_ID,
		    DB_PARAMS(who->tenant, web_param(req, "workflow_id")), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(
			err, ERR_NOT_FOUND, "workflow.not_found", "there is no such workflow");
	workflow = (struct workflow) { .id = db_text_in(rows, 0, "id", req->arena),
		.tenant = db_text_in(rows, 0, "tenant_id", req->arena),
		.space = db_text_in(rows, 0, "space_id", req->arena),
		.graph_text = db_text_in(rows, 0, "graph", req->arena),
		.version = db_number(rows, 0, "version"),
		.revision = db_number(rows, 0, "revision") };
	doc = json_parse(workflow.graph_text, strlen(workflow.graph_text), err);
	if (!doc)
		return -1;
	arena_defer(req->arena, release_document, doc);
	if (graph_read(req->arena, doc, &workflow.graph, err) < 0)
		return -1;
	*ret_workflow = workflow;
	return 0;
}

static char *add_id(char *at, const char *id)
{
	size_t len = id ? strlen(id) : 0;

	if (len == 0)
		return at;
	memcpy(at, id, len);
	at[len] = ',';
	return at + len + 1;
}

/* The ids that the objects name, a comma behind each. */
static char *refs_of(const struct graph *graph)
{
	char *text = mem_alloc(2 * graph->n_objects * ID_SIZE + 1), *at = text;

	for (size_t i = 0; i < graph->n_objects; i++)
		at = add_id(add_id(at, graph->objects[i].ref), graph->objects[i].config);
	return text;
}

int workflow_faults(struct web_req *req, struct workflow *workflow, json_t **ret_faults,
	size_t *ret_total, struct err *err)
{
	const struct principal *who = req->principal;
	auto_free char *refs = refs_of(&workflow->graph);
	auto_rows struct db_rows *rows = NULL;
	json_t *facts = json_object();

	arena_defer(req->arena, release_document, facts);
	if (db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces), &SQL_WORKFLOW_FACTS,
		    DB_PARAMS(workflow->space, refs), &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < db_count(rows); i++)
		json_object_set_new(facts, db_text(rows, i, "id"),
			json_loads(db_text(rows, i, "fact"), 0, NULL));
	workflow->facts = facts;
	*ret_faults = graph_faults(&workflow->graph, facts, ret_total);
	return 0;
}

int workflow_validate(struct web_req *req, struct web_res *res, struct err *err)
{
	struct workflow workflow;
	json_t *faults;
	size_t total;

	if (workflow_find(req, false, &workflow, err) < 0 ||
		workflow_faults(req, &workflow, &faults, &total, err) < 0)
		return -1;
	res->json = json_pack("{s:b,s:s,s:I,s:o}", "valid", total == 0, "graph_hash",
		workflow.graph.hash, "count", (json_int_t)total, "faults", faults);
	return 0;
}
