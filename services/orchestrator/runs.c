/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of /v1/runs. */
#include "services/orchestrator/runs.h"

#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/wake.h"
#include "proto/roles.h"
#include "services/orchestrator/peers.h"
#include "services/orchestrator/store.h"

#define ROUTE "POST /v1/runs"
#define CANCEL_TRIES 8

struct run_body {
	const char *pipeline, *sandbox, *order, *space;
};

static const struct json_field create_fields[] = {
	{ "pipeline", JSON_FIELD_TEXT, offsetof(struct run_body, pipeline), true, ID_SIZE },
	{ "sandbox", JSON_FIELD_TEXT, offsetof(struct run_body, sandbox), true, ID_SIZE },
	{ "order", JSON_FIELD_TEXT, offsetof(struct run_body, order), true, ID_SIZE },
	{ "space", JSON_FIELD_TEXT, offsetof(struct run_body, space), false, ID_SIZE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static const struct json_field order_fields[] = {
	{ "sandbox", JSON_FIELD_TEXT, offsetof(struct run_body, sandbox), true, ID_SIZE },
	{ "order", JSON_FIELD_TEXT, offsetof(struct run_body, order), true, ID_SIZE },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *run_record(const struct run *run)
{
	json_t *record = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:I,s:s,s:s,s:s}",
		"id", run->id, "tenant", run->tenant, "space", run->space, "pipeline",
		run->pipeline, "policy_hash", run->policy_hash, "sandbox", run->sandbox, "order",
		run->order, "state", run->state, "fence", (json_int_t)run->fence, "run_nonce",
		run->run_nonce, "deadline", (json_int_t)run->deadline, "created_by",
		run->created_by, "created_at", run->created_at, "updated_at", run->updated_at);

	json_object_set_new(record, "awaiting",
		run->awaiting ? json_loads(run->awaiting, 0, NULL) : json_array());
	json_object_set_new(record, "egress", json_loads(run->egress, 0, NULL));
	json_object_set_new(record, "step", text_or_null(run->step));
	json_object_set_new(record, "ended_at", text_or_null(run->ended_at));
	json_object_set_new(record, "failure",
		run->failure_code ? json_pack("{s:s,s:s?}", "code", run->failure_code, "detail",
					    run->failure_detail)
				  : json_null());
	json_object_set_new(record, "output",
		run->output_object
			? json_pack("{s:s,s:s,s:I}", "object", run->output_object, "digest",
				  run->output_digest, "size", (json_int_t)run->output_size)
			: json_null());
	json_object_set_new(
		record, "receipt", run->receipt ? json_loads(run->receipt, 0, NULL) : json_null());
	return record;
}

static int answer(struct web_req *req, struct web_res *res, const struct run *run, struct err *err)
{
	json_t *steps;

	if (store_run_steps(req->worker->db, run, &steps, err) < 0)
		return -1;
	res->json = run_record(run);
	json_object_set_new(res->json, "steps", steps);
	resource_etag(req, res, run->revision);
	return 0;
}

static int get(struct web_req *req, const char *id, struct run *ret_run, struct err *err)
{
	return store_run_get(req->worker->db, req->arena, req->principal->tenant, id, ret_run, err);
}

static int answer_id(struct web_req *req, struct web_res *res, const char *id, struct err *err)
{
	struct run run;

	if (get(req, id, &run, err) < 0)
		return -1;
	res->status = 202;
	web_header_add(res, "Location", arena_printf(req->arena, "/v1/runs/%s", id));
	return answer(req, res, &run, err);
}

/* The objects that the policy's inputs name, as a JSON list of {slot, object}. */
static const char *inputs_of(struct web_req *req, const json_t *document)
{
	auto_json json_t *list = json_array();
	auto_free char *text = NULL;
	json_t *input;
	size_t i;

	json_array_foreach (json_object_get(document, "inputs"), i, input) {
		json_array_append_new(
			list, json_pack("{s:O,s:O}", "slot", json_object_get(input, "slot"),
				      "object", json_object_get(input, "object")));
	}
	text = json_dumps(list, JSON_COMPACT);
	return arena_strdup(req->arena, text);
}

/* A policy service of another release may show less, which must not end this one. */
static int check_whole(const json_t *order, const char *id, struct err *err)
{
	static const char *const needed[] = { "space", "policy_hash", "run_nonce", "document" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(needed); i++) {
		if (!json_text(order, needed[i]))
			return err_set(err, ERR_UPSTREAM, "run.order_incomplete",
				"order '%s' has no %s", id, needed[i]);
	}
	return 0;
}

/* Fills what the run's row takes from pipeline and order; both must be for one policy. */
static int gather(
	struct web_req *req, const struct run_body *body, struct run *run, struct err *err)
{
	const char *tenant = req->principal->tenant;
	auto_json json_t *pipeline = NULL, *order = NULL, *sandbox = NULL, *document = NULL;
	const json_t *image;
	const char *text;

	if (peers_pipeline(req->worker, tenant, body->pipeline, &pipeline, err) < 0 ||
		peers_order(req->worker, tenant, body->order, &order, err) < 0 ||
		peers_sandbox(req->worker, tenant, body->sandbox, &sandbox, err) < 0 ||
		check_whole(order, body->order, err) < 0)
		return -1;
	if (!json_equal(json_object_get(pipeline, "policy_hash"),
		    json_object_get(order, "policy_hash")))
		return err_set(err, ERR_UNPROCESSABLE, "order.wrong_policy",
			"the order is for another policy");
	text = json_text(order, "document");
	document = json_parse(text, strlen(text), err);
	if (!document)
		return -1;
	image = json_object_get(document, "image");
	run->space = arena_strdup(req->arena, json_text(order, "space"));
	run->policy_hash = arena_strdup(req->arena, json_text(order, "policy_hash"));
	run->run_nonce = arena_strdup(req->arena, json_text(order, "run_nonce"));
	run->repository = arena_strdup(req->arena, json_text(image, "repository"));
	run->manifest = arena_strdup(req->arena, json_text(image, "manifest"));
	run->inputs = inputs_of(req, document);
	run->deadline = json_integer_value(json_object_get(document, "deadline"));
	run->max_runs = json_integer_value(json_object_get(document, "max_runs"));
	return 0;
}

/* Elsewhere, another space's members would learn who owns what the order asks for. */
static int check_space(const struct web_req *req, const struct run_body *body,
	const struct run *run, struct err *err)
{
	if ((!body->space || strcmp(body->space, run->space) == 0) &&
		principal_in_space(req->principal, run->space))
		return 0;
	return err_set(err, ERR_UNPROCESSABLE, "run.wrong_space",
		"a run lies in its order's space, which the caller must be in");
}

int run_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct run_body body = { 0 };
	struct run run = { 0 };
	const char *known;
	char id[ID_SIZE];

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		resource_replayed(req, res, ROUTE, &known, err) < 0)
		return -1;
	if (known)
		return answer_id(req, res, known, err);
	if (json_decode(req->arena, req->json, create_fields, &body, err) < 0 ||
		gather(req, &body, &run, err) < 0 || check_space(req, &body, &run, err) < 0)
		return -1;
	id_new("run", id);
	run.id = id;
	run.pipeline = body.pipeline;
	run.sandbox = body.sandbox;
	run.order = body.order;
	if (store_run_add(req, &run, err) < 0)
		return -1;
	wake_ring(req->worker->wake, "run", id);
	return answer_id(req, res, id, err);
}

