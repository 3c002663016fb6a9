/* SPDX-License-Identifier: Apache-2.0 */
/* How many there are to be, and what is done with each. */
#include "services/provisioner/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/crash.h"
#include "lib/id.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/steps.h"
#include "lib/wake.h"
#include "services/provisioner/boot.h"
#include "services/provisioner/config.h"
#include "services/provisioner/store_pool.h"
#include "services/provisioner/templates.h"

#define WATCH_MS 1000
#define RETRY_MS 2000
#define MOST 64
#define KEEP_MAX 4096

/* --- how many --- */

struct entry {
	char id[64];
	unsigned size;
};

/* The next of the list; false at its end. */
static bool next_entry(const char **at, struct entry *ret_entry, struct err *err)
{
	int used = 0;

	*at += strspn(*at, " ");
	if (**at == '\0')
		return false;
	if (sscanf(*at, "%63[a-z0-9-]=%3u%n", ret_entry->id, &ret_entry->size, &used) != 2 ||
		!strchr(" ", (*at)[used]) || ret_entry->size > MOST) {
		err_set(err, ERR_INVALID, "pool.bad_size",
			"pool: '%s' is not like measured-small=2, with %d at most", *at, MOST);
		*at = "";
		return false;
	}
	*at += used;
	return true;
}

int pool_check(const char *pool, struct err *err)
{
	struct err failure = { 0 };
	struct entry entry;

	while (next_entry(&pool, &entry, &failure))
		continue;
	if (!*failure.code)
		return 0;
	*err = failure;
	return -1;
}

static int add(struct worker *worker, const struct template *template, unsigned size,
	bool *ret_added, struct err *err)
{
	const struct provisioner_conf *conf = worker->program;
	const struct capacity host = { conf->host_sandboxes, conf->host_vcpus,
		conf->host_memory_mib };
	auto_free char *parameters = NULL, *initdata = NULL;
	auto_json json_t *complete = NULL;
	struct sandbox takes;
	char id[ID_SIZE];

	id_new("sbx", id);
	if (template_complete(template, NULL, &complete, err) < 0 ||
		template_initdata(template, id, &initdata, err) < 0)
		return -1;
	parameters = json_dumps(complete, JSON_COMPACT | JSON_SORT_KEYS);
	template_takes(template, complete, &takes);
	if (store_warm_add(worker->db,
		    &(const struct warm) { .id = id,
			    .template_id = template->id,
			    .template_version = template->version,
			    .driver = template->driver,
			    .parameters = parameters,
			    .initdata = initdata,
			    .vcpus = takes.vcpus,
			    .memory_mib = takes.memory_mib },
		    size, &host, ret_added, err) < 0)
		return -1;
	if (*ret_added)
		crash_point("pool", "added");
	return 0;
}

/* As many of the entry's newest version as there are to be; the version is kept. */
static int fill(struct worker *worker, const struct entry *entry, struct buf *keep, struct err *err)
{
	auto_template struct template *template = NULL;
	auto_free char *kept = NULL;
	bool was_added = true;

	if (template_newest(worker, entry->id, &template, err) < 0)
		return -1;
	if (!template || driver_is_slow(template->driver))
		return 0;
	kept = mem_printf("%s/%lld ", template->id, template->version);
	if (buf_add(keep, kept, strlen(kept), err) < 0 ||
		store_warm_shrink(worker->db, template->id, entry->size, err) < 0)
		return -1;
	while (was_added) {
		if (add(worker, template, entry->size, &was_added, err) < 0)
			return -1;
	}
	return 0;
}

static int fill_all(struct worker *worker, struct err *err)
{
	const struct provisioner_conf *conf = worker->program;
	const struct capacity host = { conf->host_sandboxes, conf->host_vcpus,
		conf->host_memory_mib };
	auto_buf keep = BUF_INIT(KEEP_MAX);
	const char *at = conf->pool;
	struct entry entry;

	if (*conf->pool && store_warm_yield(worker->db, &host, err) < 0)
		return -1;
	while (next_entry(&at, &entry, NULL)) {
		if (fill(worker, &entry, &keep, err) < 0)
			return -1;
	}
	if (buf_add(&keep, "", 1, err) < 0)
		return -1;
	return store_warm_retire(worker->db, (const char *)keep.data, err);
}

/* --- one of them --- */

static int change(struct worker *worker, const struct warm *warm, const char *to, struct err *err)
{
	crash_point("before", to);
	if (store_warm_change(worker->db, warm, to, err) < 0)
		return strcmp(err->code, "sandbox.stale") == 0 ? 0 : -1;
	crash_point("after", to);
	log_info("a waiting sandbox changed", "sandbox", warm->id, "from", warm->state, "to", to,
		NULL);
	return 0;
}

