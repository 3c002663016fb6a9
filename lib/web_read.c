/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes with `read` (web.h): the calls that a worker took together are authorised one by one, ask
 * Postgres in one round trip, each in its own caller's scope, and are answered one by one. What is
 * no read after all is its handler's.
 */
#include "lib/auth.h"
#include "lib/db.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "lib/web_inner.h"

_Static_assert(LANE_MAX_JOINED <= DB_MAX_READS, "a worker's jobs are one group of reads");

struct question {
	struct web_call *call;
	const char *params[WEB_READ_PARAMS];
	int n_params;
};

static struct db_scope scope_of(const struct web_req *req, const struct web_read *read)
{
	return (struct db_scope) {
		.tenant_id = req->principal->tenant,
		.space_ids = read->shared ? req->principal->spaces : NULL,
	};
}

static void ask(const struct question *question, struct db_read *ret_read)
{
	const struct web_req *req = &question->call->req;
	const struct web_read *read = question->call->entry->route->read;

	*ret_read = (struct db_read) {
		.scope = scope_of(req, read),
		.sql = read->sql,
		.params = question->params,
		.n_params = question->n_params,
	};
}

/* 1: asked, 0: the handler has answered, -1. */
static int prepare(struct web_call *call, struct worker *worker, struct question *ret)
{
	const struct web_route *route = call->entry->route;

	*ret = (struct question) { call, { NULL, call->req.params[0].value }, 2 };
	if (web_call_begin(call, worker) < 0 || web_call_parse(call) < 0)
		return -1;
	if (route->read->ask)
		ret->n_params = route->read->ask(&call->req, &call->res, ret->params, &call->err);
	if (ret->n_params < 0)
		return -1;
	if (ret->n_params == 0)
		return route->handle(&call->req, &call->res, &call->err);
	ret->params[0] = call->req.principal->tenant;
	return 1;
}

static void answer(struct web_call *call, struct db_read *read)
{
	const struct web_read *route = call->entry->route->read;

	web_call_enter(call);
	if (read->rows) {
		call->result = route->answer(&call->req, &call->res, read->rows, &call->err);
	} else {
		call->err = read->err;
		call->result = -1;
	}
	web_call_end(call);
	db_rows_free(read->rows);
}

void web_read_run(struct lane_job *jobs, struct worker *worker)
{
	struct question questions[LANE_MAX_JOINED];
	struct db_read reads[LANE_MAX_JOINED];
	struct lane_job *next;
	size_t count = 0;

	for (struct lane_job *job = jobs; job; job = job->next) {
		struct web_call *call = (struct web_call *)job;

		call->result = prepare(call, worker, &questions[count]);
		if (call->result <= 0) {
			web_call_end(call);
			continue;
		}
		ask(&questions[count], &reads[count]);
		count++;
	}
	db_read_all(worker->db, reads, count);
	for (size_t i = 0; i < count; i++)
		answer(questions[i].call, &reads[i]);
	for (struct lane_job *job = jobs; job; job = next) {
		struct web_call *call = (struct web_call *)job;

		next = job->next;
		web_server_post(call->server, &call->note);
	}
}

static void release_rows(void *rows)
{
	db_rows_free(rows);
}

int web_read_answer(struct web_req *req, struct web_res *res, const struct web_read *read,
	const char *id, struct err *err)
{
	const struct db_scope scope = scope_of(req, read);
	struct db_rows *rows = NULL;

	if (db_run(req->worker->db, &scope, read->sql, DB_PARAMS(scope.tenant_id, id), &rows, err) <
		0)
		return -1;
	arena_defer(req->arena, release_rows, rows);
	return read->answer(req, res, rows, err);
}
