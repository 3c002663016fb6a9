/* SPDX-License-Identifier: Apache-2.0 */
/* Every driver's list against the rows. */
#include "services/provisioner/reconcile.h"

#include "lib/crash.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/store.h"

struct work {
	struct worker *worker;
	const struct driver *driver;
};

/* One that cannot be removed now is no reason to leave the others. */
static int remove_orphan(void *arg, const char *sandbox_id, struct err *err)
{
	struct work *work = arg;
	struct err failure = { 0 };
	auto_fd int hold = -1;
	bool exists;

	if (store_sweep_exists(work->worker->db, sandbox_id, &exists, err) < 0)
		return -1;
	if (exists)
		return 0;
	log_warn("removing what no sandbox owns", "sandbox", sandbox_id, "driver",
		work->driver->name, NULL);
	crash_point("before", "orphan");
	if (driver_hold(work->worker->program, sandbox_id, &hold, &failure) < 0 ||
		work->driver->destroy(work->worker->program, sandbox_id, &failure) < 0)
		log_failure("what no sandbox owns is still there", &failure);
	return 0;
}

int reconcile_run(struct worker *worker, struct err *err)
{
	for (size_t i = 0; drivers[i]; i++) {
		struct work work = { worker, drivers[i] };

		if (drivers[i]->list(worker->program, remove_orphan, &work, err) < 0)
			return err_wrap(err, "driver '%s'", drivers[i]->name);
	}
	return 0;
}
