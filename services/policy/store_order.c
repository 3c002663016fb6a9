/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Database calls for orders and their grants. What is taken back and what is started cannot pass
 * each other: withdrawals hold one lock alone, starts share it, and both look behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/audit.h"
#include "lib/auth.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/policy/departures.h"
#include "services/policy/queries.h"
#include "services/policy/store.h"
#include "services/policy/store_rows.h"

/* --- reading --- */

void order_row_release(struct order_row *row)
{
	json_decref(row->missing);
	json_decref(row->withdrawn);
	json_decref(row->unshared);
}

static int read_row(
	struct arena *arena, const struct db_rows *rows, struct order_row *ret_row, struct err *err)
{
#define TEXT(column) db_text_in(rows, 0, column, arena)
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "order.not_found", "there is no such order");
	*ret_row = (struct order_row) {
		.id = TEXT("id"),
		.tenant = TEXT("tenant_id"),
		.space = TEXT("space_id"),
		.policy_id = TEXT("policy_id"),
		.policy_hash = TEXT("policy_hash"),
		.document = TEXT("document"),
		.run_nonce = TEXT("run_nonce"),
		.enc = TEXT("enc"),
		.sig = TEXT("sig"),
		.envelope = TEXT("envelope"),
		.created_by = TEXT("created_by"),
		.created_at = TEXT("created_at"),
		.started_at = TEXT("started_at"),
		.image_tenant = TEXT("image_tenant"),
		.missing = json_loads(db_text(rows, 0, "missing"), 0, NULL),
		.withdrawn = json_loads(db_text(rows, 0, "withdrawn"), 0, NULL),
		.unshared = json_loads(db_text(rows, 0, "unshared"), 0, NULL),
		.revision = db_number(rows, 0, "revision"),
		.is_departed = db_bool(rows, 0, "is_departed"),
	};
#undef TEXT
	return 0;
}

int store_order_get(struct web_req *req, const char *id, struct order_row *ret_row, struct err *err)
{
	const struct principal *who = req->principal;
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_SPACES(who->tenant, who->spaces), &SQL_ORDER_READ,
		    DB_PARAMS(who->tenant, id), &rows, err) < 0)
		return -1;
	return read_row(req->arena, rows, ret_row, err);
}

/* The grants of the space's other tenants are seen from the order's space only. */
static int space_of(struct web_req *req, const char *tenant, const char *id, const char **ret_space,
	struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_TENANT(tenant), &SQL_ORDER_SPACE, DB_PARAMS(tenant, id),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "order.not_found", "there is no such order");
	*ret_space = db_text_in(rows, 0, "space_id", req->arena);
	return 0;
}

int store_order_of(struct web_req *req, const char *tenant, const char *id,
	struct order_row *ret_row, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	const char *space;

	if (space_of(req, tenant, id, &space, err) < 0 ||
		db_run(req->worker->db, DB_SPACES(tenant, space), &SQL_ORDER_READ,
			DB_PARAMS(tenant, id), &rows, err) < 0)
		return -1;
	return read_row(req->arena, rows, ret_row, err);
}

/* One text column of each row, parsed, as a list. */
static json_t *list_of(const struct db_rows *rows, const char *column)
{
	json_t *list = json_array();

	for (size_t i = 0; i < db_count(rows); i++)
		json_array_append_new(list, json_loads(db_text(rows, i, column), 0, NULL));
	return list;
}

int store_order_grants(
	struct web_req *req, const struct order_row *row, json_t **ret_grants, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_SPACES(row->tenant, row->space), &SQL_GRANT_LIST,
		    DB_PARAMS(row->space, row->id), &rows, err) < 0)
		return -1;
	*ret_grants = list_of(rows, "jwe");
	return 0;
}

int store_order_approvals(
	struct web_req *req, const struct order_row *row, json_t **ret_approvals, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_SPACES(row->tenant, row->space), &SQL_APPROVAL_LIST,
		    DB_PARAMS(row->tenant, row->policy_id), &rows, err) < 0)
		return -1;
	*ret_approvals = list_of(rows, "envelope");
	return 0;
}

/* As they are: pins are over texts. */
static json_t *text_list(const struct db_rows *rows, const char *column)
{
	json_t *list = json_array();

	for (size_t i = 0; i < db_count(rows); i++)
		json_array_append_new(list, json_string(db_text(rows, i, column)));
	return list;
}

