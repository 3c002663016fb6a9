/* SPDX-License-Identifier: Apache-2.0 */
/* The two ways in which a run's row moves: a change of state, and an agent's report. */
#include <string.h>

#include "lib/audit.h"
#include "lib/mem.h"
#include "services/orchestrator/queries.h"
#include "services/orchestrator/store.h"
#include "services/orchestrator/store_rows.h"

const struct sql *const store_claim = &SQL_SWEEP_DUE, *const store_release = &SQL_RUN_RELEASE;

struct change_work {
	const struct run *run;
	const struct run_change *change;
};

static int add_state_event(struct db *db, const struct change_work *work,
	const struct db_rows *changed, struct err *err)
{
	const struct run_change *change = work->change;
	auto_free char *detail =
		change->failure_code ? mem_printf("%s: %s", change->failure_code,
					       change->failure_detail ? change->failure_detail : "")
				     : NULL;

	return db_exec(db, &SQL_RUN_EVENT_INSERT,
		DB_PARAMS(work->run->tenant, db_text(changed, 0, "space_id"), work->run->id,
			db_text(changed, 0, "event_seq"), "state", NULL, change->to, detail,
			db_text(changed, 0, "fence"), NULL),
		NULL, err);
}

/* What comes with some states: another order, or the output. */
static int add_particulars(struct db *db, const struct change_work *work, struct err *err)
{
	const struct run_change *change = work->change;
	const struct run *run = work->run;

	if (change->order && db_exec(db, &SQL_RUN_REORDER,
				     DB_PARAMS(run->tenant, run->id, change->order,
					     change->run_nonce, change->sandbox),
				     NULL, err) < 0)
		return -1;
	if (!change->receipt)
		return 0;
	return db_exec(db, &SQL_RUN_OUTPUT,
		DB_PARAMS(run->tenant, run->id, change->output_object, change->output_digest,
			DB_NUMBER(change->output_size), change->receipt),
		NULL, err);
}

/* What the agent refused is a denial; what went wrong is only told. */
static void tell(struct db *db, const struct change_work *work)
{
	const struct run_change *change = work->change;
	bool refused = strcmp(change->to, "refused") == 0;
	auto_free char *action = mem_printf("run.%s", change->order ? "order" : change->to);

	audit(db, &(const struct audit_act) { .action = action,
			  .on = work->run->id,
			  .space = work->run->space,
			  .code = refused ? change->failure_code : NULL,
			  .detail = change->order ? change->order : change->failure_code });
}

static int change_work(struct db *db, void *arg, struct err *err)
{
	struct change_work *work = arg;
	const struct run_change *change = work->change;
	const struct run *run = work->run;
	auto_rows struct db_rows *changed = NULL;

	if (db_exec(db, &SQL_RUN_CHANGE,
		    DB_PARAMS(run->tenant, run->id, run->state, change->to, DB_NUMBER(run->fence),
			    change->raise_fence ? "1" : "0",
			    change->boot ? DB_NUMBER(change->boot) : NULL, change->failure_code,
			    change->failure_detail, change->awaiting),
		    &changed, err) < 0)
		return -1;
	if (db_count(changed) == 0)
		return err_set(err, ERR_CONFLICT, "run.stale",
			"the run is no longer '%s' at fence %lld", run->state, run->fence);
	if (add_particulars(db, work, err) < 0 || add_state_event(db, work, changed, err) < 0)
		return -1;
	tell(db, work);
	return db_exec(db, &SQL_OUTBOX_INSERT, DB_PARAMS("run", run->id), NULL, err);
}

int store_run_change(
	struct db *db, const struct run *run, const struct run_change *change, struct err *err)
{
	struct change_work work = { run, change };

	if (db_tx(db, DB_TENANT(run->tenant), change_work, &work, err) == 0)
		return 0;
	return store_run_taken(db, run->tenant, change->sandbox, err);
}

struct report_work {
	const char *tenant, *id;
	const struct run_report *report;
};

static int report_work(struct db *db, void *arg, struct err *err)
{
	struct report_work *work = arg;
	const struct run_report *report = work->report;
	auto_rows struct db_rows *seen = NULL, *row = NULL;
	const char *fence = DB_NUMBER(report->fence), *seq = DB_NUMBER(report->seq);

	if (db_exec(db, &SQL_RUN_EVENT_SEEN, DB_PARAMS(work->tenant, work->id, fence, seq), &seen,
		    err) < 0)
		return -1;
	if (db_count(seen) > 0)
		return 0;
	if (db_exec(db, &SQL_RUN_REPORT, DB_PARAMS(work->tenant, work->id, fence, report->step),
		    &row, err) < 0)
		return -1;
	if (db_count(row) == 0)
		return err_set(err, ERR_CONFLICT, "run.stale_fence",
			"fence %lld does not hold this run", report->fence);
	if (db_exec(db, &SQL_RUN_STEP_REPORT,
		    DB_PARAMS(work->tenant, db_text(row, 0, "space_id"), work->id, report->step,
			    report->state, report->detail),
		    NULL, err) < 0)
		return -1;
	return db_exec(db, &SQL_RUN_EVENT_INSERT,
		DB_PARAMS(work->tenant, db_text(row, 0, "space_id"), work->id,
			db_text(row, 0, "event_seq"), "step", report->step, report->state,
			report->detail, fence, seq),
		NULL, err);
}

int store_run_report(struct db *db, const char *tenant, const char *id,
	const struct run_report *report, struct err *err)
{
	struct report_work work = { tenant, id, report };

	return db_tx(db, DB_TENANT(tenant), report_work, &work, err);
}

int store_run_of_sandbox(struct db *db, struct arena *arena, const char *tenant,
	const char *sandbox, const char **ret_id, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_TENANT(tenant), &SQL_RUN_OF_SANDBOX, DB_PARAMS(tenant, sandbox), &rows,
		    err) < 0)
		return -1;
	*ret_id = db_count(rows) ? db_text_in(rows, 0, "id", arena) : NULL;
	return 0;
}

int store_sweep_waiting(struct db *db, struct err *err)
{
	return db_run(db, DB_SWEEP, &SQL_SWEEP_WAITING, DB_NO_PARAMS, NULL, err);
}

int store_sweep_sandbox(struct db *db, struct arena *arena, const char *sandbox,
	struct run *ret_key, struct err *err)
{
	auto_rows struct db_rows *rows = NULL;

	if (db_run(db, DB_SWEEP, &SQL_SWEEP_SANDBOX, DB_PARAMS(sandbox), &rows, err) < 0)
		return -1;
	if (db_count(rows) == 0)
		return err_set(err, ERR_NOT_FOUND, "run.not_found", "no run is in this sandbox");
	ret_key->tenant = db_text_in(rows, 0, "tenant_id", arena);
	ret_key->id = db_text_in(rows, 0, "id", arena);
	return 0;
}
