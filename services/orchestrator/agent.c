/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of /v1/agent and certreg's query. The subject of an agent's token is its sandbox. */
#include "services/orchestrator/agent.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/wake.h"
#include "proto/trust.h"
#include "services/orchestrator/object_access.h"
#include "services/orchestrator/peers.h"
#include "services/orchestrator/store.h"

struct event_body {
	long long fence, seq;
	const char *step, *state, *detail;
};

static const struct json_field event_fields[] = {
	{ "fence", JSON_FIELD_COUNT, offsetof(struct event_body, fence), true, 0 },
	{ "seq", JSON_FIELD_COUNT, offsetof(struct event_body, seq), true, 0 },
	{ "step", JSON_FIELD_TEXT, offsetof(struct event_body, step), true, 32 },
	{ "state", JSON_FIELD_TEXT, offsetof(struct event_body, state), true, 16 },
	{ "detail", JSON_FIELD_TEXT, offsetof(struct event_body, detail), false, 1024 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct output_body {
	const char *object, *digest;
	long long size;
};

static const struct json_field output_fields[] = {
	{ "object", JSON_FIELD_TEXT, offsetof(struct output_body, object), true, ID_SIZE },
	{ "digest", JSON_FIELD_DIGEST, offsetof(struct output_body, digest), true, 0 },
	{ "size", JSON_FIELD_COUNT, offsetof(struct output_body, size), true, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct refusal_body {
	const char *code, *detail;
};

static const struct json_field refusal_fields[] = {
	{ "code", JSON_FIELD_TEXT, offsetof(struct refusal_body, code), true, 47 },
	{ "detail", JSON_FIELD_TEXT, offsetof(struct refusal_body, detail), true, 1024 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct result_body {
	long long fence;
	json_t *output, *receipt, *refusal;
};

static const struct json_field result_fields[] = {
	{ "fence", JSON_FIELD_COUNT, offsetof(struct result_body, fence), true, 0 },
	{ "output", JSON_FIELD_OBJECT, offsetof(struct result_body, output), false, 0 },
	{ "receipt", JSON_FIELD_OBJECT, offsetof(struct result_body, receipt), false, 0 },
	{ "refusal", JSON_FIELD_OBJECT, offsetof(struct result_body, refusal), false, 0 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

int agent_own_run(struct web_req *req, const char *id, struct run *ret_run, struct err *err)
{
	if (store_run_get(req->worker->db, req->arena, req->principal->tenant, id, ret_run, err) <
		0)
		return -1;
	if (!object_access_is_holder(req, ret_run))
		return err_set(err, ERR_NOT_FOUND, "run.not_found", "there is no run '%s'", id);
	return 0;
}

/* Leaves *ret_work NULL when the run was handed to another boot, or ordered for other machine keys:
 * it will move on. */
static int work_of(struct web_req *req, const char *id, json_t **ret_work, struct err *err)
{
	auto_json json_t *order = NULL;
	struct run run;

	*ret_work = NULL;
	if (store_run_get(req->worker->db, req->arena, req->principal->tenant, id, &run, err) < 0)
		return -1;
	if (!object_access_is_holder(req, &run))
		return 0;
	if (peers_order(req->worker, run.tenant, run.order, &order, err) < 0)
		return -1;
	if (strcmp(json_text(order, "sig"), req->principal->jkt) != 0)
		return 0;
	*ret_work = json_pack("{s:{s:s,s:I,s:s},s:O,s:O,s:O,s:O,s:O,s:o}", "run", "id", run.id,
		"fence", (json_int_t)run.fence, "pipeline", run.pipeline, "policy",
		json_object_get(order, "document"), "approvals",
		json_object_get(order, "approvals"), "order", json_object_get(order, "order"),
		"grants", json_object_get(order, "grants"), "constraints",
		json_object_get(order, "constraints"), "inputs", json_loads(run.inputs, 0, NULL));
	if (*ret_work) /* none would be: there is nothing to do, for ever */
		return 0;
	return err_set(err, ERR_UPSTREAM, "run.order_incomplete",
		"order '%s' of run '%s' lacks what its agent needs", run.order, run.id);
}

int agent_work(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *sandbox = req->principal->subject, *id;
	long long wait_ms;

	if (web_wait_ms(req, &wait_ms, err) < 0 ||
		store_run_of_sandbox(
			req->worker->db, req->arena, req->principal->tenant, sandbox, &id, err) < 0)
		return -1;
	if (id && work_of(req, id, &res->json, err) < 0)
		return -1;
	if (res->json)
		return 0;
	res->status = 204;
	if (wait_ms)
		web_park(req, res, sandbox, wait_ms);
	return 0;
}

int agent_run(struct web_req *req, struct web_res *res, struct err *err)
{
	struct run run;

	if (agent_own_run(req, web_param(req, "run_id"), &run, err) < 0)
		return -1;
	res->json = json_pack(
		"{s:s,s:I,s:s}", "id", run.id, "fence", (json_int_t)run.fence, "state", run.state);
	return 0;
}

static bool is_one_of(const char *text, const char *const *known)
{
	for (; *known; known++) {
		if (strcmp(text, *known) == 0)
			return true;
	}
	return false;
}

/* Only what agents have to say, since each step has a row. */
static int check_event(const struct event_body *body, struct err *err)
{
	static const char *const steps[] = { "verify", "grants", "pull", "input", "execute",
		"output", NULL };
	static const char *const states[] = { "started", "done", "failed", NULL };

	if (is_one_of(body->step, steps) && is_one_of(body->state, states))
		return 0;
	return err_set(err, ERR_INVALID, "run.bad_event", "no such step, or no such state of one");
}

int agent_event(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "run_id");
	struct event_body body = { 0 };
	struct run run;

	if (json_decode(req->arena, req->json, event_fields, &body, err) < 0 ||
		check_event(&body, err) < 0 || agent_own_run(req, id, &run, err) < 0 ||
		store_run_report(req->worker->db, run.tenant, id,
			&(struct run_report) {
				body.step, body.state, body.detail, body.fence, body.seq },
			err) < 0)
		return -1;
	wake_ring(req->worker->wake, "web", id);
	res->status = 204;
	return 0;
}

/* The object must be the run's own output, closed with that digest; the receipt must be the
 * machine's word on it. */
static int check_output(struct web_req *req, const struct run *run, const struct result_body *body,
	const struct output_body *output, struct err *err)
{
	struct trust_receipt_expect expect = { run->policy_hash, run->run_nonce, output->digest,
		output->size };
	auto_json json_t *sandbox = NULL, *statement = NULL;
	struct object object;

	if (store_object_get(req->worker->db, req->arena, DB_TENANT(run->tenant), output->object,
		    &object, err) < 0 ||
		peers_sandbox(req->worker, run->tenant, run->sandbox, &sandbox, err) < 0)
		return -1;
	if (!object.run || strcmp(object.run, run->id) != 0 ||
		strcmp(object.state, "closed") != 0 || strcmp(object.digest, output->digest) != 0 ||
		object.size != output->size)
		return err_set(err, ERR_UNPROCESSABLE, "run.wrong_output",
			"the object is not this run's closed output of that digest and size");
	return trust_receipt_check(
		json_object_get(sandbox, "sig_jwk"), body->receipt, &expect, &statement, err);
}

static int succeed(
	struct web_req *req, const struct run *run, const struct result_body *body, struct err *err)
{
	struct output_body output;
	auto_free char *receipt = NULL;

	if (!body->output || !body->receipt)
		return err_set(err, ERR_INVALID, "run.no_result",
			"a result has output and receipt, or a refusal");
	if (json_decode(req->arena, body->output, output_fields, &output, err) < 0 ||
		check_output(req, run, body, &output, err) < 0)
		return -1;
	receipt = json_dumps(body->receipt, JSON_COMPACT | JSON_SORT_KEYS);
	return store_run_change(req->worker->db, run,
		&(struct run_change) { .to = "succeeded",
			.output_object = output.object,
			.output_digest = output.digest,
			.output_size = output.size,
			.receipt = receipt },
		err);
}

static int refuse(
	struct web_req *req, const struct run *run, const json_t *refusal, struct err *err)
{
	struct refusal_body body;

	if (json_decode(req->arena, (json_t *)refusal, refusal_fields, &body, err) < 0)
		return -1;
	return store_run_change(req->worker->db, run,
		&(struct run_change) {
			.to = "refused", .failure_code = body.code, .failure_detail = body.detail },
		err);
}

int agent_result(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "run_id");
	struct result_body body = { 0 };
	struct run run;

	if (json_decode(req->arena, req->json, result_fields, &body, err) < 0 ||
		agent_own_run(req, id, &run, err) < 0)
		return -1;
	if (run.fence != body.fence || strcmp(run.state, "queued") == 0 ||
		strcmp(run.state, "awaiting_grants") == 0)
		return err_set(err, ERR_CONFLICT, "run.stale_fence",
			"fence %lld does not hold this run", body.fence);
	if (!run_is_final(run.state) && (body.refusal ? refuse(req, &run, body.refusal, err)
						      : succeed(req, &run, &body, err)) < 0)
		return -1;
	wake_ring(req->worker->wake, "web", id);
	res->json = json_pack("{s:s}", "id", id);
	return 0;
}

int sandbox_image(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_json json_t *order = NULL;
	struct run key, run;
	const char *tenant;

	if (store_sweep_sandbox(
		    req->worker->db, req->arena, web_param(req, "sandbox_id"), &key, err) < 0 ||
		store_run_get(req->worker->db, req->arena, key.tenant, key.id, &run, err) < 0 ||
		peers_order(req->worker, run.tenant, run.order, &order, err) < 0)
		return -1;
	tenant = json_text(order, "image_tenant");
	if (!tenant)
		return err_set(err, ERR_NOT_FOUND, "image.not_shared",
			"no application of the run's space is its image now");
	res->json = json_pack("{s:s,s:s,s:s}", "tenant", tenant, "repository", run.repository,
		"manifest", run.manifest);
	return 0;
}
