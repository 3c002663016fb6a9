/* SPDX-License-Identifier: Apache-2.0 */
/* Revocations in the database, and the ring that makes services look at them. */
#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "lib/wake.h"
#include "services/certreg/queries.h"
#include "services/certreg/store.h"
#include "services/certreg/store_rows.h"
#include "services/certreg/store_tokens.h"

int store_revocation_add(struct db *db, const struct revocation *revocation, struct err *err)
{
	return db_exec(db, &SQL_REVOCATION_INSERT,
		DB_PARAMS(revocation->tenant, revocation->space, revocation->id,
			revocation->is_lifted ? "lifted" : "revoked"),
		NULL, err);
}

void store_revocation_ring(const struct worker *worker)
{
	wake_ring(worker->wake, AUTH_EPOCH_TOPIC, "changed");
}

int store_revoke(struct db *db, const struct sql *update, const struct store_revoking *revoking,
	struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	auto_free char *revision = mem_printf("%lld", revoking->revision);

	if (db_exec(db, update, DB_PARAMS(revoking->tenant, revoking->id, revision), &rows, err) <
		0)
		return -1;
	if (db_affected(rows) == 0)
		return err_set(err, ERR_PRECONDITION_FAILED, "resource.changed",
			"the resource has just changed");
	audit(db, &(const struct audit_act) { .action = "revoke", .on = revoking->id });
	return store_revocation_add(db,
		&(const struct revocation) {
			.tenant = revoking->tenant, .space = revoking->space, .id = revoking->id },
		err);
}

int store_revoked(
	struct db *db, long seconds, json_t **ret_list, long long *ret_epoch, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	auto_free char *window = mem_printf("%ld", seconds);
	json_t *list;

	if (db_run(db, DB_SWEEP, &SQL_REVOCATION_STATE, DB_PARAMS(window), &rows, err) < 0)
		return -1;
	list = json_array();
	for (size_t i = 0; i < db_count(rows); i++) {
		if (db_is_null(rows, i, "id"))
			continue;
		json_array_append_new(
			list, json_pack("{s:s,s:I}", "subject", db_text(rows, i, "id"), "before",
				      (json_int_t)db_number(rows, i, "before")));
	}
	*ret_epoch = db_number(rows, 0, "epoch");
	*ret_list = list;
	return 0;
}
