/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of store.h. */
#include "services/provisioner/store.h"

#include <stdio.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/mem.h"
#include "services/provisioner/queries.h"

const struct sql *const store_forgets[] = { &resource_forget, &SQL_ATTESTATION_FORGET,
	&SQL_SWEEP_FORGET, &SQL_SWEEP_FORGET_VTPM, NULL };
const struct sql *const store_claim = &SQL_SWEEP_DUE, *const store_release = &SQL_SANDBOX_RELEASE;

struct add_work {
	struct web_req *req;
	const struct sandbox *sandbox;
	long long most_queued;
};

static int add_work(struct db *db, void *arg, struct err *err)
{
	struct add_work *work = arg;
	const struct sandbox *sandbox = work->sandbox;
	const struct principal *who = work->req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (resource_remember(db, work->req, "POST /v1/sandboxes", sandbox->id, err) < 0 ||
		db_exec(db, &SQL_SANDBOX_INSERT,
			DB_PARAMS(who->tenant, sandbox->space, sandbox->id, sandbox->name,
				sandbox->template_id, DB_NUMBER(sandbox->template_version),
				sandbox->driver, sandbox->parameters, sandbox->claim,
				sandbox->initdata, who->subject, DB_NUMBER(sandbox->vcpus),
				DB_NUMBER(sandbox->memory_mib), DB_NUMBER(sandbox->weight),
				sandbox->ttl_s ? DB_NUMBER(sandbox->ttl_s) : NULL,
				sandbox->idle_s ? DB_NUMBER(sandbox->idle_s) : NULL,
				DB_NUMBER(work->most_queued)),
			&rows, err) < 0)
		return -1;
	if (db_affected(rows) == 0)
		return err_set(err, ERR_LIMITED, "quota.queue_full",
			"%lld sandboxes of this tenant wait already", work->most_queued);
	audit(db, &(const struct audit_act) { .action = "create",
			  .on = sandbox->id,
			  .detail = sandbox->template_id,
			  .space = sandbox->space });
	return db_exec(db, &SQL_OUTBOX_INSERT, DB_PARAMS("sandbox", sandbox->id), NULL, err);
}

int store_add(
	struct web_req *req, const struct sandbox *sandbox, long long most_queued, struct err *err)
{
	struct add_work work = { req, sandbox, most_queued };

	return db_tx(req->worker->db, DB_TENANT(req->principal->tenant), add_work, &work, err);
}

static void read_sandbox(const struct db_rows *rows, struct arena *arena, struct sandbox *ret)
{
#define TEXT(column) db_text_in(rows, 0, column, arena)
#define NUMBER(column) db_number(rows, 0, column)
	*ret = (struct sandbox) {
		.tenant = TEXT("tenant_id"),
		.space = TEXT("space_id"),
		.id = TEXT("id"),
		.name = TEXT("name"),
		.template_id = TEXT("template_id"),
		.driver = TEXT("driver"),
		.parameters = TEXT("parameters"),
		.state = TEXT("state"),
		.claim = TEXT("claim"),
		.initdata = TEXT("initdata"),
		.evidence = TEXT("evidence"),
		.verdict = TEXT("verdict"),
		.progress = TEXT("progress"),
		.enc_jwk = TEXT("enc_jwk"),
		.sig_jwk = TEXT("sig_jwk"),
		.enc = TEXT("enc"),
		.sig = TEXT("sig"),
		.failure_code = TEXT("failure_code"),
		.failure_detail = TEXT("failure_detail"),
		.created_by = TEXT("created_by"),
		.created_at = TEXT("created_at"),
		.updated_at = TEXT("updated_at"),
		.expires_at = TEXT("expires_at"),
		.template_version = NUMBER("template_version"),
		.boot = NUMBER("boot"),
		.launched_boot = NUMBER("launched_boot"),
		.revision = NUMBER("revision"),
		.vcpus = NUMBER("vcpus"),
		.memory_mib = NUMBER("memory_mib"),
		.weight = NUMBER("weight"),
		.idle_s = db_is_null(rows, 0, "idle_s") ? 0 : NUMBER("idle_s"),
		.is_begun = db_bool(rows, 0, "is_begun"),
		.boot_timed_out = db_bool(rows, 0, "boot_timed_out"),
		.has_expired = db_bool(rows, 0, "has_expired"),
		.is_idle = db_bool(rows, 0, "is_idle"),
	};
#undef TEXT
#undef NUMBER
}

