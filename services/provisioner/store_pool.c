/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of store_pool.h. */
#include "services/provisioner/store_pool.h"

#include "lib/audit.h"
#include "lib/auth.h"
#include "services/provisioner/queries.h"

const struct sql *const store_warm_claim = &SQL_WARM_DUE, *const store_warm_release =
								  &SQL_WARM_RELEASE;

/* --- how many --- */

struct add_work {
	const struct warm *warm;
	long long size;
	const struct capacity *host;
	bool was_added;
};

static int add_work(struct db *db, void *arg, struct err *err)
{
	struct add_work *work = arg;
	const struct warm *warm = work->warm;
	const struct capacity *host = work->host;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_SWEEP_LOCK, DB_NO_PARAMS, NULL, err) < 0 ||
		db_exec(db, &SQL_WARM_ADD,
			DB_PARAMS(warm->id, warm->template_id, DB_NUMBER(warm->template_version),
				warm->driver, warm->parameters, warm->initdata,
				DB_NUMBER(warm->vcpus), DB_NUMBER(warm->memory_mib),
				DB_NUMBER(work->size), DB_NUMBER(host->sandboxes),
				DB_NUMBER(host->vcpus), DB_NUMBER(host->memory_mib)),
			&rows, err) < 0)
		return -1;
	work->was_added = db_affected(rows) == 1;
	return 0;
}

int store_warm_add(struct db *db, const struct warm *warm, long long size,
	const struct capacity *host, bool *ret_added, struct err *err)
{
	struct add_work work = { warm, size, host, false };

	if (db_tx(db, DB_SWEEP, add_work, &work, err) < 0)
		return -1;
	*ret_added = work.was_added;
	return 0;
}

int store_warm_retire(struct db *db, const char *templates, struct err *err)
{
	return db_run(db, NULL, &SQL_WARM_RETIRE, DB_PARAMS(templates), NULL, err);
}

int store_warm_shrink(struct db *db, const char *template_id, long long size, struct err *err)
{
	return db_run(
		db, NULL, &SQL_WARM_SHRINK, DB_PARAMS(template_id, DB_NUMBER(size)), NULL, err);
}

int store_warm_yield(struct db *db, const struct capacity *host, struct err *err)
{
	return db_run(db, DB_SWEEP, &SQL_WARM_YIELD,
		DB_PARAMS(DB_NUMBER(host->sandboxes), DB_NUMBER(host->vcpus),
			DB_NUMBER(host->memory_mib)),
		NULL, err);
}

/* --- one of them --- */

static struct warm read_warm(const struct db_rows *rows, struct arena *arena)
{
#define TEXT(column) db_text_in(rows, 0, column, arena)
	return (struct warm) {
		.id = TEXT("id"),
		.template_id = TEXT("template_id"),
		.template_version = db_number(rows, 0, "template_version"),
		.driver = TEXT("driver"),
		.parameters = TEXT("parameters"),
		.initdata = TEXT("initdata"),
		.state = TEXT("state"),
		.ak = TEXT("ak"),
		.activation_hash = TEXT("activation_hash"),
		.was_launched = db_bool(rows, 0, "was_launched"),
		.boot_timed_out = db_bool(rows, 0, "boot_timed_out"),
		.has_rested = db_bool(rows, 0, "has_rested"),
	};
#undef TEXT
}

static int stale(const char *id, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "sandbox.stale",
		"'%s' no longer waits in that state, or the step outlived its lease", id);
}

int store_warm_get(
	struct db *db, struct arena *arena, const char *id, struct warm *ret_warm, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, NULL, &SQL_WARM_GET, DB_PARAMS(id), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return stale(id, err);
	*ret_warm = read_warm(rows, arena);
	return 0;
}

/* A statement that must touch exactly this row. */
static int touch(struct db *db, const struct warm *warm, const struct sql *sql,
	const char *const *params, int n_params, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, NULL, sql, params, n_params, &rows, err) < 0)
		return -1;
	return db_affected(rows) == 1 ? 0 : stale(warm->id, err);
}

int store_warm_secret(struct db *db, const struct warm *warm, const char *hash, struct err *err)
{
	return touch(db, warm, &SQL_WARM_SECRET, DB_PARAMS(warm->id, warm->lease, hash), err);
}

