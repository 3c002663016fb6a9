/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop does in each state of state.h. */
#include "services/provisioner/lifecycle.h"

#include <stdio.h>
#include <string.h>

#include "lib/crash.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/steps.h"
#include "lib/wake.h"
#include "services/provisioner/boot.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/state.h"
#include "services/provisioner/store.h"
#include "services/provisioner/vtpm_stock.h"

#define WATCH_MS 1000
#define RETRY_MS 2000
#define REST_MS 60000 /* what only its end can move */

static int change(struct worker *worker, const struct sandbox *sandbox, enum state_event event,
	const char *failure_code, const char *failure_detail, struct err *err)
{
	const char *to = state_after(sandbox->state, event, sandbox->boot);

	crash_point("before", to);
	if (store_change(worker->db, sandbox, to, failure_code, failure_detail, err) < 0)
		return strcmp(err->code, "sandbox.stale") == 0 ? 0 : -1;
	crash_point("after", to);
	log_info("sandbox changed", "sandbox", sandbox->id, "from", sandbox->state, "to", to,
		"code", failure_code ? failure_code : "-", NULL);
	wake_ring(worker->wake, "web", sandbox->id);
	wake_ring(worker->wake, "sandbox", sandbox->id);
	return 0;
}

static int driver_of(
	const struct sandbox *sandbox, const struct driver **ret_driver, struct err *err)
{
	*ret_driver = driver_find(sandbox->driver);
	if (*ret_driver)
		return 0;
	return err_set(err, ERR_INTERNAL, "sandbox.no_driver", "this release has no driver '%s'",
		sandbox->driver);
}

/* The driver of the sandbox, and the sandbox held for it, by a step that still has its lease: one
 * that was asleep for longer must not end what its successor started. */
static int take(struct worker *worker, const struct sandbox *sandbox,
	const struct driver **ret_driver, int *ret_hold, struct err *err)
{
	if (driver_of(sandbox, ret_driver, err) < 0)
		return -1;
	if (driver_hold(worker->program, sandbox->id, ret_hold, err) < 0)
		return -1;
	return store_holds(worker->db, sandbox, err);
}

struct note {
	struct worker *worker;
	const struct sandbox *sandbox;
};

static int note_secret(void *arg, const char *hash, struct err *err)
{
	const struct note *note = arg;

	return store_secret(note->worker->db, note->sandbox, hash, err);
}

/* A repeated launch makes a new secret. */
static int launch(struct worker *worker, const struct driver *driver, const struct sandbox *sandbox,
	struct err *err)
{
	const struct boot boot = { sandbox->id, sandbox->parameters, sandbox->initdata,
		sandbox->boot };
	struct note note = { worker, sandbox };
	int r;

	if (boot_start(worker, driver, &boot, note_secret, &note, err) < 0)
		return -1;
	crash_point("before", "launched");
	r = store_launched(worker->db, sandbox, err);
	crash_point("after", "launched");
	wake_ring(worker->wake, "web", sandbox->id);
	return r;
}

/* What came up of it must not outlive the failure. */
static int fail(struct worker *worker, const struct driver *driver, const struct sandbox *sandbox,
	const char *code, const char *detail, struct err *err)
{
	struct driver_state state;
	int r = driver_pursue(driver, worker, sandbox, DRIVER_DOWN, &state, err);

	if (r != 0)
		return r;
	return change(worker, sandbox, STATE_FAIL, code, detail, err);
}

static int watch_boot(struct worker *worker, const struct driver *driver,
	const struct sandbox *sandbox, struct err *err)
{
	struct driver_state state;
	int r = driver_pursue(driver, worker, sandbox, DRIVER_UP, &state, err);

	if (r != 0)
		return r;
	if (*state.code)
		return fail(worker, driver, sandbox, state.code,
			*state.detail ? state.detail
				      : "the VM or its vTPM ended before it enrolled",
			err);
	if (!sandbox->boot_timed_out)
		return 0;
	return fail(worker, driver, sandbox, "sandbox.boot_timeout",
		"the VM did not enrol within 120 seconds", err);
}

/* What an owner may read as the reason. */
static bool is_own(const char *code)
{
	static const char *const areas[] = { "sandbox.", "controller.", "libvirt.", "tofu." };

	for (size_t i = 0; i < ARRAY_LEN(areas); i++) {
		if (strncmp(code, areas[i], strlen(areas[i])) == 0)
			return true;
	}
	return false;
}

