/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of /v1/sandboxes, and what other services may know of one. */
#include "services/provisioner/sandboxes.h"

#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/wake.h"
#include "proto/roles.h"
#include "proto/trust.h"
#include "services/provisioner/config.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/quota.h"
#include "services/provisioner/templates.h"
#include "services/provisioner/verdict.h"
#include "services/provisioner/vtpm_stock.h"

#define ROUTE "POST /v1/sandboxes"
#define LONGEST_S (366ll * 24 * 3600)

struct create_body {
	const char *template, *name, *space;
	long long version, ttl_s, idle_s;
	json_t *parameters, *claim;
};

static const struct json_field create_fields[] = {
	{ "template", JSON_FIELD_TEXT, offsetof(struct create_body, template), true, 63 },
	{ "template_version", JSON_FIELD_COUNT, offsetof(struct create_body, version), false,
		INT32_MAX },
	{ "name", JSON_FIELD_TEXT, offsetof(struct create_body, name), false, 63 },
	{ "space", JSON_FIELD_TEXT, offsetof(struct create_body, space), false, ID_SIZE },
	{ "parameters", JSON_FIELD_OBJECT, offsetof(struct create_body, parameters), false, 32 },
	{ "claim", JSON_FIELD_OBJECT, offsetof(struct create_body, claim), true, 8 },
	{ "ttl_s", JSON_FIELD_COUNT, offsetof(struct create_body, ttl_s), false, LONGEST_S },
	{ "idle_timeout_s", JSON_FIELD_COUNT, offsetof(struct create_body, idle_s), false,
		LONGEST_S },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static void set_parsed(json_t *record, const char *name, const char *text)
{
	json_object_set_new(record, name, text ? json_loads(text, 0, NULL) : json_null());
}

/* How far it is on the way to what it becomes; a launched boot has one row of its own. */
static json_t *progress_of(const struct sandbox *sandbox)
{
	static const struct {
		const char *state, *text;
		int percent;
	} table[] = {
		{ "queued", "waits for its turn", 0 },
		{ "creating", "its VM is being made", 10 },
		{ "starting", "its VM is being made", 10 },
		{ "launched", "its VM boots and makes its keys", 40 },
		{ "ready", "its keys are registered", 100 },
		{ "stopping", "its VM is being ended", 50 },
		{ "deleting", "what belongs to it is being removed", 50 },
	};
	bool boots =
		strcmp(sandbox->state, "creating") == 0 || strcmp(sandbox->state, "starting") == 0;
	const char *state =
		boots && sandbox->launched_boot == sandbox->boot ? "launched" : sandbox->state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (strcmp(table[i].state, state) == 0)
			return json_pack("{s:i,s:s}", "percent", table[i].percent, "text",
				sandbox->progress ? sandbox->progress : table[i].text);
	}
	return json_null();
}

static json_t *sandbox_record(const struct sandbox *sandbox)
{
	json_t *record = json_pack("{s:s,s:s,s:s,s:s,s:{s:s,s:I},s:s,s:s,s:I,s:s,s:s,s:s}", "id",
		sandbox->id, "tenant", sandbox->tenant, "space", sandbox->space, "name",
		sandbox->name, "template", "id", sandbox->template_id, "version",
		(json_int_t)sandbox->template_version, "driver", sandbox->driver, "state",
		sandbox->state, "boot", (json_int_t)sandbox->boot, "created_by",
		sandbox->created_by, "created_at", sandbox->created_at, "updated_at",
		sandbox->updated_at);

	set_parsed(record, "parameters", sandbox->parameters);
	set_parsed(record, "evidence", sandbox->evidence);
	set_parsed(record, "verdict", sandbox->verdict);
	set_parsed(record, "enc_jwk", sandbox->enc_jwk);
	set_parsed(record, "sig_jwk", sandbox->sig_jwk);
	json_object_set_new(record, "failure",
		sandbox->failure_code
			? json_pack("{s:s,s:s}", "code", sandbox->failure_code, "detail",
				  sandbox->failure_detail ? sandbox->failure_detail : "")
			: json_null());
	json_object_set_new(record, "takes",
		json_pack("{s:I,s:I,s:I}", "vcpus", (json_int_t)sandbox->vcpus, "memory_mib",
			(json_int_t)sandbox->memory_mib, "weight", (json_int_t)sandbox->weight));
	json_object_set_new(record, "expires_at",
		sandbox->expires_at ? json_string(sandbox->expires_at) : json_null());
	json_object_set_new(record, "idle_timeout_s",
		sandbox->idle_s ? json_integer(sandbox->idle_s) : json_null());
	json_object_set_new(record, "progress", progress_of(sandbox));
	json_object_set_new(record, "queue", json_null());
	return record;
}