int store_order_constraints(
	struct web_req *req, const struct order_row *row, json_t **ret_constraints, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(req->worker->db, DB_SPACES(row->tenant, row->space), &SQL_POLICY_CONSTRAINT_LIST,
		    DB_PARAMS(row->tenant, row->policy_id), &rows, err) < 0)
		return -1;
	*ret_constraints = text_list(rows, "document");
	return 0;
}

/* --- making --- */

struct order_work {
	struct web_req *req;
	const struct store_order *item;
};

static int insert_grant(struct db *db, const struct principal *who, const char *space,
	const char *order, const char *slot, const char *text, struct err *err)
{
	return db_exec(db, &SQL_GRANT_INSERT,
		DB_PARAMS(who->tenant, space, order, slot, text, who->subject), NULL, err);
}

static int insert_order(struct db *db, const struct order_work *work, struct err *err)
{
	const struct store_order *item = work->item;
	const struct trust_order *order = item->order;
	const struct principal *who = work->req->principal;
	auto_free char *envelope = json_dumps(item->envelope, JSON_COMPACT | JSON_SORT_KEYS);

	if (db_exec(db, &SQL_ORDER_INSERT,
		    DB_PARAMS(who->tenant, item->space, item->id, item->policy_id, order->run_nonce,
			    order->runner_spki, order->enc_thumbprint, order->sig_thumbprint,
			    envelope, who->subject, item->own_image ? "true" : "false"),
		    NULL, err) == 0)
		return 0;
	if (strcmp(err->code, "db.unique") != 0)
		return -1;
	return err_set(err, ERR_CONFLICT, "order.replayed",
		"this run nonce was ordered before: make a new order");
}

static int order_work(struct db *db, void *arg, struct err *err)
{
	struct order_work *work = arg;
	const struct store_order *item = work->item;
	const char *slot;
	json_t *jwe;

	if (resource_remember(db, work->req, "POST /v1/orders", item->id, err) < 0)
		return -1;
	audit(db, &(const struct audit_act) { .action = "create",
			  .on = item->id,
			  .detail = item->policy_id,
			  .space = item->space });
	if (insert_order(db, work, err) < 0)
		return -1;
	json_object_foreach ((json_t *)item->grants, slot, jwe) {
		auto_free char *text = json_dumps(jwe, JSON_COMPACT | JSON_SORT_KEYS);

		if (insert_grant(db, work->req->principal, item->space, item->id, slot, text, err) <
			0)
			return -1;
	}
	return 0;
}

int store_order_add(struct web_req *req, const struct store_order *item, struct err *err)
{
	struct order_work work = { req, item };

	return db_tx(req->worker->db, DB_TENANT(req->principal->tenant), order_work, &work, err);
}

/* --- giving and taking back --- */

struct grant_work {
	struct web_req *req;
	const struct order_row *row;
	const json_t *grants; /* to give */
	const char *slot;     /* to take back */
};

static int check_not_started(struct db *db, const struct grant_work *work, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_ORDER_READ, DB_PARAMS(work->req->principal->tenant, work->row->id),
		    &rows, err) < 0)
		return -1;
	if (db_count(rows) && db_is_null(rows, 0, "started_at"))
		return 0;
	return err_set(err, ERR_CONFLICT, "order.started",
		"the run of this order has started: its grants stay as they are");
}

static int audit_grant(struct db *db, const struct grant_work *work, const char *action,
	const char *slot, struct err *err)
{
	audit(db, &(const struct audit_act) { .action = action,
			  .on = work->row->id,
			  .detail = slot,
			  .space = work->row->space });
	return db_exec(
		db, &SQL_OUTBOX_INSERT, DB_PARAMS(STORE_ORDER_TOPIC, work->row->id), NULL, err);
}

static int give(struct db *db, const struct grant_work *work, const char *slot, const char *text,
	struct err *err)
{
	const struct principal *who = work->req->principal;
	const struct order_row *row = work->row;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_GRANT_UPDATE,
		    DB_PARAMS(who->tenant, row->space, row->id, slot, text, who->subject), &rows,
		    err) < 0)
		return -1;
	if (db_affected(rows) == 0 &&
		insert_grant(db, who, row->space, row->id, slot, text, err) < 0)
		return strcmp(err->code, "db.unique") != 0
			       ? -1
			       : err_set(err, ERR_CONFLICT, "grant.twice",
					 "the slot '%s' has a grant, or one that was taken back",
					 slot);
	return audit_grant(db, work, "grant.give", slot, err);
}

