/* SPDX-License-Identifier: Apache-2.0 */
/* The transition table of transitions.h and its loop. */
#include "services/orchestrator/transitions.h"

#include <stdlib.h>
#include <string.h>

#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/steps.h"
#include "lib/wake.h"
#include "services/orchestrator/peers.h"
#include "services/orchestrator/store.h"

#define WATCH_MS 1000	 /* how soon a run in a sandbox is looked at again */
#define WAITING_MS 15000 /* how soon one that waits for grants is, when nobody rings */
#define RETRY_MS 1000
#define MISSING "run.grants_missing"

static int change(
	struct worker *worker, const struct run *run, const struct run_change *to, struct err *err)
{
	if (store_run_change(worker->db, run, to, err) < 0)
		return strcmp(err->code, "run.stale") == 0 ? 0 : -1;
	log_info("run changed", "run", run->id, "from", run->state, "to", to->to, "code",
		to->failure_code ? to->failure_code : "-", NULL);
	wake_ring(worker->wake, "web", run->id);
	return 0;
}

static bool text_is(const json_t *object, const char *name, const char *value)
{
	const char *text = json_text(object, name);

	return text && value && strcmp(text, value) == 0;
}

static int wait_for_grants(struct worker *worker, const struct run *run, const char *code,
	const char *detail, struct err *err)
{
	return change(worker, run,
		&(struct run_change) { .to = "awaiting_grants",
			.raise_fence = true,
			.failure_code = code,
			.failure_detail = detail },
		err);
}

/* 1 when the policy's deadline is over and the run was ended for it. */
static int past_deadline(
	struct worker *worker, const struct run *run, const char *code, struct err *err)
{
	if (clock_unix_ms() / 1000 <= run->deadline)
		return 0;
	if (change(worker, run,
		    &(struct run_change) { .to = "failed",
			    .raise_fence = true,
			    .failure_code = code,
			    .failure_detail = "the policy's deadline is over" },
		    err) < 0)
		return -1;
	return 1;
}

/* What was taken back before the start ends the run, under the name that policy gives it. */
static int refuse(
	struct worker *worker, const struct run *run, const json_t *blocked, struct err *err)
{
	return change(worker, run,
		&(struct run_change) { .to = "refused",
			.raise_fence = true,
			.failure_code = json_text(blocked, "code"),
			.failure_detail = json_text(blocked, "detail") },
		err);
}

static char *slots_text(const json_t *missing)
{
	char *text = mem_strdup("no grant yet for");
	json_t *item;
	size_t i;

	json_array_foreach (missing, i, item) {
		char *longer = mem_printf("%s%s %s", text, i ? "," : "", json_text(item, "slot"));

		free(text);
		text = longer;
	}
	return text;
}

static int wait_for_owners(
	struct worker *worker, const struct run *run, const json_t *missing, struct err *err)
{
	auto_free char *awaiting = json_dumps(missing, JSON_COMPACT | JSON_SORT_KEYS);
	auto_free char *detail = slots_text(missing);

	if (run->awaiting && strcmp(run->awaiting, awaiting) == 0)
		return 0;
	return change(worker, run,
		&(struct run_change) { .to = "awaiting_grants",
			.raise_fence = true,
			.failure_code = MISSING,
			.failure_detail = detail,
			.awaiting = awaiting },
		err);
}

/* 1 when the order is not one that may start, and the run was told; -1 is a failure. */
static int held_back(
	struct worker *worker, const struct run *run, const json_t *order, struct err *err)
{
	const json_t *blocked = json_object_get(order, "blocked");
	const json_t *missing = json_object_get(order, "missing");

	if (json_is_object(blocked))
		return refuse(worker, run, blocked, err) < 0 ? -1 : 1;
	if (json_array_size(missing) > 0)
		return wait_for_owners(worker, run, missing, err) < 0 ? -1 : 1;
	return 0;
}

/* Behind this point nothing is taken back: policy says so to whoever tries. A run whose order is
 * started stays `queued` if we die here, and goes on. */
static int start(
	struct worker *worker, const struct run *run, const json_t *sandbox, struct err *err)
{
	auto_json json_t *order = NULL;
	int held;

