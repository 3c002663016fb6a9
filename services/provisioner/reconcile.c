/* SPDX-License-Identifier: Apache-2.0 */
/* Every driver's list, the vTPMs taken and the uids in use, against the rows. */
#include "services/provisioner/reconcile.h"

#include "lib/crash.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "services/provisioner/driver.h"
#include "services/provisioner/store.h"
#include "services/provisioner/vm_user.h"
#include "services/provisioner/vtpm_stock.h"

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
		driver_destroy(work->driver, work->worker->program, sandbox_id, &failure) < 0)
		log_failure("what no sandbox owns is still there", &failure);
	return 0;
}

/* A uid whose sandbox went while this service was killed. */
static int free_user(void *arg, const char *sandbox_id, struct err *err)
{
	struct worker *worker = arg;
	auto_fd int hold = -1;
	bool exists;

	if (store_sweep_exists(worker->db, sandbox_id, &exists, err) < 0)
		return -1;
	if (exists || driver_hold(worker->program, sandbox_id, &hold, NULL) < 0)
		return 0;
	log_warn("a uid is nobody's any more", "sandbox", sandbox_id, NULL);
	return vm_user_give_back(worker->program, sandbox_id, err);
}

/* Taken for a row that never came. Held first: behind that nobody can begin to use it. */
static int drop_vtpm(void *arg, const char *sandbox_id, struct err *err)
{
	struct worker *worker = arg;
	auto_fd int hold = -1;
	bool exists;

	if (driver_hold(worker->program, sandbox_id, &hold, NULL) < 0)
		return 0;
	if (store_sweep_exists(worker->db, sandbox_id, &exists, err) < 0)
		return -1;
	return exists ? 0 : vtpm_stock_drop(worker->program, sandbox_id, err);
}

/* Nor is a driver that cannot be asked now a reason to leave the others' orphans. */
int reconcile_run(struct worker *worker, struct err *err)
{
	for (size_t i = 0; drivers[i]; i++) {
		struct work work = { worker, drivers[i] };
		struct err failure = { 0 };

		if (driver_list(drivers[i], worker->program, remove_orphan, &work, &failure) < 0) {
			err_wrap(&failure, "driver '%s'", drivers[i]->name);
			log_failure("orphans could not be looked for", &failure);
		}
	}
	if (vtpm_stock_list(worker->program, drop_vtpm, worker, err) < 0)
		return -1;
	return vm_user_list(worker->program, free_user, worker, err); /* behind what runs as them */
}
