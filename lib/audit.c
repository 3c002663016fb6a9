/* SPDX-License-Identifier: Apache-2.0 */
/* Making records, and handing them over. */
#include "lib/audit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/web.h"

#define MAX_ON 200

static const struct sql SQL_INSERT = { "lib_audit_insert",
	"INSERT INTO audit_outbox (tenant_id, record) VALUES ($1, $2)", 2 };
/* Not by "id above the last one": ids are given before the commit, a late one would be missed. */
static const struct sql SQL_FEED = { "lib_audit_feed",
	"WITH gone AS (DELETE FROM audit_outbox WHERE id <@ $1::int8multirange"
	" AND id >= lower($1::int8multirange) AND id < upper($1::int8multirange))"
	" SELECT id, record FROM audit_outbox WHERE NOT id <@ $1::int8multirange"
	" ORDER BY id LIMIT 500",
	1 };

/* --- one record --- */

/* What an id's prefix stands for (proto/README.md). */
static const struct {
	const char *prefix, *thing;
} things[] = {
	{ "acf_", "app_config" },
	{ "app_", "app" },
	{ "crt_", "certificate" },
	{ "dst_", "dataset" },
	{ "inv_", "invitation" },
	{ "key_", "key" },
	{ "mbr_", "member" },
	{ "obj_", "object" },
	{ "ord_", "order" },
	{ "pip_", "pipeline" },
	{ "pol_", "policy" },
	{ "prj_", "projection" },
	{ "run_", "run" },
	{ "sbx_", "sandbox" },
	{ "spc_", "space" },
	{ "tnt_", "tenant" },
	{ "tsk_", "task" },
	{ "wfl_", "workflow" },
};

static json_t *action_of(const struct audit_act *act)
{
	const char *thing = "thing";

	if (strchr(act->action, '.') || !act->on)
		return json_string(act->action);
	for (size_t i = 0; i < ARRAY_LEN(things); i++) {
		if (strncmp(act->on, things[i].prefix, strlen(things[i].prefix)) == 0)
			thing = things[i].thing;
	}
	return json_sprintf("%s.%s", thing, act->action);
}

static json_t *text_or_null(const char *text, size_t max)
{
	json_t *value = text ? json_stringn(text, strnlen(text, max)) : NULL;

	return value ? value : json_null(); /* cut inside a character: rather nothing */
}

const char *audit_credential(const struct principal *who)
{
	const char *key = json_text(who->claims, "key");

	return key ? key : json_text(who->claims, "crt");
}

/* NULL members of the act are the caller's; nobody at all is the service itself. */
static json_t *who_of(const struct principal *caller, const struct audit_act *act)
{
	const char *subject = act->subject ? act->subject : caller ? caller->subject : NULL;
	const struct principal *who = act->subject ? NULL : caller;

	if (!subject)
		return json_null();
	return json_pack("{s:s,s:s?,s:s?}", "sub", subject, "credential",
		act->credential ? act->credential
		: who		? audit_credential(who)
				: NULL,
		"roles",
		act->roles ? act->roles
		: who	   ? who->roles
			   : NULL);
}

/* Canonical text; the caller frees. */
static char *record_text(const struct web_req *req, const char *tenant, const struct audit_act *act,
	unsigned long count)
{
	const struct principal *caller = req ? req->principal : NULL;
	char id[ID_SIZE], time[CLOCK_TEXT_SIZE], *text = NULL;
	const char *space = act->space ? act->space : caller ? caller->space : NULL;
	auto_json json_t *record = NULL;
	size_t len;

	id_new("aud", id);
	clock_rfc3339(clock_unix_ms(), time);
	record = json_pack("{s:s,s:s,s:s,s:s,s:s?,s:o,s:o,s:o,s:s,s:s?,s:s?,s:o,s:I}", "v",
		AUDIT_VERSION, "id", (const char *)id, "time", (const char *)time, "tenant", tenant,
		"space", space && *space ? space : NULL, "who", who_of(caller, act), "action",
		action_of(act), "on", text_or_null(act->on, MAX_ON), "outcome",
		act->code ? "denied" : "granted", "code", act->code, "request_id",
		req ? req->id : NULL, "detail", text_or_null(act->detail, MAX_ON), "count",
		(json_int_t)count);
	if (!record || jcs_encode(record, &text, &len, NULL) < 0)
		abort(); /* only texts of ours that are no UTF-8 come here */
	return text;
}

void audit(struct db *db, const struct audit_act *act)
{
	const char *tenant = db_tenant(db);
	auto_free char *text = NULL;

	assert(tenant);
	text = record_text(db_caller(db), tenant, act, 1);
	db_at_commit(db, &SQL_INSERT, DB_PARAMS(tenant, text));
}

int audit_write(struct db *db, const char *tenant, const struct audit_act *act, unsigned long count,
	struct err *err)
{
	auto_free char *text = record_text(db_caller(db), tenant, act, count);

	return db_run(db, DB_TENANT(tenant), &SQL_INSERT, DB_PARAMS(tenant, text), NULL, err);
}

/* --- one statement with its record --- */

struct run_work {
	const struct sql *sql;
	const char *const *params;
	int n_params;
	const struct audit_act *act;
	int changed;
};

static int run_work(struct db *db, void *arg, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;
	struct run_work *work = arg;

	if (db_exec(db, work->sql, work->params, work->n_params, &rows, err) < 0)
		return -1;
	work->changed = (int)db_affected(rows);
	if (work->changed > 0)
		audit(db, work->act);
	return 0;
}

int audit_run(struct db *db, const struct db_scope *scope, const struct sql *sql,
	const char *const *params, int n_params, const struct audit_act *act, struct err *err)
{
	struct run_work work = { .sql = sql, .params = params, .n_params = n_params, .act = act };

	return db_tx(db, scope, run_work, &work, err) < 0 ? -1 : work.changed;
}

/* --- handing over --- */

int audit_feed(struct db *db, const char *taken, json_t **ret_rows, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_SWEEP, &SQL_FEED, DB_PARAMS(taken), &rows, err) < 0)
		return -1;
	*ret_rows = json_array();
	for (size_t i = 0; i < db_count(rows); i++)
		json_array_append_new(*ret_rows,
			json_pack("{s:I,s:s}", "id", (json_int_t)db_number(rows, i, "id"), "record",
				db_text(rows, i, "record")));
	return 0;
}