int sandbox_answer(
	struct web_req *req, struct web_res *res, const struct sandbox *sandbox, struct err *err)
{
	json_t *queue = NULL, *ear;

	if (strcmp(sandbox->state, "queued") == 0 && quota_queue(req, sandbox, &queue, err) < 0)
		return -1;
	res->json = sandbox_record(sandbox);
	if (verdict_ear(req, sandbox, json_object_get(res->json, "evidence"),
		    json_object_get(res->json, "verdict"), &ear, err) < 0)
		return -1;
	json_object_set_new(res->json, "ear", ear);
	if (queue)
		json_object_set_new(res->json, "queue", queue);
	resource_etag(req, res, sandbox->revision);
	return 0;
}

static int check_exists(const struct sandbox *sandbox, struct err *err)
{
	if (strcmp(sandbox->state, "deleted") == 0)
		return err_set(err, ERR_NOT_FOUND, "sandbox.not_found", "there is no sandbox '%s'",
			sandbox->id);
	return 0;
}

int sandbox_get(struct web_req *req, struct sandbox *ret_sandbox, struct err *err)
{
	const char *id = web_param(req, "sandbox_id");

	if (store_get(req->worker->db, req->arena, req->principal->tenant, id, ret_sandbox, err) <
		0)
		return -1;
	return check_exists(ret_sandbox, err);
}

int sandbox_read(struct web_req *req, struct sandbox *ret_sandbox, struct err *err)
{
	if (store_read(req, web_param(req, "sandbox_id"), ret_sandbox, err) < 0)
		return -1;
	return check_exists(ret_sandbox, err);
}

int sandbox_accepted(struct web_req *req, struct web_res *res, const char *id, struct err *err)
{
	struct sandbox sandbox;

	if (store_get(req->worker->db, req->arena, req->principal->tenant, id, &sandbox, err) < 0)
		return -1;
	res->status = 202;
	web_header_add(res, "Location", arena_printf(req->arena, "/v1/sandboxes/%s", id));
	return sandbox_answer(req, res, &sandbox, err);
}

/* One of this host's, manufactured in its first boot if not before. */
static bool has_vtpm(const struct template *template)
{
	const struct driver *driver = driver_find(template->driver);

	return driver && !driver->is_elsewhere && strcmp(template->class, "software-tpm") == 0;
}

/* One that waits already, or a row that waits for its turn. */
static int add_or_take(struct web_req *req, const struct template *template,
	struct sandbox *sandbox, struct err *err)
{
	const struct provisioner_conf *conf = req->worker->program;
	auto_free char *initdata = NULL;
	char id[ID_SIZE];

	if (quota_take(req, sandbox, &sandbox->id, err) < 0)
		return -1;
	if (sandbox->id)
		return 0;
	if (!has_vtpm(template) || !vtpm_stock_take(conf, id))
		id_new("sbx", id);
	sandbox->id = arena_strdup(req->arena, id);
	if (template_initdata(template, id, &initdata, err) < 0)
		return -1;
	sandbox->initdata = initdata;
	return store_add(req, sandbox, conf->tenant_queue, err);
}

static int add(
	struct web_req *req, const struct create_body *body, const char **ret_id, struct err *err)
{
	auto_free char *claim = NULL, *parameters = NULL;
	auto_template struct template *template = NULL;
	auto_json json_t *complete = NULL;
	struct sandbox sandbox;
	size_t len;

