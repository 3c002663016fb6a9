/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of a workflow as answers, and the difference between two. */
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/policy/queries.h"
#include "services/policy/workflows.h"

static json_t *text_or_null(const struct db_rows *rows, size_t i, const char *column)
{
	return db_is_null(rows, i, column) ? json_null() : json_string(db_text(rows, i, column));
}

static json_t *version_row(const struct db_rows *rows, size_t i)
{
	return json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o}", "version",
		(json_int_t)db_number(rows, i, "version"), "state", db_text(rows, i, "state"),
		"graph_hash", db_text(rows, i, "graph_hash"), "requested_by",
		db_text(rows, i, "requested_by"), "requested_at", db_text(rows, i, "requested_at"),
		"expires_at", db_text(rows, i, "expires_at"), "settled_at",
		text_or_null(rows, i, "settled_at"), "settled_by",
		text_or_null(rows, i, "settled_by"), "reason", text_or_null(rows, i, "reason"),
		"policies", json_loads(db_text(rows, i, "policies"), 0, NULL));
}

/* All versions, or the one that is asked for. */
static int find(
	struct web_req *req, const char *version, struct db_rows **ret_rows, struct err *err)
{
	const struct principal *who = req->principal;

	return db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces), &SQL_WORKFLOW_VERSIONS,
		DB_PARAMS(who->tenant, web_param(req, "workflow_id"), version), ret_rows, err);
}

static int check_number(const char *text, struct err *err)
{
	size_t len = strspn(text, "0123456789");

	if (len > 0 && len <= 9 && !text[len])
		return 0;
	return err_set(err, ERR_INVALID, "workflow.bad_version",
		"a version is a number, or 'draft' where two are compared");
}

static int version_not_found(struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "workflow.version_not_found",
		"the workflow has no such version");
}

int workflow_version_list(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	struct workflow workflow;
	json_t *items;

	if (workflow_find(req, false, &workflow, err) < 0 || find(req, NULL, &rows, err) < 0)
		return -1;
	items = json_array();
	for (size_t i = 0; i < db_count(rows); i++)
		json_array_append_new(items, version_row(rows, i));
	res->json = json_pack("{s:o,s:n}", "items", items, "next_page_token");
	return 0;
}

int workflow_version_show(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	const char *version = web_param(req, "version");

	if (check_number(version, err) < 0 || find(req, version, &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return version_not_found(err);
	res->json = version_row(rows, 0);
	json_object_set_new(res->json, "graph", json_loads(db_text(rows, 0, "graph"), 0, NULL));
	return 0;
}

/* --- differences --- */

static int graph_of(struct web_req *req, const struct workflow *workflow, const char *which,
	json_t **ret_graph, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (strcmp(which, "draft") == 0) {
		*ret_graph = json_incref((json_t *)workflow->graph.doc);
		return 0;
	}
	if (check_number(which, err) < 0 || find(req, which, &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return version_not_found(err);
	*ret_graph = json_loads(db_text(rows, 0, "graph"), 0, NULL);
	return 0;
}

/* From the version that was requested last to the draft, unless the query says otherwise. */
int workflow_diff(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *from = web_query(req, "from"), *to = web_query(req, "to");
	auto_json json_t *before = NULL, *after = NULL;
	struct workflow workflow;

	if (workflow_find(req, false, &workflow, err) < 0)
		return -1;
	from = from ? from : arena_printf(req->arena, "%lld", workflow.version - 1);
	to = to ? to : "draft";
	if (graph_of(req, &workflow, from, &before, err) < 0 ||
		graph_of(req, &workflow, to, &after, err) < 0)
		return -1;
	res->json = json_pack(
		"{s:s,s:s,s:o}", "from", from, "to", to, "changes", graph_diff(before, after));
	return 0;
}
