/* SPDX-License-Identifier: Apache-2.0 */
/* Database calls for orders and their grants. */
#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/policy/queries.h"
#include "services/policy/store.h"
#include "services/policy/store_rows.h"

struct order_work {
	struct web_req *req;
	const struct store_order *item;
};

static int add_grants(struct db *db, const struct order_work *work, struct err *err)
{
	const struct principal *who = work->req->principal;
	const char *slot;
	json_t *jwe;

	json_object_foreach ((json_t *)work->item->grants, slot, jwe) {
		auto_free char *text = json_dumps(jwe, JSON_COMPACT | JSON_SORT_KEYS);

		if (db_exec(db, &SQL_GRANT_INSERT,
			    DB_PARAMS(who->tenant, who->space, work->item->id, slot, text), NULL,
			    err) < 0)
			return -1;
	}
	return 0;
}

static int order_work(struct db *db, void *arg, struct err *err)
{
	struct order_work *work = arg;
	const struct store_order *item = work->item;
	const struct trust_order *order = item->order;
	const struct principal *who = work->req->principal;
	auto_free char *envelope = json_dumps(item->envelope, JSON_COMPACT | JSON_SORT_KEYS);

	if (resource_remember(db, work->req, "POST /v1/orders", item->id, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) {
			  .action = "create", .on = item->id, .detail = item->policy_id });
	if (db_exec(db, &SQL_ORDER_INSERT,
		    DB_PARAMS(who->tenant, who->space, item->id, item->policy_id, order->run_nonce,
			    order->runner_spki, order->enc_thumbprint, order->sig_thumbprint,
			    envelope, who->subject),
		    NULL, err) < 0) {
		if (strcmp(err->code, "db.unique") == 0)
			return err_set(err, ERR_CONFLICT, "order.replayed",
				"this run nonce was ordered before: make a new order");
		return -1;
	}
	return add_grants(db, work, err);
}

int store_order_add(struct web_req *req, const struct store_order *item, struct err *err)
{
	struct order_work work = { req, item };

	return db_tx(req->worker->db, DB_TENANT(req->principal->tenant), order_work, &work, err);
}

/* One text column of each row, parsed, as a list. */
static int list_of(struct web_req *req, const char *tenant, const struct sql *sql, const char *id,
	const char *column, json_t **ret_list, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), sql, DB_PARAMS(tenant, id), &rows, err) < 0)
		return -1;
	*ret_list = json_array();
	for (size_t i = 0; i < db_count(rows); i++)
		json_array_append_new(*ret_list, json_loads(db_text(rows, i, column), 0, NULL));
	return 0;
}

int store_order_get(struct web_req *req, const char *tenant, const char *id, json_t **ret_record,
	struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	auto_json json_t *grants = NULL, *approvals = NULL;

	if (store_row_get(req, tenant, &SQL_ORDER_BY_ID, id, "order", &rows, err) < 0 ||
		list_of(req, tenant, &SQL_GRANT_LIST, id, "jwe", &grants, err) < 0 ||
		list_of(req, tenant, &SQL_APPROVAL_LIST, db_text(rows, 0, "policy_id"), "envelope",
			&approvals, err) < 0)
		return -1;
	*ret_record = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:O,s:O}", "id", id,
		"tenant", tenant, "space", db_text(rows, 0, "space_id"), "policy_id",
		db_text(rows, 0, "policy_id"), "policy_hash", db_text(rows, 0, "policy_hash"),
		"document", db_text(rows, 0, "document"), "run_nonce",
		db_text(rows, 0, "run_nonce"), "enc", db_text(rows, 0, "enc"), "sig",
		db_text(rows, 0, "sig"), "order", json_loads(db_text(rows, 0, "envelope"), 0, NULL),
		"grants", grants, "approvals", approvals);
	return 0;
}