/* Held, and not somebody's meanwhile. */
static int take(struct worker *worker, const struct warm *warm, const struct driver **ret_driver,
	int *ret_hold, struct err *err)
{
	auto_arena struct arena *arena = arena_new();
	struct warm now;

	*ret_driver = driver_find(warm->driver);
	if (!*ret_driver)
		return err_set(err, ERR_INTERNAL, "sandbox.no_driver",
			"this release has no driver '%s'", warm->driver);
	if (driver_hold(worker->program, warm->id, ret_hold, err) < 0)
		return -1;
	return store_warm_get(worker->db, arena, warm->id, &now, err);
}

struct note {
	struct worker *worker;
	const struct warm *warm;
};

static int note_secret(void *arg, const char *hash, struct err *err)
{
	const struct note *note = arg;

	return store_warm_secret(note->worker->db, note->warm, hash, err);
}

static int launch(struct worker *worker, const struct driver *driver, const struct warm *warm,
	struct err *err)
{
	const struct boot boot = { warm->id, warm->parameters, warm->initdata, 1 };
	struct note note = { worker, warm };

	if (boot_start(worker, driver, &boot, note_secret, &note, err) < 0)
		return -1;
	crash_point("before", "launched");
	if (store_warm_launched(worker->db, warm, err) < 0)
		return -1;
	crash_point("pool", "launched");
	return 0;
}

/* What came up of it must not outlive the failure. */
static int fail(struct worker *worker, const struct driver *driver, const struct warm *warm,
	const char *code, struct err *err)
{
	log_warn("a waiting sandbox failed", "sandbox", warm->id, "code", code, NULL);
	if (driver_stop(driver, worker->program, warm->id, err) < 0)
		return -1;
	return change(worker, warm, "failed", err);
}

static int step_creating(struct worker *worker, const void *row, struct err *err)
{
	const struct warm *warm = row;
	const struct driver *driver;
	const char *gone = NULL;
	auto_fd int hold = -1;

	if (take(worker, warm, &driver, &hold, err) < 0)
		return -1;
	if (!warm->was_launched) {
		if (launch(worker, driver, warm, err) == 0)
			return 0;
		if (strcmp(err->code, "sandbox.stale") == 0) /* a member has it, or it retired */
			return 0;
		log_failure("a sandbox could not be launched", err);
		return fail(worker, driver, warm, "sandbox.launch", err);
	}
	if (driver_inspect(driver, worker->program, warm->id, &gone, err) < 0)
		return -1;
	if (!gone && warm->boot_timed_out)
		gone = "sandbox.boot_timeout";
	return gone ? fail(worker, driver, warm, gone, err) : 0;
}

/* Its agent has read the secret; the file is no longer needed. */
static int step_warm(struct worker *worker, const void *row, struct err *err)
{
	const struct warm *warm = row;
	const struct driver *driver;
	auto_fd int hold = -1;
	const char *gone;

	if (take(worker, warm, &driver, &hold, err) < 0 ||
		driver_settled(driver, worker->program, warm->id, err) < 0 ||
		driver_inspect(driver, worker->program, warm->id, &gone, err) < 0)
		return -1;
	return gone ? change(worker, warm, "failed", err) : 0;
}

/* A template that never comes up is tried once in a minute. */
static int step_failed(struct worker *worker, const void *row, struct err *err)
{
	const struct warm *warm = row;

	return warm->has_rested ? change(worker, warm, "deleting", err) : 0;
}

static int step_deleting(struct worker *worker, const void *row, struct err *err)
{
	const struct warm *warm = row;
	const struct driver *driver;
	auto_fd int hold = -1;

	if (take(worker, warm, &driver, &hold, err) < 0 ||
		driver_destroy(driver, worker->program, warm->id, err) < 0)
		return -1;
	crash_point("pool", "destroyed");
	if (store_warm_delete(worker->db, warm, err) < 0)
		return -1;
	crash_point("pool", "gone");
	return 0;
}

static const void *load(struct worker *worker, struct arena *arena, const struct step_due *due,
	const char **ret_state, struct err *err)
{
	struct warm *warm = arena_alloc(arena, sizeof(*warm));

	if (store_warm_get(worker->db, arena, due->id, warm, err) < 0)
		return NULL;
	warm->lease = due->lease;
	*ret_state = warm->state;
	return warm;
}

static const struct step table[] = {
	{ "creating", step_creating, WATCH_MS },
	{ "warm", step_warm, WATCH_MS },
	{ "failed", step_failed, WATCH_MS },
	{ "deleting", step_deleting, WATCH_MS },
	{ NULL, NULL, 0 },
};

int pool_run(struct worker *worker, struct err *err)
{
	const struct steps steps = { "waiting sandbox", store_warm_claim, store_warm_release, load,
		table, RETRY_MS };

	return fill_all(worker, err) < 0 ? -1 : steps_run(&steps, worker, err);
}
