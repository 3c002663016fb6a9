/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls of admission and quotas. */
#include "lib/audit.h"
#include "lib/auth.h"
#include "services/provisioner/queries.h"
#include "services/provisioner/store.h"

struct admit_work {
	struct arena *arena;
	const struct quota *quota;
	const struct capacity *host;
	const char *id;
};

static int admit_work(struct db *db, void *arg, struct err *err)
{
	struct admit_work *work = arg;
	const struct quota *quota = work->quota;
	const struct capacity *host = work->host;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_SWEEP_LOCK, DB_NO_PARAMS, NULL, err) < 0 ||
		db_exec(db, &SQL_SWEEP_ADMIT,
			DB_PARAMS(DB_NUMBER(quota->sandboxes), DB_NUMBER(quota->vcpus),
				DB_NUMBER(quota->memory_mib), DB_NUMBER(quota->weight),
				DB_NUMBER(quota->member_sandboxes), DB_NUMBER(quota->member_weight),
				DB_NUMBER(host->sandboxes), DB_NUMBER(host->vcpus),
				DB_NUMBER(host->memory_mib)),
			&rows, err) < 0)
		return -1;
	work->id = db_count(rows) ? db_text_in(rows, 0, "id", work->arena) : NULL;
	return 0;
}

int store_admit(struct db *db, struct arena *arena, const struct quota *quota,
	const struct capacity *host, const char **ret_id, struct err *err)
{
	struct admit_work work = { arena, quota, host, NULL };

	if (db_tx(db, DB_SWEEP, admit_work, &work, err) < 0)
		return -1;
	*ret_id = work.id;
	return 0;
}

static long long own_or(const struct db_rows *rows, const char *column, long long usual)
{
	return db_count(rows) == 0 || db_is_null(rows, 0, column) ? usual
								  : db_number(rows, 0, column);
}

int store_quota_get(struct db *db, const char *tenant, const struct quota *usual,
	struct quota *ret_quota, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant), &SQL_QUOTA_BY_TENANT, DB_PARAMS(tenant), &rows, err) < 0)
		return -1;
	*ret_quota = (struct quota) {
		.sandboxes = own_or(rows, "sandboxes", usual->sandboxes),
		.vcpus = own_or(rows, "vcpus", usual->vcpus),
		.memory_mib = own_or(rows, "memory_mib", usual->memory_mib),
		.weight = own_or(rows, "weight", usual->weight),
		.member_sandboxes = own_or(rows, "member_sandboxes", usual->member_sandboxes),
		.member_weight = own_or(rows, "member_weight", usual->member_weight),
		.lifetime_s = own_or(rows, "lifetime_s", usual->lifetime_s),
	};
	return 0;
}

struct put_work {
	const char *tenant, *by;
	const struct quota *quota;
};

static const char *number_or_null(long long number, char text[DB_NUMBER_SIZE])
{
	return number < 0 ? NULL : db_number_text(text, number);
}

static int put_work(struct db *db, void *arg, struct err *err)
{
	const struct put_work *work = arg;
	const struct quota *quota = work->quota;
	char text[7][DB_NUMBER_SIZE];

	audit(db, &(const struct audit_act) { .action = "quota.put", .on = work->tenant });
	return db_exec(db, &SQL_QUOTA_PUT,
		DB_PARAMS(work->tenant, number_or_null(quota->sandboxes, text[0]),
			number_or_null(quota->vcpus, text[1]),
			number_or_null(quota->memory_mib, text[2]),
			number_or_null(quota->weight, text[3]),
			number_or_null(quota->member_sandboxes, text[4]),
			number_or_null(quota->member_weight, text[5]),
			number_or_null(quota->lifetime_s, text[6]), work->by),
		NULL, err);
}

int store_quota_put(
	struct web_req *req, const char *tenant, const struct quota *quota, struct err *err)
{
	struct put_work work = { tenant, req->principal->subject, quota };

	return db_tx(req->worker->db, DB_TENANT(tenant), put_work, &work, err);
}

int store_quota_usage(struct db *db, const char *tenant, json_t **ret_usage, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant), &SQL_QUOTA_USAGE, DB_PARAMS(tenant), &rows, err) < 0)
		return -1;
	*ret_usage = json_pack("{s:I,s:I,s:I,s:I,s:I}", "queued",
		(json_int_t)db_number(rows, 0, "queued"), "sandboxes",
		(json_int_t)db_number(rows, 0, "sandboxes"), "vcpus",
		(json_int_t)db_number(rows, 0, "vcpus"), "memory_mib",
		(json_int_t)db_number(rows, 0, "memory_mib"), "weight",
		(json_int_t)db_number(rows, 0, "weight"));
	return 0;
}

int store_queue(struct db *db, const struct sandbox *sandbox, const struct quota *usual,
	json_t **ret_queue, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(sandbox->tenant), &SQL_SANDBOX_QUEUE,
		    DB_PARAMS(sandbox->tenant, sandbox->id, DB_NUMBER(usual->sandboxes),
			    DB_NUMBER(usual->vcpus), DB_NUMBER(usual->memory_mib),
			    DB_NUMBER(usual->weight), DB_NUMBER(usual->member_sandboxes),
			    DB_NUMBER(usual->member_weight)),
		    &rows, err) < 0)
		return -1;
	*ret_queue = db_count(rows) ? json_pack("{s:I,s:s}", "position",
					      (json_int_t)db_number(rows, 0, "position"), "reason",
					      db_text(rows, 0, "reason"))
				    : json_null();
	return 0;
}
