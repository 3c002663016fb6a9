/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes with `change` (web.h): the calls that a worker took together are prepared one by one, and
 * what they have to say to Postgres goes with one COMMIT, so that they wait for the disk once. A
 * transaction that fails changed nothing: then each of its calls has one of its own.
 */
#include <string.h>

#include "lib/auth.h"
#include "lib/db.h"
#include "lib/service.h"
#include "lib/web_inner.h"

struct item {
	struct web_call *call;
	void *work;
};

struct group {
	const struct item *items;
	size_t count;
};

static const struct web_change *change_of(const struct item *item)
{
	return item->call->entry->route->change;
}

static int prepare(struct web_call *call, struct worker *worker, struct item *ret_item)
{
	*ret_item = (struct item) { call, NULL };
	if (web_call_begin(call, worker) < 0 || web_call_parse(call) < 0)
		return -1;
	return change_of(ret_item)->prepare(&call->req, &call->res, &ret_item->work, &call->err);
}

static int add_all(struct db *db, void *arg, struct err *err)
{
	const struct group *group = arg;

	(void)err;
	for (size_t i = 0; i < group->count; i++) {
		web_call_enter(group->items[i].call);
		change_of(group->items)->add(db, group->items[i].work);
	}
	change_of(group->items)->close(db);
	return 0;
}

/* Whether all of them are committed; a call by itself is better off alone. */
static bool commit(const struct group *group)
{
	const struct web_req *req = &group->items->call->req;
	struct err failure = { .kind = ERR_NONE };

	return group->count > 1 && db_tx(req->worker->db, DB_TENANT(req->principal->tenant),
					   add_all, (void *)group, &failure) == 0;
}

static void finish(const struct group *group)
{
	const struct web_change *change = change_of(group->items);
	bool is_committed = commit(group);

	for (size_t i = 0; i < group->count; i++) {
		struct web_call *call = group->items[i].call;

		web_call_enter(call);
		call->result = (is_committed ? change->answer : change->alone)(
			&call->req, &call->res, group->items[i].work, &call->err);
		web_call_end(call);
	}
}

/* A transaction has one tenant. */
static bool is_alike(const struct item *one, const struct item *other)
{
	return change_of(one) == change_of(other) &&
	       strcmp(one->call->req.principal->tenant, other->call->req.principal->tenant) == 0;
}

void web_change_run(struct lane_job *jobs, struct worker *worker)
{
	struct item items[LANE_MAX_JOINED];
	struct lane_job *next;
	size_t count = 0;

	for (struct lane_job *job = jobs; job; job = job->next) {
		struct web_call *call = (struct web_call *)job;

		call->result = prepare(call, worker, &items[count]);
		if (call->result < 0)
			web_call_end(call);
		else
			count++;
	}
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count && is_alike(&items[i], &items[end]);)
			end++;
		finish(&(const struct group) { &items[i], end - i });
	}
	for (struct lane_job *job = jobs; job; job = next) {
		struct web_call *call = (struct web_call *)job;

		next = job->next;
		web_server_post(call->server, &call->note);
	}
}