static int get(struct db *db, struct arena *arena, const struct db_scope *scope, const char *id,
	struct sandbox *ret_sandbox, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, scope, &SQL_SANDBOX_BY_ID, DB_PARAMS(scope->tenant_id, id), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(
			err, ERR_NOT_FOUND, "sandbox.not_found", "there is no sandbox '%s'", id);
	read_sandbox(rows, arena, ret_sandbox);
	return 0;
}

int store_get(struct db *db, struct arena *arena, const char *tenant, const char *id,
	struct sandbox *ret_sandbox, struct err *err)
{
	return get(db, arena, DB_TENANT(tenant), id, ret_sandbox, err);
}

int store_read(struct web_req *req, const char *id, struct sandbox *ret_sandbox, struct err *err)
{
	const struct principal *who = req->principal;

	return get(req->worker->db, req->arena, DB_SPACES(who->tenant, who->spaces), id,
		ret_sandbox, err);
}

static json_t *list_row(const struct db_rows *rows, size_t i)
{
	json_t *record = json_pack("{s:s,s:s,s:s,s:s,s:{s:s,s:I},s:s,s:I,s:s,s:s,s:s}", "id",
		db_text(rows, i, "id"), "tenant", db_text(rows, i, "tenant_id"), "space",
		db_text(rows, i, "space_id"), "name", db_text(rows, i, "name"), "template", "id",
		db_text(rows, i, "template_id"), "version",
		(json_int_t)db_number(rows, i, "template_version"), "state",
		db_text(rows, i, "state"), "boot", (json_int_t)db_number(rows, i, "boot"),
		"created_by", db_text(rows, i, "created_by"), "created_at",
		db_text(rows, i, "created_at"), "updated_at", db_text(rows, i, "updated_at"));

	json_object_set_new(record, "failure_code",
		db_is_null(rows, i, "failure_code")
			? json_null()
			: json_string(db_text(rows, i, "failure_code")));
	return record;
}

int store_list(struct web_req *req, const struct page *page, json_t **ret_list, struct err *err)
{
	const struct principal *who = req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces), &SQL_SANDBOX_LIST,
		    DB_PARAMS(who->tenant, page->before, page->limit, who->spaces), &rows, err) < 0)
		return -1;
	*ret_list = resource_list(rows, page, list_row);
	return 0;
}

struct change_work {
	const struct sandbox *sandbox;
	const char *action; /* of the record */
	const struct sql *sql;
	const char *const *params;
	int n_params;
};

/* One guarded statement and its wake-up. */
static int change_work(struct db *db, void *arg, struct err *err)
{
	struct change_work *work = arg;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, work->sql, work->params, work->n_params, &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_CONFLICT, "sandbox.stale",
			"the sandbox is no longer '%s' in boot %lld", work->sandbox->state,
			work->sandbox->boot);
	audit(db, &(const struct audit_act) { .action = work->action,
			  .on = work->sandbox->id,
			  .space = work->sandbox->space });
	return db_exec(db, &SQL_OUTBOX_INSERT, DB_PARAMS("sandbox", work->sandbox->id), NULL, err);
}

static int change(struct db *db, const struct sandbox *sandbox, const char *action,
	const struct sql *sql, const char *const *params, int n_params, struct err *err)
{
	struct change_work work = { sandbox, action, sql, params, n_params };

	return db_tx(db, DB_TENANT(sandbox->tenant), change_work, &work, err);
}

int store_change(struct db *db, const struct sandbox *sandbox, const char *to,
	const char *failure_code, const char *failure_detail, struct err *err)
{
	char action[32];

	snprintf(action, sizeof(action), "sandbox.%s", to);
	return change(db, sandbox, action, &SQL_SANDBOX_CHANGE,
		DB_PARAMS(sandbox->tenant, sandbox->id, sandbox->state, to,
			DB_NUMBER(sandbox->boot), failure_code, failure_detail, sandbox->lease),
		err);
}

