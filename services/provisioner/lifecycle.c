/* SPDX-License-Identifier: Apache-2.0 */
/* The transition table of lifecycle.h, its loop, and the reconciler. */
#include "services/provisioner/lifecycle.h"

#include <string.h>

#include "lib/codec.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/steps.h"
#include "lib/wake.h"
#include "proto/trust.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/store.h"

#define SECRET_SIZE 32u
#define WATCH_MS 1000
#define RETRY_MS 2000

static int change(struct worker *worker, const struct sandbox *sandbox, const char *to,
	const char *failure_code, const char *failure_detail, struct err *err)
{
	if (store_change(worker->db, sandbox, to, failure_code, failure_detail, err) < 0)
		return strcmp(err->code, "sandbox.stale") == 0 ? 0 : -1;
	log_info("sandbox changed", "sandbox", sandbox->id, "from", sandbox->state, "to", to,
		"code", failure_code ? failure_code : "-", NULL);
	wake_ring(worker->wake, "web", sandbox->id);
	return 0;
}

/* The secret's hash is stored before the guest can present it; a repeated launch makes a new one.
 */
static int launch(struct worker *worker, const struct sandbox *sandbox, struct err *err)
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
	r = store_secret(worker->db, sandbox, hash, err);
	if (r == 0)
		r = driver_qemu.start(worker->program, &spec, err);
	mem_wipe_free(secret, strlen(secret));
	if (r < 0)
		return -1;
	return store_launched(worker->db, sandbox, err);
}

static int step_booting(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;
	char code[48];
	const char *gone;

	if (sandbox->launched_boot != sandbox->boot) {
		if (launch(worker, sandbox, err) == 0 || strcmp(err->code, "sandbox.stale") == 0)
			return 0;
		log_failure("a sandbox could not be launched", err);
		snprintf(code, sizeof(code), "%s",
			strncmp(err->code, "sandbox.", 8) == 0 ? err->code : "sandbox.launch");
		if (driver_qemu.stop(worker->program, sandbox->id, err) < 0)
			return -1; /* what came up of it must not outlive the failure */
		return change(worker, sandbox, "failed", code, "the VM could not be launched", err);
	}
	if (driver_qemu.inspect(worker->program, sandbox->id, &gone, err) < 0)
		return -1;
	if (!gone && !sandbox->boot_timed_out)
		return 0;
	if (driver_qemu.stop(worker->program, sandbox->id, err) < 0)
		return -1;
	if (gone)
		return change(worker, sandbox, "failed", gone,
			"the VM or its vTPM ended before it enrolled", err);
	return change(worker, sandbox, "failed", "sandbox.boot_timeout",
		"the VM did not enrol within 120 seconds", err);
}

static int step_ready(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;
	const char *gone;

	if (driver_qemu.settled(worker->program, sandbox->id, err) < 0 ||
		driver_qemu.inspect(worker->program, sandbox->id, &gone, err) < 0)
		return -1;
	if (!gone)
		return 0;
	if (driver_qemu.stop(worker->program, sandbox->id, err) < 0)
		return -1;
	return change(worker, sandbox, "stopped", gone, "the VM or its vTPM ended by itself", err);
}

static int step_stopping(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;

	if (driver_qemu.stop(worker->program, sandbox->id, err) < 0)
		return -1;
	return change(worker, sandbox, "stopped", NULL, NULL, err);
}

static int step_deleting(struct worker *worker, const void *row, struct err *err)
{
	const struct sandbox *sandbox = row;

	if (driver_qemu.remove(worker->program, sandbox->id, err) < 0)
		return -1;
	return change(worker, sandbox, "deleted", NULL, NULL, err);
}

static const void *load(struct worker *worker, struct arena *arena, const struct step_due *due,
	const char **ret_state, struct err *err)
{
	struct sandbox *sandbox = arena_alloc(arena, sizeof(*sandbox));

	if (store_get(worker->db, arena, due->tenant, due->id, sandbox, err) < 0)
		return NULL;
	*ret_state = sandbox->state;
	return sandbox;
}

static const struct step table[] = {
	{ "creating", step_booting, WATCH_MS },
	{ "starting", step_booting, WATCH_MS },
	{ "ready", step_ready, WATCH_MS },
	{ "stopping", step_stopping, WATCH_MS },
	{ "deleting", step_deleting, WATCH_MS },
	{ NULL, NULL, 0 },
};

int lifecycle_run(struct worker *worker, struct err *err)
{
	const struct steps steps = { "sandbox", store_claim, store_release, load, table, RETRY_MS };

	return steps_run(&steps, worker, err);
}

static int reconcile_one(void *arg, const char *sandbox_id, struct err *err)
{
	struct worker *worker = arg;
	bool exists;

	if (store_sweep_exists(worker->db, sandbox_id, &exists, err) < 0)
		return -1;
	if (exists)
		return 0;
	log_warn("removing what no sandbox owns", "sandbox", sandbox_id, NULL);
	return driver_qemu.remove(worker->program, sandbox_id, err);
}

int lifecycle_reconcile(struct worker *worker, struct err *err)
{
	return driver_qemu.each(worker->program, reconcile_one, worker, err);
}
