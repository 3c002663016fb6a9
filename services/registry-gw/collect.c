/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collection, a tenant at a time. A row goes first, and only while it is locked and no manifest
 * names it; the registry is asked under the leftover's lease, behind which whoever pushes the same
 * waits. A kill leaves a row, a leftover, or a lease that ends.
 */
#include "services/registry-gw/collect.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/service.h"
#include "services/registry-gw/backend.h"
#include "services/registry-gw/config.h"
#include "services/registry-gw/store.h"

#define DELETE_TIMEOUT_MS 20000 /* well within the lease */

/* One that has it no more, or that deletes nothing, is no hindrance: it is not served. */
static int delete_there(struct worker *worker, const struct leftover *leftover, struct err *err)
{
	auto_free char *url =
		mem_printf("/v2/%s/%ss/%s", leftover->repository, leftover->kind, leftover->digest);
	const struct fetch_request call = {
		.method = "DELETE", .url = url, .timeout_ms = DELETE_TIMEOUT_MS
	};
	auto_response answer = { .status = 0 };

	return backend_call(worker, &call, &answer, err);
}

static void release(struct leftover *leftover)
{
	free(leftover->repository);
	free(leftover->digest);
	free(leftover->kind);
}

static int collect_one(
	struct worker *worker, const char *tenant, bool *ret_was_due, struct err *err)
{
	struct leftover leftover;
	int result;

	if (store_leftover_claim(worker->db, tenant, &leftover, ret_was_due, err) < 0)
		return -1;
	if (!*ret_was_due)
		return 0;
	result = delete_there(worker, &leftover, err);
	if (result == 0)
		result = store_leftover_done(worker->db, tenant, &leftover, err);
	release(&leftover);
	return result;
}

static int collect_tenant(struct worker *worker, const char *tenant, struct err *err)
{
	const struct registry_conf *conf = worker->program;
	bool is_due = true;

	if (store_collect_blobs(worker->db, tenant, conf->grace_ms, err) < 0)
		return -1;
	while (is_due) {
		if (collect_one(worker, tenant, &is_due, err) < 0)
			return -1;
	}
	return 0;
}

int collect_beat(struct worker *worker, struct err *err)
{
	const struct registry_conf *conf = worker->program;
	char tenant[ID_SIZE];
	bool is_due;

	for (;;) {
		if (store_collect_claim(worker->db, conf->collect_beat_ms, tenant, &is_due, err) <
			0)
			return -1;
		if (!is_due)
			return (int)conf->collect_beat_ms;
		if (collect_tenant(worker, tenant, err) < 0)
			return -1;
	}
}