static int step_booting(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;
	const struct driver *driver;
	struct driver_state state;
	auto_fd int hold = -1;
	char code[48];
	int r;

	if (sandbox->has_expired)
		return change(worker, sandbox, STATE_EXPIRE, NULL, NULL, err);
	if (take(worker, sandbox, &driver, &hold, err) < 0)
		return -1;
	if (sandbox->launched_boot == sandbox->boot)
		return watch_boot(worker, driver, sandbox, err);
	r = sandbox->is_begun ? driver_pursue(driver, worker, sandbox, DRIVER_QUIET, &state, err)
			      : 0;
	if (r != 0)
		return r;
	if (launch(worker, driver, sandbox, err) == 0)
		return 0;
	if (strcmp(err->code, "sandbox.stale") == 0) /* stopped meanwhile: the next step ends it */
		return 0;
	log_failure("a sandbox could not be launched", err);
	snprintf(code, sizeof(code), "%s", is_own(err->code) ? err->code : "sandbox.launch");
	return fail(worker, driver, sandbox, code, "the VM could not be launched", err);
}

/* What is left of it, a vTPM say, ends too. Whose driver only looks at it has not held it yet. */
static int bury(struct worker *worker, const struct driver *driver, const struct sandbox *sandbox,
	const struct driver_state *gone, struct err *err)
{
	struct driver_state state;
	auto_fd int hold = -1;
	int r;

	if (!driver->pursue && take(worker, sandbox, &driver, &hold, err) < 0)
		return -1;
	r = driver_pursue(driver, worker, sandbox, DRIVER_DOWN, &state, err);
	if (r != 0)
		return r;
	return change(worker, sandbox, STATE_DIE, gone->code,
		*gone->detail ? gone->detail : "the VM or its vTPM ended by itself", err);
}

static int step_ready(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;
	const struct driver *driver;
	struct driver_state state;
	auto_fd int hold = -1;
	int r;

	if (sandbox->has_expired)
		return change(worker, sandbox, STATE_EXPIRE, NULL, NULL, err);
	if (driver_of(sandbox, &driver, err) < 0 ||
		(driver->pursue && take(worker, sandbox, &driver, &hold, err) < 0) ||
		driver_settled(driver, worker->program, sandbox->id, err) < 0)
		return -1;
	r = driver_pursue(driver, worker, sandbox, DRIVER_UP, &state, err);
	if (r != 0)
		return r;
	if (*state.code)
		return bury(worker, driver, sandbox, &state, err);
	if (!sandbox->is_idle)
		return 0;
	return change(worker, sandbox, STATE_IDLE, "sandbox.idle",
		"no run used it for as long as its idle time-out", err);
}

/* As driver_pursue(), with the sandbox held: nothing is to be ended of what was never begun. */
static int end(struct worker *worker, const struct sandbox *sandbox, enum driver_goal goal,
	int *ret_hold, struct err *err)
{
	const struct driver *driver;
	struct driver_state state;

	if (!sandbox->is_begun)
		return 0;
	if (take(worker, sandbox, &driver, ret_hold, err) < 0)
		return -1;
	return driver_pursue(driver, worker, sandbox, goal, &state, err);
}

/* Why it was stopped stays to be read, when it was not its owner who said so. */
static int step_stopping(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;
	auto_fd int hold = -1;
	int r = end(worker, sandbox, DRIVER_DOWN, &hold, err);

	if (r != 0)
		return r;
	crash_point("done", "stop");
	return change(
		worker, sandbox, STATE_ENDED, sandbox->failure_code, sandbox->failure_detail, err);
}

static int step_deleting(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;
	auto_fd int hold = -1;
	int r = end(worker, sandbox, DRIVER_GONE, &hold, err);

	if (r != 0)
		return r;
	if (vtpm_stock_drop(worker->program, sandbox->id, err) < 0)
		return -1;
	crash_point("done", "destroy");
	return change(worker, sandbox, STATE_ENDED, NULL, NULL, err);
}

static int step_rest(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;

	return sandbox->has_expired ? change(worker, sandbox, STATE_EXPIRE, NULL, NULL, err) : 0;
}

static const void *load(struct worker *worker, struct arena *arena, const struct step_due *due,
	const char **ret_state, struct err *err)
{
	struct sandbox *sandbox = arena_alloc(arena, sizeof(*sandbox));

	if (store_get(worker->db, arena, due->tenant, due->id, sandbox, err) < 0)
		return NULL;
	sandbox->lease = due->lease;
	*ret_state = sandbox->state;
	return sandbox;
}

static const struct step table[] = {
	{ "queued", step_rest, REST_MS },
	{ "creating", step_booting, WATCH_MS },
	{ "starting", step_booting, WATCH_MS },
	{ "ready", step_ready, WATCH_MS },
	{ "stopping", step_stopping, WATCH_MS },
	{ "stopped", step_rest, REST_MS },
	{ "failed", step_rest, REST_MS },
	{ "deleting", step_deleting, WATCH_MS },
	{ NULL, NULL, 0 },
};

int lifecycle_run(struct worker *worker, struct err *err)
{
	const struct steps steps = { "sandbox", store_claim, store_release, load, table, RETRY_MS };

	return steps_run(&steps, worker, err);
}