	if (template_find(req, body->template, body->version, &template, err) < 0 ||
		trust_claim_check(body->claim, err) < 0 ||
		template_complete(template, body->parameters, &complete, err) < 0 ||
		jcs_encode(body->claim, &claim, &len, err) < 0)
		return -1;
	parameters = json_dumps(complete, JSON_COMPACT | JSON_SORT_KEYS);
	sandbox = (struct sandbox) { .space = body->space ? body->space : req->principal->space,
		.name = body->name ? body->name : template->id,
		.template_id = template->id,
		.template_version = template->version,
		.driver = template->driver,
		.parameters = parameters,
		.claim = claim,
		.ttl_s = body->ttl_s,
		.idle_s = body->idle_s };
	template_takes(template, complete, &sandbox);
	if (quota_check(req, &sandbox, err) < 0 || add_or_take(req, template, &sandbox, err) < 0)
		return -1;
	*ret_id = sandbox.id;
	return 0;
}

static int check_space(const struct web_req *req, const char *space, struct err *err)
{
	if (!space || principal_in_space(req->principal, space))
		return 0;
	return err_set(
		err, ERR_UNPROCESSABLE, "sandbox.wrong_space", "the caller is in no such space");
}

int sandbox_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct create_body body = { 0 };
	const char *known, *id;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		resource_replayed(req, res, ROUTE, &known, err) < 0)
		return -1;
	if (known)
		return sandbox_accepted(req, res, known, err);
	if (json_decode(req->arena, req->json, create_fields, &body, err) < 0 ||
		check_space(req, body.space, err) < 0 || add(req, &body, &id, err) < 0)
		return -1;
	wake_ring(req->worker->wake, "sandbox", id);
	return sandbox_accepted(req, res, id, err);
}

int sandbox_list(struct web_req *req, struct web_res *res, struct err *err)
{
	struct page page;

	if (resource_page(req, &page, err) < 0)
		return -1;
	return store_list(req, &page, &res->json, err);
}

int sandbox_show(struct web_req *req, struct web_res *res, struct err *err)
{
	struct sandbox sandbox;
	long long wait_ms;

	if (web_wait_ms(req, &wait_ms, err) < 0 || sandbox_read(req, &sandbox, err) < 0)
		return -1;
	if (wait_ms && resource_unchanged(req, sandbox.revision)) {
		res->status = 304;
		web_park(req, res, sandbox.id, wait_ms);
		return 0;
	}
	return sandbox_answer(req, res, &sandbox, err);
}

static int answer_service(
	struct web_req *req, struct web_res *res, const char *tenant, struct err *err)
{
	struct sandbox sandbox;

	if (store_get(req->worker->db, req->arena, tenant, web_param(req, "sandbox_id"), &sandbox,
		    err) < 0)
		return -1;
	res->json = json_pack("{s:s,s:s,s:s,s:s,s:I,s:s?,s:s?}", "id", sandbox.id, "tenant",
		sandbox.tenant, "space", sandbox.space, "state", sandbox.state, "boot",
		(json_int_t)sandbox.boot, "enc", sandbox.enc, "sig", sandbox.sig);
	set_parsed(res->json, "enc_jwk", sandbox.enc_jwk);
	set_parsed(res->json, "sig_jwk", sandbox.sig_jwk);
	return 0;
}

int sandbox_internal(struct web_req *req, struct web_res *res, struct err *err)
{
	const char *id = web_param(req, "sandbox_id"), *tenant;

	if (store_sweep_tenant(req->worker->db, req->arena, id, &tenant, err) < 0)
		return -1;
	if (!tenant)
		return err_set(
			err, ERR_NOT_FOUND, "sandbox.not_found", "there is no sandbox '%s'", id);
	return answer_service(req, res, tenant, err);
}

/* The orchestrator looks at the sandbox of each run each second: that is a sandbox in use. */
int sandbox_of_tenant(struct web_req *req, struct web_res *res, struct err *err)
{
	const struct sandbox used = { .tenant = web_param(req, "tenant_id"),
		.id = web_param(req, "sandbox_id") };

	if (store_used(req->worker->db, &used, err) < 0)
		return -1;
	return answer_service(req, res, web_param(req, "tenant_id"), err);
}
