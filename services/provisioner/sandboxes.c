/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of /v1/sandboxes, and what other services may know of one. */
#include "services/provisioner/sandboxes.h"

#include <stdlib.h>
#include <string.h>

#include "launcher/launch.h"
#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/wake.h"
#include "proto/roles.h"
#include "proto/trust.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/store.h"
#include "services/provisioner/templates.h"

#define ROUTE "POST /v1/sandboxes"
#define CONSOLE_MAX (64 * 1024)
#define END_TRIES 8

struct create_body {
	const char *template, *name;
	json_t *parameters, *claim;
};

static const struct json_field create_fields[] = {
	{ "template", JSON_FIELD_TEXT, offsetof(struct create_body, template), true, 63 },
	{ "name", JSON_FIELD_TEXT, offsetof(struct create_body, name), false, 63 },
	{ "parameters", JSON_FIELD_OBJECT, offsetof(struct create_body, parameters), false, 32 },
	{ "claim", JSON_FIELD_OBJECT, offsetof(struct create_body, claim), true, 8 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

struct start_body {
	json_t *claim;
};

static const struct json_field start_fields[] = {
	{ "claim", JSON_FIELD_OBJECT, offsetof(struct start_body, claim), true, 8 },
	{ NULL, JSON_FIELD_ANY, 0, false, 0 },
};

static void set_parsed(json_t *record, const char *name, const char *text)
{
	json_object_set_new(record, name, text ? json_loads(text, 0, NULL) : json_null());
}

static json_t *sandbox_record(const struct sandbox *sandbox)
{
	json_t *record = json_pack("{s:s,s:s,s:{s:s,s:I},s:s,s:I,s:s,s:s,s:s}", "id", sandbox->id,
		"name", sandbox->name, "template", "id", sandbox->template_id, "version",
		(json_int_t)sandbox->template_version, "state", sandbox->state, "boot",
		(json_int_t)sandbox->boot, "created_by", sandbox->created_by, "created_at",
		sandbox->created_at, "updated_at", sandbox->updated_at);

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
	return record;
}

static int get(struct web_req *req, struct sandbox *ret_sandbox, struct err *err)
{
	const char *id = web_param(req, "sandbox_id");

	if (store_get(req->worker->db, req->arena, req->principal->tenant, id, ret_sandbox, err) <
		0)
		return -1;
	if (strcmp(ret_sandbox->state, "deleted") == 0)
		return err_set(
			err, ERR_NOT_FOUND, "sandbox.not_found", "there is no sandbox '%s'", id);
	return 0;
}

static int answer_accepted(
	struct web_req *req, struct web_res *res, const char *id, struct err *err)
{
	struct sandbox sandbox;

	if (store_get(req->worker->db, req->arena, req->principal->tenant, id, &sandbox, err) < 0)
		return -1;
	res->status = 202;
	res->json = sandbox_record(&sandbox);
	web_header_add(res, "Location", arena_printf(req->arena, "/v1/sandboxes/%s", id));
	resource_etag(req, res, sandbox.revision);
	return 0;
}

/* What is measured at launch: template, sandbox, edge; nothing of a tenant or a policy, no secret.
 */
static int make_initdata(
	const struct template *template, const char *id, char **ret_text, struct err *err)
{
	auto_json json_t *initdata = json_pack("{s:s,s:{s:s,s:I},s:s,s:{s:s,s:I,s:s},s:[s]}", "v",
		"strongroom-initdata-1", "template", "id", template->id, "version",
		(json_int_t) template->version, "sandbox", id, "edge", "host", LAUNCH_GUEST_GATEWAY,
		"port", (json_int_t)LAUNCH_PORT, "ca_spki", template_edge_spki(), "classes",
		template->class);
	size_t len;

	return jcs_encode(initdata, ret_text, &len, err);
}

static int add(struct web_req *req, const struct create_body *body, const char *id, struct err *err)
{
	auto_free char *initdata = NULL, *claim = NULL, *parameters = NULL;
	auto_json json_t *complete = NULL;
	const struct template *template;
	struct sandbox sandbox;
	size_t len;

	if (template_find(body->template, &template, err) < 0 ||
		trust_claim_check(body->claim, err) < 0 ||
		template_complete(template, body->parameters, &complete, err) < 0 ||
		make_initdata(template, id, &initdata, err) < 0 ||
		jcs_encode(body->claim, &claim, &len, err) < 0)
		return -1;
	parameters = json_dumps(complete, JSON_COMPACT | JSON_SORT_KEYS);
	sandbox = (struct sandbox) { .id = id,
		.name = body->name ? body->name : template->id,
		.template_id = template->id,
		.template_version = template->version,
		.parameters = parameters,
		.claim = claim,
		.initdata = initdata };
	return store_add(req, &sandbox, err);
}

int sandbox_create(struct web_req *req, struct web_res *res, struct err *err)
{
	struct create_body body = { 0 };
	const char *known;
	char id[ID_SIZE];

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		resource_replayed(req, res, ROUTE, &known, err) < 0)
		return -1;
	if (known)
		return answer_accepted(req, res, known, err);
	id_new("sbx", id);
	if (json_decode(req->arena, req->json, create_fields, &body, err) < 0 ||
		add(req, &body, id, err) < 0)
		return -1;
	wake_ring(req->worker->wake, "sandbox", id);
	return answer_accepted(req, res, id, err);
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

	if (web_wait_ms(req, &wait_ms, err) < 0 || get(req, &sandbox, err) < 0)
		return -1;
	if (wait_ms && resource_unchanged(req, sandbox.revision)) {
		res->status = 304;
		web_park(req, res, sandbox.id, wait_ms);
		return 0;
	}
	res->json = sandbox_record(&sandbox);
	resource_etag(req, res, sandbox.revision);
	return 0;
}

int sandbox_start(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_free char *claim = NULL;
	struct sandbox sandbox;
	struct start_body body;
	size_t len;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 ||
		json_decode(req->arena, req->json, start_fields, &body, err) < 0 ||
		trust_claim_check(body.claim, err) < 0 || get(req, &sandbox, err) < 0 ||
		jcs_encode(body.claim, &claim, &len, err) < 0)
		return -1;
	if (strcmp(sandbox.claim, claim) == 0) /* a retry: this boot has that claim already */
		return answer_accepted(req, res, sandbox.id, err);
	if (strcmp(sandbox.state, "ready") != 0 && strcmp(sandbox.state, "stopped") != 0 &&
		strcmp(sandbox.state, "failed") != 0)
		return err_set(
			err, ERR_CONFLICT, "sandbox.busy", "the sandbox is '%s'", sandbox.state);
	if (store_reboot(req->worker->db, &sandbox, claim, err) < 0)
		return -1;
	wake_ring(req->worker->wake, "sandbox", sandbox.id);
	return answer_accepted(req, res, sandbox.id, err);
}

