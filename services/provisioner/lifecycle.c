/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop does in each state of state.h. */
#include "services/provisioner/lifecycle.h"

#include <stdio.h>
#include <string.h>

#include "lib/codec.h"
#include "lib/crash.h"
#include "lib/digest.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/steps.h"
#include "lib/wake.h"
#include "proto/trust.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/state.h"
#include "services/provisioner/store.h"

#define SECRET_SIZE 32u
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

/* The secret's hash is stored before the guest can present it; a repeated launch makes a new one.
 */
static int launch(struct worker *worker, const struct driver *driver, const struct sandbox *sandbox,
	struct err *err)
{
	auto_json json_t *parameters = json_loads(sandbox->parameters, 0, NULL);
	auto_json json_t *initdata = json_loads(sandbox->initdata, 0, NULL);
	unsigned char bytes[SECRET_SIZE];
	char hash[DIGEST_TEXT_SIZE], *secret;
	struct driver_spec spec;
	int r;

	rand_bytes(bytes, sizeof(bytes));
	secret = codec_b64url_text(bytes, sizeof(bytes));
	explicit_bzero(bytes, sizeof(bytes));
	digest_text(secret, strlen(secret), hash);
	spec = (struct driver_spec) { .sandbox_id = sandbox->id,
		.boot = sandbox->boot,
		.parameters = parameters,
		.initdata = sandbox->initdata,
		.enrolment_secret = secret,
		.is_measured = trust_initdata_allows(initdata, "software-tpm") };
	crash_point("before", "secret");
	r = store_secret(worker->db, sandbox, hash, err);
	crash_point("after", "secret");
	if (r == 0)
		r = driver->start(worker->program, &spec, err);
	mem_wipe_free(secret, strlen(secret));
	if (r < 0)
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
	if (driver->stop(worker->program, sandbox->id, err) < 0)
		return -1;
	return change(worker, sandbox, STATE_FAIL, code, detail, err);
}

static int watch_boot(struct worker *worker, const struct driver *driver,
	const struct sandbox *sandbox, struct err *err)
{
	const char *gone;

	if (driver->inspect(worker->program, sandbox->id, &gone, err) < 0)
		return -1;
	if (gone)
		return fail(worker, driver, sandbox, gone,
			"the VM or its vTPM ended before it enrolled", err);
	if (!sandbox->boot_timed_out)
		return 0;
	return fail(worker, driver, sandbox, "sandbox.boot_timeout",
		"the VM did not enrol within 120 seconds", err);
}

static int step_booting(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;
	const struct driver *driver;
	auto_fd int hold = -1;
	char code[48];

	if (sandbox->has_expired)
		return change(worker, sandbox, STATE_EXPIRE, NULL, NULL, err);
	if (take(worker, sandbox, &driver, &hold, err) < 0)
		return -1;
	if (sandbox->launched_boot == sandbox->boot)
		return watch_boot(worker, driver, sandbox, err);
	if (launch(worker, driver, sandbox, err) == 0)
		return 0;
	if (strcmp(err->code, "sandbox.stale") == 0) /* stopped meanwhile: the next step ends it */
		return 0;
	log_failure("a sandbox could not be launched", err);
	snprintf(code, sizeof(code), "%s",
		strncmp(err->code, "sandbox.", 8) == 0 ? err->code : "sandbox.launch");
	return fail(worker, driver, sandbox, code, "the VM could not be launched", err);
}

/* What is left of it, a vTPM say, ends too. */
static int bury(
	struct worker *worker, const struct sandbox *sandbox, const char *gone, struct err *err)
{
	const struct driver *driver;
	auto_fd int hold = -1;

	if (take(worker, sandbox, &driver, &hold, err) < 0 ||
		driver->stop(worker->program, sandbox->id, err) < 0)
		return -1;
	return change(worker, sandbox, STATE_DIE, gone, "the VM or its vTPM ended by itself", err);
}

static int step_ready(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;
	const struct driver *driver;
	const char *gone;

	if (sandbox->has_expired)
		return change(worker, sandbox, STATE_EXPIRE, NULL, NULL, err);
	if (driver_of(sandbox, &driver, err) < 0 ||
		driver->settled(worker->program, sandbox->id, err) < 0 ||
		driver->inspect(worker->program, sandbox->id, &gone, err) < 0)
		return -1;
	if (gone)
		return bury(worker, sandbox, gone, err);
	if (!sandbox->is_idle)
		return 0;
	return change(worker, sandbox, STATE_IDLE, "sandbox.idle",
		"no run used it for as long as its idle time-out", err);
}

/* Why it was stopped stays to be read, when it was not its owner who said so. */
static int step_stopping(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;
	const struct driver *driver;
	auto_fd int hold = -1;

	if (take(worker, sandbox, &driver, &hold, err) < 0 ||
		driver->stop(worker->program, sandbox->id, err) < 0)
		return -1;
	crash_point("done", "stop");
	return change(
		worker, sandbox, STATE_ENDED, sandbox->failure_code, sandbox->failure_detail, err);
}

static int step_deleting(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;
	const struct driver *driver;
	auto_fd int hold = -1;

	if (take(worker, sandbox, &driver, &hold, err) < 0 ||
		driver->destroy(worker->program, sandbox->id, err) < 0)
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