	if (peers_order_start(worker, run->tenant, run->order, &order, err) < 0)
		return -1;
	held = held_back(worker, run, order, err);
	if (held != 0)
		return held < 0 ? -1 : 0;
	if (change(worker, run,
		    &(struct run_change) { .to = "dispatched",
			    .raise_fence = true,
			    .boot = json_integer_value(json_object_get(sandbox, "boot")) },
		    err) < 0)
		return -1;
	wake_ring(worker->wake, "web", run->sandbox);
	return 0;
}

static int step_queued(struct worker *worker, const void *row, struct err *err)
{
	const struct run *run = row;
	auto_json json_t *sandbox = NULL, *order = NULL;
	int over = past_deadline(worker, run, "run.deadline", err), held;

	if (over != 0)
		return over < 0 ? -1 : 0;
	if (peers_order(worker, run->tenant, run->order, &order, err) < 0)
		return -1;
	held = held_back(worker, run, order, err);
	if (held != 0)
		return held < 0 ? -1 : 0;
	if (peers_sandbox(worker, run->tenant, run->sandbox, &sandbox, err) < 0)
		return err->kind == ERR_NOT_FOUND ? wait_for_grants(worker, run, "run.sandbox_gone",
							    "the sandbox is gone", err)
						  : -1;
	if (!text_is(sandbox, "state", "ready"))
		return wait_for_grants(
			worker, run, "run.sandbox_not_ready", "the sandbox is not ready", err);
	if (!text_is(sandbox, "enc", json_text(order, "enc")) ||
		!text_is(sandbox, "sig", json_text(order, "sig")))
		return wait_for_grants(worker, run, "run.other_machine_keys",
			"the sandbox's machine keys are not the ordered ones", err);
	return start(worker, run, sandbox, err);
}

static int step_waiting(struct worker *worker, const void *row, struct err *err)
{
	const struct run *run = row;
	auto_json json_t *order = NULL;
	int over = past_deadline(worker, run, "run.grants_unavailable", err), held;

	if (over != 0)
		return over < 0 ? -1 : 0;
	if (peers_order(worker, run->tenant, run->order, &order, err) < 0)
		return -1;
	held = held_back(worker, run, order, err);
	if (held != 0 || !run->awaiting)
		return held < 0 ? -1 : 0;
	return change(worker, run, &(struct run_change) { .to = "queued" }, err);
}

static int step_in_sandbox(struct worker *worker, const void *row, struct err *err)
{
	const struct run *run = row;
	auto_json json_t *sandbox = NULL;
	int over = past_deadline(worker, run, "run.deadline", err);

	if (over != 0)
		return over < 0 ? -1 : 0;
	if (peers_sandbox(worker, run->tenant, run->sandbox, &sandbox, err) < 0)
		return err->kind == ERR_NOT_FOUND ? wait_for_grants(worker, run, "run.sandbox_gone",
							    "the sandbox is gone", err)
						  : -1;
	if (text_is(sandbox, "state", "ready") &&
		json_integer_value(json_object_get(sandbox, "boot")) == run->boot)
		return 0;
	return wait_for_grants(
		worker, run, "run.sandbox_lost", "the sandbox stopped or was started anew", err);
}

static const void *load(struct worker *worker, struct arena *arena, const struct step_due *due,
	const char **ret_state, struct err *err)
{
	struct run *run = arena_alloc(arena, sizeof(*run));

	if (store_run_get(worker->db, arena, due->tenant, due->id, run, err) < 0)
		return NULL;
	*ret_state = run->state;
	return run;
}

static const struct step table[] = {
	{ "queued", step_queued, RETRY_MS },
	{ "awaiting_grants", step_waiting, WAITING_MS },
	{ "dispatched", step_in_sandbox, WATCH_MS },
	{ "running", step_in_sandbox, WATCH_MS },
	{ NULL, NULL, 0 },
};

int transitions_wake(struct worker *worker, struct err *err)
{
	if (store_sweep_waiting(worker->db, err) < 0)
		return -1;
	wake_ring(worker->wake, "run", "waiting");
	return 0;
}

int transitions_run(struct worker *worker, struct err *err)
{
	const struct steps steps = { "run", store_claim, store_release, load, table, RETRY_MS };

	return steps_run(&steps, worker, err);
}
