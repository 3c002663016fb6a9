/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for what sandboxes reach outside. */
#include "lib/audit.h"
#include "services/orchestrator/queries.h"
#include "services/orchestrator/store.h"

int store_egress_begin(struct db *db, const struct run *run, const char *target, struct err *err)
{
	const struct audit_act act = {
		.action = "egress", .on = run->id, .detail = target, .space = run->space
	};

	return audit_run(db, DB_TENANT(run->tenant), &SQL_EGRESS_INSERT,
		       DB_PARAMS(run->tenant, run->space, run->id, target), &act, err) < 0
		       ? -1
		       : 0;
}

int store_egress_add(struct db *db, const struct egress_count *count, struct err *err)
{
	return db_run(db, DB_TENANT(count->tenant), &SQL_EGRESS_ADD,
		DB_PARAMS(count->tenant, count->run, count->target, DB_NUMBER(count->bytes_in),
			DB_NUMBER(count->bytes_out), count->is_new ? "1" : "0"),
		NULL, err);
}

int store_run_holds(struct db *db, const char *tenant, const char *id, long long fence,
	bool *ret_holds, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant), &SQL_RUN_HOLDS, DB_PARAMS(tenant, id, DB_NUMBER(fence)),
		    &rows, err) < 0)
		return -1;
	*ret_holds = db_count(rows) > 0;
	return 0;
}