static int give_work(struct db *db, void *arg, struct err *err)
{
	const struct grant_work *work = arg;
	const char *slot;
	json_t *jwe;

	if (db_exec(db, &SQL_START_LOCK, DB_NO_PARAMS, NULL, err) < 0 ||
		check_not_started(db, work, err) < 0)
		return -1;
	json_object_foreach ((json_t *)work->grants, slot, jwe) {
		auto_free char *text = json_dumps(jwe, JSON_COMPACT | JSON_SORT_KEYS);

		if (give(db, work, slot, text, err) < 0)
			return -1;
	}
	return 0;
}

int store_grants_add(
	struct web_req *req, const struct order_row *row, const json_t *grants, struct err *err)
{
	const struct principal *who = req->principal;
	struct grant_work work = { req, row, grants, NULL };

	return db_tx(req->worker->db, DB_SPACES(who->tenant, who->spaces), give_work, &work, err);
}

static int withdraw_work(struct db *db, void *arg, struct err *err)
{
	const struct grant_work *work = arg;
	const struct order_row *row = work->row;
	auto_rows struct db_rows *rows = NULL;

	if (db_exec(db, &SQL_WITHDRAWAL_LOCK, DB_NO_PARAMS, NULL, err) < 0 ||
		check_not_started(db, work, err) < 0 ||
		db_exec(db, &SQL_GRANT_WITHDRAW,
			DB_PARAMS(work->req->principal->tenant, row->space, row->id, work->slot),
			&rows, err) < 0)
		return -1;
	if (db_affected(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "grant.not_found",
			"this tenant gave no grant for that slot");
	return audit_grant(db, work, "grant.withdraw", work->slot, err);
}

int store_grant_withdraw(
	struct web_req *req, const struct order_row *row, const char *slot, struct err *err)
{
	const struct principal *who = req->principal;
	struct grant_work work = { req, row, NULL, slot };

	return db_tx(
		req->worker->db, DB_SPACES(who->tenant, who->spaces), withdraw_work, &work, err);
}

/* --- the start --- */

struct start_work {
	struct web_req *req;
	const char *tenant, *id;
	store_is_free *is_free;
	bool is_in_space;
	bool started;
};

static int mark_departed(struct db *db, const struct start_work *work, struct err *err)
{
	return work->is_in_space ? 0
				 : db_exec(db, &SQL_ORDER_DEPART, DB_PARAMS(work->tenant, work->id),
					   NULL, err);
}

static int start_work(struct db *db, void *arg, struct err *err)
{
	struct start_work *work = arg;
	auto_rows struct db_rows *rows = NULL, *words = NULL;
	auto_json json_t *approvals = NULL;
	auto_order row = { .id = NULL };

	if (db_exec(db, &SQL_START_LOCK, DB_NO_PARAMS, NULL, err) < 0 ||
		mark_departed(db, work, err) < 0 ||
		db_exec(db, &SQL_ORDER_READ, DB_PARAMS(work->tenant, work->id), &rows, err) < 0 ||
		read_row(work->req->arena, rows, &row, err) < 0 ||
		db_exec(db, &SQL_APPROVAL_LIST, DB_PARAMS(work->tenant, row.policy_id), &words,
			err) < 0)
		return -1;
	approvals = list_of(words, "envelope");
	work->started = row.started_at || work->is_free(work->req->arena, &row, approvals);
	return !work->started || row.started_at
		       ? 0
		       : db_exec(db, &SQL_ORDER_START, DB_PARAMS(work->tenant, work->id), NULL,
				 err);
}

int store_order_start(struct web_req *req, const char *tenant, const char *id,
	store_is_free *is_free, bool *ret_started, struct err *err)
{
	struct start_work work = { .req = req, .tenant = tenant, .id = id, .is_free = is_free };
	const char *space;

	if (space_of(req, tenant, id, &space, err) < 0 ||
		departures_settle(req->worker, space, tenant, &work.is_in_space, err) < 0 ||
		db_tx(req->worker->db, DB_SPACES(tenant, space), start_work, &work, err) < 0)
		return -1;
	*ret_started = work.started;
	return 0;
}
