/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes with `read` (web.h): the calls that a worker took together are authorised one by one, ask
 * Postgres in one round trip, each in its own caller's scope, and are answered one by one. Those of
 * one scope and one route are one statement where the route has one. What is no read after all is
 * its handler's.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/db.h"
#include "lib/id.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "lib/web_inner.h"

_Static_assert(LANE_MAX_JOINED <= DB_MAX_READS, "a worker's jobs are one group of reads");

struct question {
	struct web_call *call;
	const char *params[WEB_READ_PARAMS];
	int n_params;
	bool may_share; /* a statement with others */
	size_t read;	/* its number in the round */
};

/* What one statement asks, for one question or for several. */
struct asked {
	const struct web_read *of;
	size_t n_ids;				 /* 0: it is nobody else's */
	char ids[LANE_MAX_JOINED * ID_SIZE + 2]; /* an array's text */
	const char *params[2];
};

struct round {
	struct question questions[LANE_MAX_JOINED];
	size_t n_questions;
	struct asked asked[LANE_MAX_JOINED];
	struct db_read reads[LANE_MAX_JOINED];
	size_t n_reads;
};

static struct db_scope scope_of(const struct web_req *req, const struct web_read *read)
{
	return (struct db_scope) {
		.tenant_id = req->principal->tenant,
		.space_ids = read->shared ? req->principal->spaces : NULL,
	};
}

static const struct web_read *read_of(const struct question *question)
{
	return question->call->entry->route->read;
}

/* 1: asked, 0: the handler has answered, -1. */
static int prepare(struct web_call *call, struct worker *worker, struct question *ret)
{
	const struct web_route *route = call->entry->route;

	*ret = (struct question) { call, { NULL, call->req.params[0].value }, 2, false, 0 };
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

/* --- what is asked together --- */

static void add_id(struct asked *asked, const char *id)
{
	size_t len = strlen(asked->ids), at = len > 0 ? len - 1 : 0; /* of the end */
	int done = snprintf(
		asked->ids + at, sizeof(asked->ids) - at, "%c%s}", len > 0 ? ',' : '{', id);

	assert(done > 0 && (size_t)done < sizeof(asked->ids) - at);
	asked->n_ids++;
}

static void ask(struct round *round, const struct question *question, const struct db_scope *scope)
{
	const struct web_read *read = read_of(question);
	struct asked *asked = &round->asked[round->n_reads];

	*asked = (struct asked) { .of = read };
	if (question->may_share)
		add_id(asked, question->params[1]);
	round->reads[round->n_reads++] = (struct db_read) {
		.scope = *scope,
		.sql = read->sql,
		.params = question->params,
		.n_params = question->n_params,
	};
}

/* The statement that this question joins, or that many as there are. */
static size_t find(
	const struct round *round, const struct question *question, const struct db_scope *scope)
{
	const struct web_read *read = read_of(question);
	size_t i = question->may_share ? 0 : round->n_reads;

	while (i < round->n_reads && (round->asked[i].of != read || round->asked[i].n_ids == 0 ||
					     !db_is_same_scope(&round->reads[i].scope, scope)))
		i++;
	return i;
}

/* Only ids are asked for together: they need no quotes, and no statement fails for them. */
static void enter(struct round *round, struct question *question)
{
	const struct db_scope scope = scope_of(&question->call->req, read_of(question));

	question->may_share = read_of(question)->several && id_is_any(question->params[1]);
	question->read = find(round, question, &scope);
	if (question->read == round->n_reads)
		ask(round, question, &scope);
	else
		add_id(&round->asked[question->read], question->params[1]);
}

static void ask_for_several(struct asked *asked, struct db_read *read)
{
	asked->params[0] = read->params[0];
	asked->params[1] = asked->ids;
	read->sql = asked->of->several;
	read->params = asked->params;
}

/* --- answers --- */

static int show(struct web_call *call, const struct web_read *read, const struct db_rows *rows)
{
	return read->answer(&call->req, &call->res, rows, &call->err);
}

static void answer(const struct round *round, const struct question *question)
{
	const struct db_read *read = &round->reads[question->read];
	struct web_call *call = question->call;
	struct db_rows *own = NULL;

	web_call_enter(call);
	if (!read->rows) {
		call->err = read->err;
		call->result = -1;
	} else if (round->asked[question->read].n_ids > 1) {
		own = db_rows_where(read->rows, "id", question->params[1]);
		call->result = show(call, read_of(question), own);
	} else {
		call->result = show(call, read_of(question), read->rows);
	}
	web_call_end(call);
	db_rows_free(own);
}

static void run(struct round *round, struct worker *worker)
{
	for (size_t i = 0; i < round->n_reads; i++)
		if (round->asked[i].n_ids > 1)
			ask_for_several(&round->asked[i], &round->reads[i]);
	db_read_all(worker->db, round->reads, round->n_reads);
	for (size_t i = 0; i < round->n_questions; i++)
		answer(round, &round->questions[i]);
	for (size_t i = 0; i < round->n_reads; i++)
		db_rows_free(round->reads[i].rows);
}

void web_read_run(struct lane_job *jobs, struct worker *worker)
{
	struct round round;
	struct lane_job *next;

	round.n_questions = round.n_reads = 0;
	for (struct lane_job *job = jobs; job; job = job->next) {
		struct question *question = &round.questions[round.n_questions];
		struct web_call *call = (struct web_call *)job;

		call->result = prepare(call, worker, question);
		if (call->result <= 0) {
			web_call_end(call);
			continue;
		}
		enter(&round, question);
		round.n_questions++;
	}
	run(&round, worker);
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
