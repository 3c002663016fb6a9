/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one boot: enrol, then run what is handed out, until the VM is taken down. */
#include "agent/run.h"

#include <unistd.h>

#include "agent/api.h"
#include "agent/attest.h"
#include "agent/edge.h"
#include "agent/enrol.h"
#include "agent/init.h"
#include "agent/job.h"
#include "agent/machine.h"
#include "agent/verify.h"
#include "agent/work.h"
#include "lib/json.h"
#include "lib/log.h"

/* A server that answers "nothing" at once instead of waiting must not be asked in a tight loop. */
#define BEAT_MS 1000
#define LONGEST_BEAT_MS 64000

/* Before work is asked for again that nobody could be told the end of. */
static void wait_longer(long *pause_ms)
{
	usleep((useconds_t)*pause_ms * 1000);
	if (*pause_ms < LONGEST_BEAT_MS)
		*pause_ms *= 2;
}

/* Work comes one at a time; a lost connection is no reason to end, the edge may be restarting. */
static _Noreturn void serve(const struct agent_boot *boot, struct verify *verify, struct api *api)
{
	struct edge_patience patience = edge_patience_new();
	long pause_ms = BEAT_MS;

	for (;;) {
		long long asked_ms = clock_monotonic_ms();
		auto_json json_t *work = NULL;
		struct err err = { 0 };

		if (work_poll(api, &work, &err) < 0) {
			if (!edge_wait(&patience, &err))
				usleep(BEAT_MS * 1000);
			continue;
		}
		edge_progress(&patience);
		if (work && job_run(boot, verify, api, work) < 0)
			wait_longer(&pause_ms);
		else
			pause_ms = BEAT_MS;
		if (!work && clock_monotonic_ms() - asked_ms < BEAT_MS)
			usleep(BEAT_MS * 1000);
		if (getpid() == 1)
			init_reap();
	}
}

static _Noreturn void serve_enrolled(
	struct agent_boot *boot, struct edge *edge, const struct machine *machine)
{
	struct err err = { 0 };
	struct verify verify;
	struct api api;

	log_info("sandbox enrolled", "sandbox", machine->sandbox, "boot", boot->boot_id, "agent",
		boot->digest, NULL);
	verify_init(&verify, machine, boot->digest);
	api_init(&api, edge, machine, "orchestrator");
	if (attest_start(machine, &err) < 0)
		log_failure("nobody can ask for evidence of this boot", &err);
	serve(boot, &verify, &api);
}

int agent_run(struct agent_boot *boot)
{
	struct machine machine = { 0 };
	struct edge *edge = NULL;
	struct err err = { 0 };

	if (edge_new(boot->initdata, &edge, &err) < 0 ||
		enrol_sandbox(edge, boot, &machine, &err) < 0) {
		log_failure("not enrolled", &err);
		edge_free(edge);
		return -1;
	}
	serve_enrolled(boot, edge, &machine);
}