int run_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct page page;

	if (resource_page(req, &page, err) < 0)
		return -1;
	return store_run_list(req, &page,
		&(struct run_filter) { web_query(req, "state"), web_query(req, "order") },
		&res->json, err);
}

int run_show(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "run_id");
	struct run run;
	long long wait_ms;

	if (web_wait_ms(req, &wait_ms, err) < 0 || store_run_read(req, id, &run, err) < 0)
		return -1;
	if (wait_ms && resource_unchanged(req, run.revision) && !run_is_final(run.state)) {
		res->status = 304;
		web_park(req, res, arena_strdup(req->arena, id), wait_ms);
		return 0;
	}
	return answer(req, res, &run, err);
}

int run_reorder(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "run_id"), *tenant = req->principal->tenant;
	auto_json json_t *order = NULL, *sandbox = NULL;
	struct run_body body;
	struct run run;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		json_decode(req->arena, req->json, order_fields, &body, err) < 0 ||
		get(req, id, &run, err) < 0)
		return -1;
	if (strcmp(run.order, body.order) == 0)
		return answer_id(req, res, id, err);
	if (strcmp(run.state, "awaiting_grants") != 0)
		return err_set(err, ERR_CONFLICT, "run.not_waiting",
			"the run is '%s', not awaiting_grants", run.state);
	if (peers_order(req->worker, tenant, body.order, &order, err) < 0 ||
		peers_sandbox(req->worker, tenant, body.sandbox, &sandbox, err) < 0)
		return -1;
	if (strcmp(json_text(order, "policy_hash"), run.policy_hash) != 0)
		return err_set(err, ERR_UNPROCESSABLE, "order.wrong_policy",
			"the order is for another policy");
	if (store_run_change(req->worker->db, &run,
		    &(struct run_change) { .to = "queued",
			    .order = body.order,
			    .run_nonce = json_text(order, "run_nonce"),
			    .sandbox = body.sandbox },
		    err) < 0)
		return -1;
	wake_ring(req->worker->wake, "run", id);
	return answer_id(req, res, id, err);
}

static int cancel(struct web_req *req, const struct run *run, struct err *err)
{
	return store_run_change(req->worker->db, run,
		&(struct run_change) { .to = "cancelled",
			.raise_fence = true,
			.failure_code = "run.cancelled",
			.failure_detail = "cancelled by its owner" },
		err);
}

/* The loop or the agent may move the run between the look and the change: then it is looked at
 * anew. */
int run_cancel(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "run_id");
	struct run run;
	int tries = 0;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 || get(req, id, &run, err) < 0)
		return -1;
	while (!run_is_final(run.state) && cancel(req, &run, err) < 0) {
		if (strcmp(err->code, "run.stale") != 0 || ++tries == CANCEL_TRIES)
			return -1;
		err_clear(err);
		if (get(req, id, &run, err) < 0)
			return -1;
	}
	wake_ring(req->worker->wake, "web", id);
	return answer_id(req, res, id, err);
}