int store_reboot(struct db *db, const struct sandbox *sandbox, const char *to, const char *claim,
	struct err *err)
{

	return change(db, sandbox, "boot", &SQL_SANDBOX_REBOOT,
		DB_PARAMS(sandbox->tenant, sandbox->id, sandbox->state, DB_NUMBER(sandbox->boot),
			to, claim),
		err);
}

int store_enrol(struct db *db, const struct sandbox *sandbox, struct err *err)
{

	return change(db, sandbox, "enrol", &SQL_SANDBOX_ENROL,
		DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(sandbox->boot), sandbox->evidence,
			sandbox->enc_jwk, sandbox->sig_jwk, sandbox->enc, sandbox->sig),
		err);
}

/* A statement that must touch exactly the row of this boot. */
static int touch(struct db *db, const struct sandbox *sandbox, const struct sql *sql,
	const char *const *params, int n_params, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(sandbox->tenant), sql, params, n_params, &rows, err) < 0)
		return -1;
	if (db_affected(rows) == 1)
		return 0;
	return err_set(err, ERR_CONFLICT, "sandbox.stale", "the sandbox is no longer in boot %lld",
		sandbox->boot);
}

int store_holds(struct db *db, const struct sandbox *sandbox, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(sandbox->tenant), &SQL_SANDBOX_HOLDS,
		    DB_PARAMS(sandbox->tenant, sandbox->id, sandbox->state,
			    DB_NUMBER(sandbox->boot), sandbox->lease),
		    &rows, err) < 0)
		return -1;
	return db_count(rows) == 1
		       ? 0
		       : err_set(err, ERR_CONFLICT, "sandbox.stale", "the step outlived its lease");
}

int store_secret(struct db *db, const struct sandbox *sandbox, const char *hash, struct err *err)
{

	return touch(db, sandbox, &SQL_SANDBOX_SECRET,
		DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(sandbox->boot), hash,
			sandbox->lease),
		err);
}

int store_launched(struct db *db, const struct sandbox *sandbox, struct err *err)
{

	return touch(db, sandbox, &SQL_SANDBOX_LAUNCHED,
		DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(sandbox->boot), sandbox->lease),
		err);
}

int store_used(struct db *db, const struct sandbox *sandbox, struct err *err)
{
	return db_run(db, DB_TENANT(sandbox->tenant), &SQL_SANDBOX_USED,
		DB_PARAMS(sandbox->tenant, sandbox->id), NULL, err);
}

/* The tenant_id that a sweep found, or NULL. */
static int found_tenant(struct db *db, struct arena *arena, const struct sql *sql,
	const char *const *params, int n_params, const char **ret_tenant, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_SWEEP, sql, params, n_params, &rows, err) < 0)
		return -1;
	*ret_tenant = db_count(rows) ? db_text_in(rows, 0, "tenant_id", arena) : NULL;
	return 0;
}

int store_sweep_enrolment(struct db *db, struct arena *arena, const char *id, const char *hash,
	const char **ret_tenant, struct err *err)
{
	return found_tenant(db, arena, &SQL_SWEEP_ENROLMENT, DB_PARAMS(id, hash), ret_tenant, err);
}

int store_sweep_tenant(struct db *db, struct arena *arena, const char *id, const char **ret_tenant,
	struct err *err)
{
	return found_tenant(db, arena, &SQL_SWEEP_TENANT, DB_PARAMS(id), ret_tenant, err);
}

int store_sweep_begin(struct db *db, struct err *err)
{
	return db_run(db, DB_SWEEP, &SQL_SWEEP_BEGIN, DB_NO_PARAMS, NULL, err);
}

int store_sweep_exists(struct db *db, const char *id, bool *ret_exists, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_SWEEP, &SQL_SWEEP_EXISTING, DB_PARAMS(id), &rows, err) < 0)
		return -1;
	*ret_exists = db_count(rows) > 0;
	return 0;
}