/* The loop or the enrolment may move the sandbox between the look and the change: then it is looked
 * at anew. */
static int end_sandbox(
	struct web_req *req, struct web_res *res, const char *to, const char *done, struct err *err)
{
	struct sandbox sandbox;
	int tries = 0;

	if (principal_need_role(req->principal, ROLES_WORK, err) < 0 || get(req, &sandbox, err) < 0)
		return -1;
	while (strcmp(sandbox.state, to) != 0 && strcmp(sandbox.state, done) != 0 &&
		strcmp(sandbox.state, "deleting") != 0 &&
		store_change(req->worker->db, &sandbox, to, NULL, NULL, err) < 0) {
		if (strcmp(err->code, "sandbox.stale") != 0 || ++tries == END_TRIES)
			return -1;
		err_clear(err);
		if (get(req, &sandbox, err) < 0)
			return -1;
	}
	wake_ring(req->worker->wake, "sandbox", sandbox.id);
	return answer_accepted(req, res, sandbox.id, err);
}

int sandbox_stop(struct web_req *req, struct web_res *res, struct err *err)
{
	return end_sandbox(req, res, "stopping", "stopped", err);
}

int sandbox_delete(struct web_req *req, struct web_res *res, struct err *err)
{
	return end_sandbox(req, res, "deleting", "deleted", err);
}

int sandbox_console(struct web_req *req, struct web_res *res, struct err *err)
{
	auto_buf text = BUF_INIT(CONSOLE_MAX);
	struct sandbox sandbox;

	if (get(req, &sandbox, err) < 0 ||
		driver_qemu.console(req->worker->program, sandbox.id, &text, err) < 0)
		return -1;
	res->content_type = "text/plain; charset=utf-8";
	res->text = arena_dup(req->arena, text.data ? (const char *)text.data : "", text.len);
	res->text_len = text.len;
	return 0;
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

int sandbox_of_tenant(struct web_req *req, struct web_res *res, struct err *err)
{
	return answer_service(req, res, web_param(req, "tenant_id"), err);
}