int store_warm_launched(struct db *db, const struct warm *warm, struct err *err)
{
	return touch(db, warm, &SQL_WARM_LAUNCHED, DB_PARAMS(warm->id, warm->lease), err);
}

int store_warm_change(struct db *db, const struct warm *warm, const char *to, struct err *err)
{
	return touch(
		db, warm, &SQL_WARM_CHANGE, DB_PARAMS(warm->id, warm->state, to, warm->lease), err);
}

int store_warm_delete(struct db *db, const struct warm *warm, struct err *err)
{
	return touch(db, warm, &SQL_WARM_DELETE, DB_PARAMS(warm->id, warm->lease), err);
}

int store_warm_enrolment(struct db *db, struct arena *arena, const char *id, const char *hash,
	struct warm *ret_warm, bool *ret_found, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, NULL, &SQL_WARM_ENROLMENT, DB_PARAMS(id, hash), &rows, err) < 0)
		return -1;
	*ret_found = db_count(rows) == 1;
	if (*ret_found)
		*ret_warm = read_warm(rows, arena);
	return 0;
}

int store_warm_introduce(struct db *db, const struct warm *warm, const char *ek_certificate,
	const char *ak, const char *activation_hash, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, NULL, &SQL_WARM_INTRODUCE,
		    DB_PARAMS(warm->id, ek_certificate, ak, activation_hash), &rows, err) < 0)
		return -1;
	return db_affected(rows) == 1
		       ? 0
		       : err_set(err, ERR_CONFLICT, "enrolment.other_keys",
				 "this boot introduced itself with another attestation key");
}

/* --- to its owner --- */

struct take_work {
	struct web_req *req;
	const struct sandbox *sandbox;
	const struct quota *usual;
	const char *id;
};

static int find(struct db *db, struct take_work *work, struct err *err)
{
	const struct sandbox *sandbox = work->sandbox;
	const struct principal *who = work->req->principal;
	const struct quota *usual = work->usual;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_SWEEP_LOCK, DB_NO_PARAMS, NULL, err) < 0 ||
		db_exec(db, &SQL_WARM_FIND,
			DB_PARAMS(who->tenant, who->subject, sandbox->template_id,
				DB_NUMBER(sandbox->template_version), sandbox->parameters,
				DB_NUMBER(sandbox->weight), DB_NUMBER(usual->sandboxes),
				DB_NUMBER(usual->vcpus), DB_NUMBER(usual->memory_mib),
				DB_NUMBER(usual->weight), DB_NUMBER(usual->member_sandboxes),
				DB_NUMBER(usual->member_weight)),
			&rows, err) < 0)
		return -1;
	work->id = db_count(rows) ? db_text_in(rows, 0, "id", work->req->arena) : NULL;
	return 0;
}

/* Behind admission's lock, so that a place in the quotas is not given twice. */
static int take_work(struct db *db, void *arg, struct err *err)
{
	struct take_work *work = arg;
	const struct sandbox *sandbox = work->sandbox;
	const struct principal *who = work->req->principal;

	if (find(db, work, err) < 0)
		return -1;
	if (!work->id)
		return 0;
	if (resource_remember(db, work->req, "POST /v1/sandboxes", work->id, err) < 0 ||
		db_exec(db, &SQL_WARM_TAKE,
			DB_PARAMS(who->tenant, sandbox->space, work->id, sandbox->name,
				sandbox->claim, who->subject, DB_NUMBER(sandbox->weight),
				sandbox->ttl_s ? DB_NUMBER(sandbox->ttl_s) : NULL,
				sandbox->idle_s ? DB_NUMBER(sandbox->idle_s) : NULL),
			NULL, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) {
			  .action = "create", .on = work->id, .detail = sandbox->template_id });
	return db_exec(db, &SQL_OUTBOX_INSERT, DB_PARAMS("sandbox", work->id), NULL, err);
}

int store_warm_take(struct web_req *req, const struct sandbox *sandbox, const struct quota *usual,
	const char **ret_id, struct err *err)
{
	struct take_work work = { req, sandbox, usual, NULL };

	if (db_tx(req->worker->db, DB_TENANT(req->principal->tenant), take_work, &work, err) < 0)
		return -1;
	*ret_id = work.id;
	return 0;
}
